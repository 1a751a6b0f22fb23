"""The only place that sends transitions to etcd. Each is one guarded Txn, which may travel in a batch."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from lockservice.batcher import Batcher
from lockservice.core.decision import Decision, Refuse
from lockservice.core.document import Unreadable
from lockservice.core.keys import Keys
from lockservice.core.settling import Settling, ordered
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.etcd.errors import EtcdError
from lockservice.etcd.kv import Kv
from lockservice.etcd.txn import Op, Txn
from lockservice.mirror import Mirror, Touched
from lockservice.party import Party, Request, failed
from tenure import errors
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName

_RETRY_S = 1.0
# Decided at a time: a batch's worth, which flies while the next is decided.
_AT_ONCE = 64

T = TypeVar("T")


class Case(NamedTuple, Generic[T]):
    """One of many decisions. `look_first`: it is on what the mirror has not."""

    sight: Sight
    decide: Callable[[Snapshot], Decision[T]]
    look_first: bool = False


class Committer:
    """Settles decisions. `touched` hears what this replica itself changed."""

    def __init__(self, kv: Kv, keys: Keys, mirror: Mirror, touched: Callable[[list[Touched]], None]) -> None:
        self._kv = kv
        self._keys = keys
        self._mirror = mirror
        self._touched = touched
        self._loaded = asyncio.Event()
        # Why there is no first snapshot yet.
        self.not_loaded = "the store was not reached since the start"
        self.batcher = Batcher(self._send, self._applied)

    def loaded(self) -> None:
        """The mirror has its first snapshot: from now on guesses make sense."""
        self._loaded.set()

    async def settle(
        self,
        sight: Sight,
        decide: Callable[[Snapshot], Decision[T]],
        deadline: float,
        *,
        look_first: bool = False,
    ) -> T:
        """Decide until etcd agrees: one round trip when the mirror's guess was right, one more for each time
        that the world moved on in between. `look_first`: the decision is on what the mirror has not.

        Raises the decision's refusal, StoreUnavailable (nothing was changed), OutcomeUnknown, or Internal for
        what another version stored. `deadline` is the loop's time.
        """
        await self.until_loaded(deadline)
        settling = Settling(sight, decide, None if look_first else self._mirror.guess(sight))
        while (txn := settling.request()) is not None:
            request = Request(txn, sight.profile)
            try:
                settling.hear(await self.batcher.one(request, deadline), request.unclear)
            except (errors.OutcomeUnknown, errors.StoreUnavailable) as error:
                raise _known(error, settling) from None
            except Unreadable as error:
                raise errors.Internal(str(error)) from None
        assert settling.result is not None, "there is nothing left to send"
        if isinstance(settling.result, Refuse):
            raise settling.result.error
        return settling.result.value

    async def settle_many(self, cases: Sequence[Case[T]], deadline: float) -> list[T | errors.TenureError]:
        """Settle many, each for itself as `settle` does, and return in order its answer or the error.

        They travel in the same batches, and those whose guess was wrong go together again. Raises
        StoreUnavailable when none was tried.
        """
        await self.until_loaded(deadline)
        tries = [_Try(case) for case in cases]
        todo = tries
        parties: list[tuple[list[_Try[T]], Party]] = []
        try:
            while todo:
                for start in range(0, len(todo), _AT_ONCE):
                    sent = [each for each in todo[start : start + _AT_ONCE] if each.prepare(self._mirror)]
                    if sent:
                        requests = [each.request for each in sent]
                        parties.append((sent, self.batcher.enter(requests, deadline)))
                        await asyncio.sleep(0)
                todo = []
                for sent, party in parties:
                    for each, answer in zip(sent, await party.results(), strict=True):
                        if not each.hear(answer):
                            todo.append(each)
                parties = []
        finally:
            for _, party in parties:
                party.leave()
        return [each.outcome() for each in tries]

    async def look_up(
        self, ops: Iterable[Op], deadline: float, profile: ProfileName | None = None
    ) -> list[wire.ResponseOp]:
        """Read in order with all writes. At most 127 reads. Raises StoreUnavailable."""
        try:
            answer = await self.commit(ordered(self._keys, ops), deadline, profile)
        except errors.OutcomeUnknown as error:
            raise _not_read(error) from None
        return list(answer.responses)[:-1]

    async def commit(
        self, request: Txn, deadline: float, profile: ProfileName | None = None
    ) -> wire.TxnResponse:
        """Send one Txn until it is known what became of it. Raises StoreUnavailable or OutcomeUnknown at the
        deadline.

        `profile`: whose keys it writes, and compares; it never shares a batch with another of the same. None
        only for a Txn that compares nothing but what it writes, what no transition writes, and whether a host
        lives.
        """
        return await self.batcher.one(Request(request, profile), deadline)

    async def until_loaded(self, deadline: float) -> None:
        """Wait for the mirror's first snapshot. Raises StoreUnavailable."""
        if self._loaded.is_set():
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._loaded.wait()
        except TimeoutError:
            raise failed(unclear=False, problem=self.not_loaded) from None

    async def read(self, answer: Awaitable[T]) -> T:
        """Await a read of etcd. Raises StoreUnavailable when it failed."""
        try:
            return await answer
        except EtcdError as error:
            raise failed(unclear=False, problem=str(error)) from None

    async def aclose(self) -> None:
        """End what is under way. Idempotent."""
        await self.batcher.aclose()

    async def _send(self, request: Txn, timeout: float) -> wire.TxnResponse:
        return await self._kv.txn(request, timeout)

    def _applied(self, done: Iterable[Txn], revision: int) -> None:
        ops = itertools.chain.from_iterable(request.success for request in done)
        self._touched(self._mirror.learn(ops, revision))


