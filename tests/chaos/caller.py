"""One client's calls, at whichever replica, each of them recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from servicekit.call import DEV_IDENTITY
from servicekit.channels import CHANNEL_OPTIONS
from tenure import errors
from tenure.errors import TenureError
from tenure.internal.v1 import lock_service_pb2 as lock
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.names import ProfileName
from tenure.v1 import hold_service_pb2 as pb
from tenure.v1 import worker_service_pb2 as workers
from tenure.v1.hold_pb2 import ProfileState, RunResult
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.incident_pb2 import (
    DirectoryFinding,
    Evidence,
    EvidenceItem,
    Outcome,
    SuspicionCause,
)
from tenure.v1.profile_service_pb2 import UpdateProfileRequest
from tenure.v1.profile_service_pb2_grpc import ProfileServiceStub
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.chaos.call import OK, REFUSED, UNCLEAR, Call
from tests.chaos.recorder import Recorder

TIMEOUT_S = 8.0


class Door:
    """One replica's address, with the stubs to call it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._channel = grpc.aio.insecure_channel(
            address, options=(*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        )
        self.holds = HoldServiceStub(self._channel)
        self.workers = WorkerServiceStub(self._channel)
        self.profiles = ProfileServiceStub(self._channel)
        self.lock = LockServiceStub(self._channel)

    async def aclose(self) -> None:
        await self._channel.close()


