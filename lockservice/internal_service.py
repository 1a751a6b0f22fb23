"""tenure.internal.v1.LockService: the lock service as gateways and hosts use it; and, inherited, recovery."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from lockservice import asking, configs, fields
from lockservice.acquires import Home
from lockservice.calls import deadline
from lockservice.core import schedule
from lockservice.core.document import decode
from lockservice.core.move import Wanted
from lockservice.core.record import Record, State
from lockservice.core.snapshot import Snapshot, epoch_seen
from lockservice.encode import host_name, state_of, timestamp
from lockservice.hold_service import HoldServicer, released_message
from lockservice.holds import Holds
from lockservice.hosts import Hosts
from lockservice.implicit import ImplicitWorkers
from lockservice.incident_service import IncidentServicer
from lockservice.moving import move_home
from lockservice.replica import Replica
from lockservice.transferring import look_before, transfer_hold
from lockservice.worker_service import MIN_TTL_MS
from lockservice.workers import Workers
from servicekit.call import current_identity
from tenure import request_id, token
from tenure.errors import InvalidField
from tenure.internal.v1 import lock_service_pb2 as pb
from tenure.names import host_id, worker_id
from tenure.v1.host_pb2 import HostState
from tenure.v1.incident_pb2 import SuspicionCause

MAX_QUERIES = 60
_Context = grpc.aio.ServicerContext[Any, Any]


class LockServicer(IncidentServicer):
    """What is not for clients."""

    def __init__(
        self, replica: Replica, holds: Holds, hosts: Hosts, public: HoldServicer, workers: Workers
    ) -> None:
        super().__init__(replica, hosts)
        self._holds = holds
        self._public = public
        self._implicit = ImplicitWorkers(replica, workers)

    async def AcquireForSession(
        self, request: pb.AcquireForSessionRequest, context: _Context
    ) -> pb.AcquireForSessionResponse:
        home = host_id(request.home_hint, "home_hint") if request.home_hint else ""
        wanted = asking.acquire(request.acquire, current_identity(), home)
        choose: Home | None = None
        if request.choose_home:
            choose = partial(self._hosts.home, wanted.profile, proxy_key=wanted.ask.proxy_key)
        acquired, checkpoint = await self._public.acquire(wanted, choose)
        hold = self._public.message(acquired.hold)
        response = pb.AcquireForSessionResponse(hold=hold, checkpoint=checkpoint, earlier=acquired.earlier)
        if request.choose_home and (at := self._hosts.one(hold.home)) is not None:
            response.hosts.append(at)
        configs.tell(self._replica, wanted.profile, response)
        return response

    async def RegisterImplicitWorker(
        self, request: pb.RegisterImplicitWorkerRequest, context: _Context
    ) -> pb.RegisterImplicitWorkerResponse:
        ttl_ms = fields.duration_ms(
            request.ttl,
            request.HasField("ttl"),
            "ttl",
            default=MIN_TTL_MS,
            low=MIN_TTL_MS,
            high=fields.HOUR_MS,
        )
        profile = fields.profile(request.profile, current_identity())
        worker, registered = await self._implicit.register(
            profile, request_id.parse(request.request_id), math.ceil(ttl_ms / 1000), deadline()
        )
        return pb.RegisterImplicitWorkerResponse(worker=f"workers/{worker}", registered=registered)

    async def ForgetImplicitWorker(
        self, request: pb.ForgetImplicitWorkerRequest, context: _Context
    ) -> pb.ForgetImplicitWorkerResponse:
        forgotten = await self._implicit.forget(
            fields.profile(request.profile, current_identity()),
            request_id.parse(request.request_id),
            worker_id(request.worker),
            deadline(),
        )
        return pb.ForgetImplicitWorkerResponse(forgotten=forgotten)

    async def ReleaseDrained(
        self, request: pb.ReleaseDrainedRequest, context: _Context
    ) -> pb.ReleaseDrainedResponse:
        profile, ending = asking.release(
            request.release,
            current_identity(),
            drained=True,
            used=request.used,
            flushed_ms=fields.time_ms(request.flushed_at, request.HasField("flushed_at"), "flushed_at"),
        )
        released = await self._holds.release(profile, ending, deadline())
        return pb.ReleaseDrainedResponse(release=released_message(released))

    async def TransferDrained(
        self, request: pb.TransferDrainedRequest, context: _Context
    ) -> pb.TransferDrainedResponse:
        identity = current_identity()
        wanted = asking.transfer(request.transfer, identity)
        if request.check_only:
            done = await look_before(self._replica, wanted, deadline())
            return pb.TransferDrainedResponse(hold=None if done is None else self._public.message(done))
        hold = await transfer_hold(self._replica, wanted, identity.subject, deadline())
        return pb.TransferDrainedResponse(hold=self._public.message(hold))

    async def VerifyTokens(
        self, request: pb.VerifyTokensRequest, context: _Context
    ) -> pb.VerifyTokensResponse:
        identity = current_identity()
        if len(request.queries) > MAX_QUERIES:
            raise InvalidField(
                field="queries",
                value=str(len(request.queries)),
                problem="are too many",
                remedy=f"send at most {MAX_QUERIES}",
            )
        queries = [
            (fields.profile(query.profile, identity), token.check(query.fencing_token))
            for query in request.queries
        ]
        answers = await self._holds.verify_for_host(queries, host_id(request.host), deadline())
        return pb.VerifyTokensResponse(
            verdicts=[
                pb.TokenVerdict(
                    current=not why_not,
                    reason=why_not,
                    used=record is not None and record.used,
                    run_deadline=timestamp(
                        record.holding.deadline_ms if not why_not and record and record.holding else 0
                    ),
                )
                for why_not, record in answers
            ]
        )

    async def SuspectHold(self, request: pb.SuspectHoldRequest, context: _Context) -> pb.SuspectHoldResponse:
        causes = SuspicionCause.items()
        names = {number: name.removeprefix("SUSPICION_CAUSE_") for name, number in causes if number}
        if request.cause not in names:
            raise InvalidField(
                field="cause",
                value=str(int(request.cause)),
                problem="is not a SuspicionCause",
                remedy="say why the hold is suspect",
            )
        suspected = await self._replica.suspects.suspect(
            fields.profile(request.profile, current_identity()),
            token.check(request.fencing_token),
            names[request.cause],
            fields.text(request.detail, "detail", longest=fields.MAX_REASON),
            deadline(),
        )
        return pb.SuspectHoldResponse(state=state_of(suspected.state), suspected=suspected.incident)

    async def LocateProfile(
        self, request: pb.LocateProfileRequest, context: _Context
    ) -> pb.LocateProfileResponse:
        replica = self._replica
        profile = fields.profile(request.profile, current_identity())
        await replica.committer.until_loaded(deadline())
        left = max(deadline() - asyncio.get_running_loop().time(), 0.001)
        read = replica.etcd.kv.get(replica.keys.record(profile), left)
        found = await replica.committer.read(read)
        hosts = await self._hosts.alive(deadline())
        if found is None:
            return pb.LocateProfileResponse(hosts=hosts)
        record = decode(Record, found.value)
        seen = Snapshot(epoch=epoch_seen(None), record=record, mod=found.mod_revision)
        response = pb.LocateProfileResponse(
            home=host_name(record.home),
            state=state_of(record.state),
            fencing_token=seen.token() if record.state is State.HELD else 0,
            used=record.used,
            hosts=hosts,
            revision=found.mod_revision,
            epoch=record.epoch,
        )
        configs.tell(replica, profile, response)
        return response

    async def RegisterHost(
        self, request: pb.RegisterHostRequest, context: _Context
    ) -> pb.RegisterHostResponse:
        registration, ttl_s = await self._hosts.register(request.host, deadline())
        return pb.RegisterHostResponse(
            ttl=Duration(seconds=ttl_s),
            registration=registration,
            state=self._hosts.state(host_id(request.host.name)),
        )

    async def RenewHost(self, request: pb.RenewHostRequest, context: _Context) -> pb.RenewHostResponse:
        ttl_s = await self._hosts.renew(request.registration, request.host, deadline())
        state = self._hosts.state(host_id(request.host.name))
        return pb.RenewHostResponse(ttl=Duration(seconds=ttl_s), state=state)

    async def ListAliveHosts(
        self, request: pb.ListAliveHostsRequest, context: _Context
    ) -> pb.ListAliveHostsResponse:
        return pb.ListAliveHostsResponse(hosts=await self._hosts.alive(deadline()))

    async def ScheduleHost(
        self, request: pb.ScheduleHostRequest, context: _Context
    ) -> pb.ScheduleHostResponse:
        states = {HostState.Value(f"HOST_STATE_{state}"): state for state in schedule.STATES}
        if request.state not in states:
            raise InvalidField(
                field="state",
                value=str(int(request.state)),
                problem="is not one that a host can be scheduled to",
                remedy="send READY, CORDONED or DRAINING",
            )
        name, by = host_id(request.host), current_identity().subject
        host = await self._hosts.schedule(name, states[request.state], by, deadline())
        return pb.ScheduleHostResponse(host=host)

    async def MoveHome(self, request: pb.MoveHomeRequest, context: _Context) -> pb.MoveHomeResponse:
        identity = current_identity()
        wanted = Wanted(
            revision=request.revision,
            to=host_id(request.to, "to"),
            reason=fields.text(request.reason, "reason", required=True, longest=fields.MAX_REASON),
            by=identity.subject,
            digest=fields.text(request.digest, "digest"),
            attested=request.attest_destroyed,
        )
        profile = fields.profile(request.profile, identity)
        return pb.MoveHomeResponse(revision=await move_home(self._replica, profile, wanted, deadline()))
