"""Real replicas on real etcd, in the test's own process; and ways to tamper with what they send.

A mutant drops a guard from every Txn on its way out: the trace that the guard is for must then go wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest

from lockservice.core.document import decode, encode
from lockservice.core.gathering import outer
from lockservice.core.record import Record, State
from lockservice.core.snapshot import Sight
from lockservice.etcd.errors import OutcomeUnknown
from lockservice.etcd.txn import Txn, mod_is, put, txn
from lockservice.replica import Replica
from lockservice.rounds import SWEEP_S
from lockservice.service import register
from servicekit.call import Identity, forwarded_identity
from servicekit.channels import CHANNEL_OPTIONS
from servicekit.deadlines import REQUIRED
from servicekit.server import Server
from servicekit.settings import ServiceSettings
from tenure import errors, request_id
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.names import ProfileName
from tenure.v1 import hold_service_pb2, worker_service_pb2
from tenure.v1.hold_pb2 import Hold, RunResult
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.profile_service_pb2_grpc import ProfileServiceStub
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub

# Tests read and change what is sent as etcd reads it.
Message = wire.TxnRequest
Mutation = Callable[[Message], Message]


@dataclass
class Gate:
    """Stops the next Txn that `matches`; `arrived` tells, `open` lets it pass."""

    matches: Callable[[Message], bool]
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    lose_reply: bool = False


class Wire:
    """Stands where a committer expects the KV service. `sent` counts transitions, not batches."""

    def __init__(self, replica: Replica, mutation: Mutation | None = None) -> None:
        self._kv = replica.etcd.kv
        self._mutation = mutation
        self._gates: list[Gate] = []
        self.sent = 0
        replica.committer._kv = self  # type: ignore[assignment]  # all that it uses is here

    def stop_next(self, matches: Callable[[Message], bool]) -> Gate:
        gate = Gate(matches)
        self._gates.append(gate)
        return gate

    def lose_next_reply(self, matches: Callable[[Message], bool]) -> Gate:
        gate = Gate(matches, lose_reply=True)
        gate.opened.set()
        self._gates.append(gate)
        return gate

    async def txn(self, request: Txn, timeout: float) -> wire.TxnResponse:
        message = request.message()
        self.sent += len(members(message))
        assert independent(members(message)), "these must not meet in one batch"
        if self._mutation is not None:
            message = of_each(message, self._mutation)
            request = as_built(message)
        gate = next((gate for gate in self._gates if gate.matches(message)), None)
        if gate is None:
            return await self._kv.txn(request, timeout)
        self._gates.remove(gate)
        gate.arrived.set()
        await gate.opened.wait()
        answer = await self._kv.txn(request, 5.0)
        if gate.lose_reply:
            raise OutcomeUnknown("the reply was lost")
        return answer


def as_built(message: Message) -> Txn:
    """What is sent so that etcd reads this."""
    return Txn(message.SerializeToString(), (), 0)


def members(request: Message) -> list[Message]:
    """The transitions of which a batch consists; a Txn that is none is its own only one."""
    nested = [op.request_txn for op in request.success if op.HasField("request_txn")]
    is_batch = len(nested) > 1 and len(nested) == len(request.success) and not request.compare
    return nested if is_batch else [request]


def of_each(request: Message, mutation: Mutation) -> Message:
    """The same batch of changed transitions."""
    return outer([as_built(mutation(member)) for member in members(request)]).message()


def independent(requests: Sequence[Message]) -> bool:
    """Whether none writes what another one writes, or compares, other than whether a worker or a host lives:
    what lives is put there once more at most, and never taken away, so the one that compares came first.
    """
    written = [set(_written(request)) for request in requests]
    for i, request in enumerate(requests):
        others = set().union(*written[:i], *written[i + 1 :])
        guarded = [c for c in request.compare if not _asks_for_life(c)]
        if written[i] & others or any(_guards(compare, key) for compare in guarded for key in others):
            return False
    return True


def _asks_for_life(compare: wire.Compare) -> bool:
    is_host = b"/h/" in compare.key and compare.target == wire.Compare.COMPARE_TARGET_CREATE
    return is_host or b"/w/" in compare.key


def _written(request: Message) -> Iterator[bytes]:
    for op in request.success:
        if op.HasField("request_txn"):
            yield from _written(op.request_txn)
        elif op.HasField("request_put"):
            yield op.request_put.key
        elif op.HasField("request_delete_range") and not op.request_delete_range.key.endswith(b"/absent"):
            yield op.request_delete_range.key


def _guards(compare: wire.Compare, key: bytes) -> bool:
    return compare.key <= key < compare.range_end if compare.range_end else compare.key == key


def without_compares(*fragments: bytes, only: Callable[[Message], bool] = lambda _: True) -> Mutation:
    """A mutant that forgets every condition on keys with one of these fragments."""

    def mutate(request: Message) -> Message:
        if not only(request):
            return request
        changed = Message()
        changed.CopyFrom(request)
        del changed.compare[:]
        changed.compare.extend(c for c in request.compare if not any(f in c.key for f in fragments))
        return changed

    return mutate


def without_nested_compares(request: Message) -> Message:
    """A mutant that forgets every condition of the Txns within a Txn."""
    changed = Message()
    changed.CopyFrom(request)
    for op in changed.success:
        if op.HasField("request_txn"):
            del op.request_txn.compare[:]
    return changed


def writes(fragment: bytes) -> Callable[[Message], bool]:
    """Matches Txns that put a key with the fragment, also within a Txn of their own."""

    def matches(request: Message) -> bool:
        return any(fragment in op.request_put.key or matches(op.request_txn) for op in request.success)

    return matches


def without_writes(fragment: bytes) -> Mutation:
    """A mutant that forgets to put keys with the fragment."""

    def mutate(request: Message) -> Message:
        changed = Message()
        changed.CopyFrom(request)
        del changed.success[:]
        changed.success.extend(op for op in request.success if fragment not in op.request_put.key)
        return changed

    return mutate


@dataclass
class Running:
    """A replica with its server, and stubs to call it as a tenant's worker."""

    replica: Replica
    server: Server
    wire: Wire
    tenant: str = "default"
    roles: tuple[str, ...] = ("worker", "reviewer", "admin")
    told: list[str | None] = field(default_factory=list)
    telling: asyncio.Condition = field(default_factory=asyncio.Condition)
    _channel: grpc.aio.Channel | None = None

    def connect(self) -> None:
        self._channel = grpc.aio.insecure_channel(self.server.address, options=CHANNEL_OPTIONS)
        self.holds = HoldServiceStub(self._channel)
        self.workers = WorkerServiceStub(self._channel)
        self.profiles = ProfileServiceStub(self._channel)
        self.lock = LockServiceStub(self._channel)

    def watches_nobody(self) -> None:
        """From now on nothing becomes suspect here but by a call."""
        self.replica.overseer._rounds._look = _nothing

    async def call(self, method: Any, request: Any, timeout: float = 20.0) -> Any:
        """Make a call as the gateway does; raises the TenureError that was answered."""
        identity = Identity(self.tenant, "tests", self.roles)
        try:
            return await method(request, timeout=timeout, metadata=identity.metadata())
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None

    async def in_words(self, method: Any, request: Any, timeout: float) -> Any:
        """As `call`, made again a few times while its outcome is not known: the caller's own deadline ended
        it, as the service answers a quarter of a second before that, which is little on a busy machine; or
        the store went while it was asked.
        """
        for _ in range(3):
            with contextlib.suppress(errors.OutcomeUnknown):
                return await self.call(method, request, timeout)
        return await self.call(method, request, timeout)

    async def worker(self, ttl_s: int = 60) -> str:
        request = worker_service_pb2.RegisterWorkerRequest()
        request.ttl.FromSeconds(ttl_s)
        answer = await self.call(self.workers.RegisterWorker, request)
        name: str = answer.worker.name
        return name

    async def acquire(
        self, profile: str, worker: str, *, wait: float = 0, timeout: float = 20.0, **fields: Any
    ) -> Hold:
        fields.setdefault("request_id", request_id.mint())
        request = hold_service_pb2.AcquireHoldRequest(profile=profile, worker=worker, **fields)
        request.wait.FromMilliseconds(int(wait * 1000))
        answer = await self.call(self.holds.AcquireHold, request, timeout)
        hold: Hold = answer.hold
        return hold

    async def release(
        self, hold: Hold, result: RunResult.ValueType = RunResult.RUN_RESULT_SUCCEEDED
    ) -> hold_service_pb2.ReleaseHoldResponse:
        request = hold_service_pb2.ReleaseHoldRequest(
            profile=hold.profile, fencing_token=hold.fencing_token, result=result
        )
        answer: hold_service_pb2.ReleaseHoldResponse = await self.call(self.holds.ReleaseHold, request)
        return answer

    async def cancel(self, profile: str, worker: str, request: str) -> str:
        answer = await self.call(
            self.holds.CancelWait,
            hold_service_pb2.CancelWaitRequest(profile=profile, worker=worker, request_id=request),
        )
        return hold_service_pb2.CancelOutcome.Name(answer.outcome).removeprefix("CANCEL_OUTCOME_")

    async def verify(self, hold: Hold) -> Hold:
        answer = await self.call(
            self.holds.VerifyHold,
            hold_service_pb2.VerifyHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token),
        )
        found: Hold = answer.hold
        return found

    async def renew(self, worker: str) -> worker_service_pb2.RenewWorkerResponse:
        answer: worker_service_pb2.RenewWorkerResponse = await self.call(
            self.workers.RenewWorker, worker_service_pb2.RenewWorkerRequest(worker=worker)
        )
        return answer

    async def until_queued(self, count: int) -> None:
        """Return when so many places, over all profiles, are in this replica's mirror."""
        mirror = self.replica.mirror
        while sum(len(mirror.queue(profile)) for profile in mirror.queued()) != count:
            await self.replica._advanced.wait()

    async def until_state(self, profile: ProfileName, state: State) -> None:
        """Return when the mirror shows the profile in a state."""
        mirror = self.replica.mirror
        while (record := mirror.guess(Sight(keys=mirror.keys, profile=profile)).record) is None or (
            record.state is not state
        ):
            await self.replica._advanced.wait()

    async def until_home(self, profile: ProfileName, home: str) -> None:
        """Return when the mirror shows the profile at home at `home`, `hosts/{host}`."""
        mirror = self.replica.mirror
        while (record := mirror.record(profile)) is None or f"hosts/{record.home}" != home:
            await self.replica._advanced.wait()

    async def until_told(self, what: str | None) -> None:
        """Return when the health's last word has `what` in it; None: when all is well."""
        await self.until_told_of(lambda told: told is what if told is None or what is None else what in told)

    async def until_told_of(self, matches: Callable[[str | None], bool]) -> None:
        """Return when the health's last word, None when all is well, is one that matches."""
        async with self.telling:
            await self.telling.wait_for(lambda: self.told and matches(self.told[-1]))