class Caller:
    """Calls as one client does. Every method returns the recorded call, and raises nothing but cancellation:
    what is cancelled has an unclear outcome.
    """

    def __init__(self, name: str, recorder: Recorder) -> None:
        self.name = name
        self._recorder = recorder

    def begin(self, op: str, profile: str, door: Door, /, **args: Any) -> Call:
        """Write down that a call begins."""
        return self._recorder.begin(self.name, op, profile, door.name, **args)

    def answered(self, call: Call, /, **answer: Any) -> Call:
        """Write down that it was answered."""
        return self._recorder.end(call, OK, **answer)

    async def make(
        self,
        op: str,
        profile: str,
        door: Door,
        method: Callable[..., Awaitable[Any]],
        request: Any,
        read: Callable[[Any], dict[str, Any]],
        /,
        *,
        timeout: float = TIMEOUT_S,
        **args: Any,
    ) -> Call:
        """Call once and write down what came of it."""
        call = self.begin(op, profile, door, **args)
        try:
            answer = await method(request, timeout=timeout, metadata=DEV_IDENTITY.metadata())
        except grpc.aio.AioRpcError as error:
            return self.failed(call, errors.from_rpc_error(error))
        return self.answered(call, **read(answer))

    def failed(self, call: Call, error: TenureError) -> Call:
        """Write down what it was told instead."""
        unclear = error.reason in ("OUTCOME_UNKNOWN", "INTERNAL")
        # What no service said is gRPC's: the connection broke, or the deadline passed.
        reason = "BROKE_OFF" if "grpc_code" in error.metadata else error.reason
        return self._recorder.end(call, UNCLEAR if unclear else REFUSED, reason=reason)

    # --- workers -------------------------------------------------------------------------

    async def register(self, door: Door, ttl_s: int) -> Call:
        request = workers.RegisterWorkerRequest(ttl=Duration(seconds=ttl_s))
        return await self.make(
            *("register", "", door, door.workers.RegisterWorker, request),
            lambda got: {"worker": got.worker.name.partition("/")[2], "ttl": got.worker.ttl.ToSeconds()},
            ttl=ttl_s,
        )

    async def renew(self, door: Door, worker: str, timeout: float) -> Call:
        """The answer's `holds` are (profile, token, request) each."""
        return await self.make(
            *("renew", "", door, door.workers.RenewWorker),
            workers.RenewWorkerRequest(worker=f"workers/{worker}"),
            lambda got: {
                "ttl": got.ttl.ToMilliseconds() / 1000,
                "holds": [(_id(hold.profile), hold.fencing_token, hold.request_id) for hold in got.holds],
            },
            timeout=timeout,
            worker=worker,
        )

    async def end_worker(self, door: Door, worker: str) -> Call:
        request = workers.EndWorkerRequest(worker=f"workers/{worker}")
        return await self.make(
            "end_worker", "", door, door.workers.EndWorker, request, lambda _: {}, worker=worker
        )

    # --- holds ---------------------------------------------------------------------------

    async def acquire(
        self, door: Door, profile: str, worker: str, request: str, waits: float = 0, workflow: str = ""
    ) -> Call:
        wait = Duration()
        wait.FromMilliseconds(int(waits * 1000))
        return await self.make(
            *("acquire", profile, door, door.holds.AcquireHold),
            pb.AcquireHoldRequest(
                profile=profile,
                worker=f"workers/{worker}",
                request_id=request,
                wait=wait,
                workflow_id=workflow,
            ),
            lambda got: {"token": got.hold.fencing_token},
            timeout=waits + TIMEOUT_S,
            worker=worker,
            request=request,
            waits=waits,
            workflow=workflow,
        )

    async def release(self, door: Door, profile: str, token: int, result: str = "SUCCEEDED") -> Call:
        return await self.make(
            *("release", profile, door, door.holds.ReleaseHold),
            pb.ReleaseHoldRequest(
                profile=profile, fencing_token=token, result=RunResult.Value(f"RUN_RESULT_{result}")
            ),
            lambda got: {"state": state(got.state), "already": got.already_released},
            token=token,
            result=result,
        )

    async def cancel(self, door: Door, profile: str, worker: str, request: str) -> Call:
        return await self.make(
            *("cancel", profile, door, door.holds.CancelWait),
            pb.CancelWaitRequest(profile=profile, worker=f"workers/{worker}", request_id=request),
            lambda got: {"outcome": pb.CancelOutcome.Name(got.outcome).removeprefix("CANCEL_OUTCOME_")},
            worker=worker,
            request=request,
        )

    async def verify(self, door: Door, profile: str, token: int) -> Call:
        request = pb.VerifyHoldRequest(profile=profile, fencing_token=token)
        return await self.make(
            "verify", profile, door, door.holds.VerifyHold, request, lambda _: {}, token=token
        )

    async def step(self, door: Door, profile: str, token: int, seq: int, name: str) -> Call:
        request = pb.StartStepRequest(profile=profile, fencing_token=token, seq=seq, name=name)
        return await self.make(
            *("step", profile, door, door.holds.StartStep, request),
            lambda got: {"seq": got.step.seq},
            token=token,
            seq=seq,
            name=name,
        )

    async def finish(self, door: Door, profile: str, token: int, seq: int) -> Call:
        request = pb.FinishStepRequest(profile=profile, fencing_token=token, seq=seq)
        return await self.make(
            "finish", profile, door, door.holds.FinishStep, request, lambda _: {}, token=token, seq=seq
        )

    async def checkpoint(self, door: Door, profile: str, token: int, workflow: str, number: int) -> Call:
        payload = f"{self.name} {number}".encode()
        request = pb.SaveCheckpointRequest(
            profile=profile, fencing_token=token, workflow_id=workflow, payload=payload, safe=True
        )
        return await self.make(
            *("checkpoint", profile, door, door.holds.SaveCheckpoint, request, lambda _: {}),
            token=token,
            number=number,
        )

    async def implicit(self, door: Door, profile: str, request: str) -> Call:
        """A worker for a request that names none."""
        ask = lock.RegisterImplicitWorkerRequest(
            profile=_name(profile), request_id=request, ttl=Duration(seconds=2)
        )
        return await self.make(
            *("implicit", profile, door, door.lock.RegisterImplicitWorker, ask),
            lambda got: {"worker": got.worker.rpartition("/")[2], "registered": got.registered},
            request=request,
        )

    # --- what operators, hosts and recovery do -------------------------------------------

    async def suspect(self, door: Door, profile: str, token: int, cause: str = "BROWSER_LOST") -> Call:
        request = lock.SuspectHoldRequest(
            profile=_name(profile),
            fencing_token=token,
            cause=SuspicionCause.Value(f"SUSPICION_CAUSE_{cause}"),
        )
        return await self.make(
            *("suspect", profile, door, door.lock.SuspectHold, request),
            lambda got: {"state": state(got.state), "suspected": got.suspected},
            token=token,
            cause=cause,
        )

    async def revoke(self, door: Door, profile: str, token: int) -> Call:
        request = pb.RevokeHoldRequest(profile=profile, fencing_token=token, reason="chaos")
        return await self.make(
            "revoke", profile, door, door.holds.RevokeHold, request, lambda _: {}, token=token
        )

    async def quarantine(self, door: Door, profile: str, token: int, acknowledged: bool) -> Call:
        request = lock.QuarantineIncidentRequest(incident=incident(profile, token), acknowledged=acknowledged)
        return await self.make(
            *("quarantine", profile, door, door.lock.QuarantineIncident, request),
            lambda got: {"state": state(got.state)},
            token=token,
            acknowledged=acknowledged,
        )

    async def evidence(self, door: Door, profile: str, token: int, item: str, text: str) -> Call:
        items = [EvidenceItem(name=f"{incident(profile, token)}/evidence/{item}", kind="url", text=text)]
        request = lock.AddHostEvidenceRequest(incident=incident(profile, token), items=items)
        return await self.make(
            *("evidence", profile, door, door.lock.AddHostEvidence, request),
            lambda got: {"added": got.added},
            token=token,
            item=item,
        )

    async def inspect(self, door: Door, profile: str, token: int, *, missing: bool = False) -> Call:
        evidence = Evidence(
            directory=DirectoryFinding.DIRECTORY_FINDING_CLEAN,
            account_touched=False,
            form_in_flight=False,
            missing=missing,
        )
        request = lock.RecordInspectionRequest(incident=incident(profile, token), evidence=evidence)
        return await self.make(
            *("inspect", profile, door, door.lock.RecordInspection, request),
            lambda got: {"state": state(got.state), "revision": got.revision},
            token=token,
            missing=missing,
        )

    async def decide(
        self, door: Door, profile: str, token: int, revision: int, outcome: str, resume_s: float = 3
    ) -> Call:
        request = lock.RecordDecisionRequest(
            incident=incident(profile, token),
            revision=revision,
            outcome=Outcome.Value(f"OUTCOME_{outcome}"),
            reason="chaos",
            resume_for=_duration(resume_s),
        )
        return await self.make(
            *("decide", profile, door, door.lock.RecordDecision, request),
            lambda got: {
                "state": state(got.state),
                "outcome": Outcome.Name(got.decision.outcome).removeprefix("OUTCOME_"),
            },
            token=token,
            revision=revision,
            outcome=outcome,
        )

    async def verdict(
        self,
        door: Door,
        profile: str,
        token: int,
        etag: int,
        outcome: str,
        *,
        attested: bool = False,
        resume_s: float = 3,
    ) -> Call:
        request = lock.RecordVerdictRequest(
            incident=incident(profile, token),
            etag=str(etag),
            outcome=Outcome.Value(f"OUTCOME_{outcome}"),
            reason="chaos",
            attest_destroyed=attested,
            resume_for=_duration(resume_s),
        )
        return await self.make(
            *("verdict", profile, door, door.lock.RecordVerdict, request, lambda _: {}),
            token=token,
            revision=etag,
            outcome=outcome,
            attested=attested,
        )

    async def switch(self, door: Door, profile: str, etag: int, wanted: str) -> Call:
        request = UpdateProfileRequest()
        request.profile.name, request.profile.etag = _name(profile), str(etag)
        request.profile.state = ProfileState.Value(f"PROFILE_STATE_{wanted}")
        request.update_mask.paths.append("state")
        return await self.make(
            *("switch", profile, door, door.profiles.UpdateProfile, request),
            lambda got: {"state": state(got.profile.state)},
            revision=etag,
            wanted=wanted,
        )


def state(value: ProfileState.ValueType) -> str:
    return ProfileState.Name(value).removeprefix("PROFILE_STATE_")


def incident(profile: str, token: int) -> str:
    return f"{_name(profile)}/incidents/{token}"


def _name(profile: str) -> str:
    return str(ProfileName(DEV_IDENTITY.tenant, profile))


def _id(name: str) -> str:
    return name.rpartition("/")[2]


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(int(seconds * 1000))
    return duration
