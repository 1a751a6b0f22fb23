"""The only place that sends transitions to etcd.

Each is one guarded Txn now; a batch of nested ones can be gathered here without anybody else noticing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import grpc

from lockservice.core.decision import Decision, Refuse, Write
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.etcd.errors import ClusterChanged, EtcdError, NotSent, OutcomeUnknown, Rejected
from lockservice.etcd.kv import ATTEMPT_S, Kv
from lockservice.etcd.txn import Op, Txn, delete, txn
from lockservice.mirror import Mirror, Touched
from tenure import errors
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

_PAUSE_S = 0.05
_RETRY_S = 1.0

T = TypeVar("T")


class Committer:
    """Settles decisions. `touched` hears what this replica itself changed."""

    def __init__(self, kv: Kv, keys: Keys, mirror: Mirror, touched: Callable[[list[Touched]], None]) -> None:
        self._kv = kv
        self._keys = keys
        self._mirror = mirror
        self._touched = touched
        self._loaded = asyncio.Event()

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

        Raises the decision's refusal, StoreUnavailable (nothing was changed) or OutcomeUnknown. `deadline` is
        the loop's time. A refusal or an answer without a write is never taken from a guess.
        """
        await self.until_loaded(deadline)
        snapshot = self._mirror.guess(sight)
        if look_first:
            snapshot = sight.snapshot(await self.look_up(sight.ops(), deadline))
        while True:
            sight = sight.following(snapshot)
            decision = decide(snapshot)
            if isinstance(decision, Write):
                answer = await self.commit(txn(decision.compares, decision.ops, sight.ops()), deadline)
                if answer.succeeded:
                    return decision.then(answer.header.revision)
                snapshot = sight.snapshot(answer.responses)
            elif not snapshot.proven:
                snapshot = sight.snapshot(await self.look_up(sight.ops(), deadline))
            elif isinstance(decision, Refuse):
                raise decision.error
            else:
                return decision.value

    async def look_up(self, ops: Iterable[Op], deadline: float) -> list[wire.ResponseOp]:
        """Read in order with all writes: the Txn writes too (it deletes a key that is not there), so it goes
        through raft.

        At most 127 reads. Raises StoreUnavailable.
        """
        try:
            answer = await self.commit(txn([], [*ops, delete(self._keys.absent)]), deadline)
        except errors.OutcomeUnknown:
            raise errors.StoreUnavailable(retry_after_s=_RETRY_S) from None
        return list(answer.responses)[:-1]

    async def commit(self, request: Txn, deadline: float) -> wire.TxnResponse:
        """Send one Txn until it is known what became of it. Raises StoreUnavailable or OutcomeUnknown at the
        deadline.

        After an unclear outcome the *identical* one is sent again: its compares forbid that both copies
        apply, and when the second fails them the first has applied or never will.
        """
        loop = asyncio.get_running_loop()
        unclear = False
        problem = ""
        while (left := deadline - loop.time()) > 0:
            try:
                answer = await self._kv.txn(request, min(left, ATTEMPT_S))
            except NotSent as error:
                problem = str(error)
            except OutcomeUnknown as error:
                unclear, problem = True, str(error)
            except ClusterChanged as error:
                raise _failed(unclear, str(error)) from None
            except Rejected as error:
                problem = str(error)
                if not error.no_leader:
                    raise _refused(unclear, error) from None
            else:
                if answer.succeeded:
                    self._touched(self._mirror.learn(request.success, answer.header.revision))
                return answer
            await asyncio.sleep(min(_PAUSE_S, max(left, 0)))
        raise _failed(unclear, problem or "no time was left")

    async def until_loaded(self, deadline: float) -> None:
        """Wait for the mirror's first snapshot. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._loaded.wait()
        except TimeoutError:
            raise _failed(unclear=False, problem="the store was not reached since the start") from None

    async def read(self, answer: Awaitable[T]) -> T:
        """Await a read of etcd. Raises StoreUnavailable when it failed."""
        try:
            return await answer
        except EtcdError as error:
            raise _failed(unclear=False, problem=str(error)) from None


def _failed(unclear: bool, problem: str) -> errors.TenureError:
    if unclear:
        return errors.OutcomeUnknown(metadata={"store": problem}, retry_after_s=_RETRY_S)
    return errors.StoreUnavailable(
        f"The store (etcd) is not available; nothing was changed. Try again shortly. ({problem})",
        retry_after_s=_RETRY_S,
    )


def _refused(unclear: bool, error: Rejected) -> errors.TenureError:
    if unclear or error.code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND):
        # Out of space: transitions stall, safely, until somebody compacts and defragments. Or a lease ended
        # while its first key was on the way.
        return _failed(unclear, str(error))
    return errors.Internal(f"The store refused a transition: {error}")