@contextlib.asynccontextmanager
async def running(
    endpoints: Sequence[str], root: str, *, mutation: Mutation | None = None, sweep_s: float = SWEEP_S
) -> AsyncIterator[Running]:
    """A replica that serves, until the block is left. `sweep_s` of an hour means: none.

    That the store is away it says longer before the caller's deadline than in production, whose margin
    `test_calls` holds: a test's process is caller and replica, and on a busy machine it may stand still for
    longer than that: the deadline would strike, and no reason be heard. Any call may meet a store that is
    away or slow, under random faults above all, so it is so for all of them.
    """
    settings = ServiceSettings(listen="127.0.0.1:0", grace_s=0.2)
    server = Server("lockservice", settings, forwarded_identity, REQUIRED)
    told: list[str | None] = []
    telling = asyncio.Condition()

    async def tell(why: str | None) -> None:
        async with telling:
            told.append(why)
            telling.notify_all()
        await (server.available("etcd") if why is None else server.unavailable("etcd", why))

    replica = Replica(endpoints, root, tell, sweep_s=sweep_s)
    with pytest.MonkeyPatch.context() as early:
        early.setattr("lockservice.calls._MARGIN_S", 2.0)
        early.setattr("lockservice.calls._MARGIN_SHARE", 0.5)
        async with replica, server:
            register(server, replica)
            await server.start()
            await server.ready()
            here = Running(replica, server, Wire(replica, mutation), told=told, telling=telling)
            here.connect()
            try:
                yield here
            finally:
                assert here._channel is not None
                await here._channel.close()
                replica.part()


async def overwrite(here: Running, profile: ProfileName, **changes: Any) -> Record:
    """Write a profile's record past all rules, as recovery would have after several steps; returns it."""
    kv = here.replica.etcd.kv
    key = here.replica.keys.record(profile)
    found = await kv.get(key, 5.0)
    assert found is not None
    record = dataclasses.replace(decode(Record, found.value), **changes)
    await kv.txn(txn([mod_is(key, found.mod_revision)], [put(key, encode(record))]), 5.0)
    return record


def no_level_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: nobody looks whether a free profile has a queue, neither on events nor on the sweep."""
    monkeypatch.setattr("lockservice.acquires.may_have", lambda *_: False)
    monkeypatch.setattr("lockservice.granter.Granter._grant", _nothing)


def nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks after holds: nothing becomes suspect but by a call."""
    monkeypatch.setattr("lockservice.overseer.Overseer._look", _nothing)


async def _nothing(*_: object) -> None:
    return