class _Try(Generic[T]):
    """A case, and how far it is."""

    def __init__(self, case: Case[T]) -> None:
        self.case = case
        self.request: Request
        self._settling: Settling[T] | None = None
        self._error: errors.TenureError | None = None

    def prepare(self, mirror: Mirror) -> bool:
        """Decide; whether there is a `request` to send."""
        if self._settling is None:
            guess = None if self.case.look_first else mirror.guess(self.case.sight)
            self._settling = Settling(self.case.sight, self.case.decide, guess)
        try:
            txn = self._settling.request()
        except Unreadable as error:
            self._error = errors.Internal(str(error))
            return False
        if txn is not None:
            self.request = Request(txn, self.case.sight.profile)
        return txn is not None

    def hear(self, answer: wire.TxnResponse | Exception) -> bool:
        """Take the answer to `request`; whether that was the end."""
        assert self._settling is not None, "what was sent was prepared"
        if isinstance(answer, errors.TenureError):
            self._error = _known(answer, self._settling)
        elif isinstance(answer, Exception):
            raise answer
        else:
            try:
                self._settling.hear(answer, self.request.unclear)
            except Unreadable as error:
                self._error = errors.Internal(str(error))
        return self._error is not None or self._settling.result is not None

    def outcome(self) -> T | errors.TenureError:
        if self._error is not None:
            return self._error
        assert self._settling is not None, "all were settled"
        result = self._settling.result
        assert result is not None, "all were settled"
        return result.error if isinstance(result, Refuse) else result.value


def _known(error: errors.TenureError, settling: Settling[T]) -> errors.TenureError:
    """What it means for a decision that its last request failed so."""
    if settling.unclear:
        # What was to be read is whether the write before was applied.
        unread = isinstance(error, errors.StoreUnavailable)
        return errors.OutcomeUnknown(metadata=error.metadata, retry_after_s=_RETRY_S) if unread else error
    return _not_read(error) if settling.reading else error


def _not_read(error: errors.TenureError) -> errors.TenureError:
    """A read of which no answer came has changed nothing."""
    if isinstance(error, errors.OutcomeUnknown):
        return errors.StoreUnavailable(retry_after_s=_RETRY_S)
    return error
