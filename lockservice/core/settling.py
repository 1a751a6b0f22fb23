"""A decision on its way: made on a guess, tried as a guarded Txn, and made again on what that Txn showed,
until etcd agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.states import IllegalTransition
from lockservice.etcd.txn import NOTHING, Op, Txn, delete, txn
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

T = TypeVar("T")


class Settling(Generic[T]):
    """Send what `request` returns, let it `hear` the answer, and so on until `request` returns None: then
    `result` is there.

    A refusal, or an answer without a write, is never taken from a guess. `guess` None: nothing is tried
    before a look.
    """

    def __init__(
        self, sight: Sight, decide: Callable[[Snapshot], Decision[T]], guess: Snapshot | None
    ) -> None:
        self.result: Reply[T] | Refuse | None = None
        # A write was refused of which an earlier copy may have been applied, and nothing was read since.
        self.unclear = False
        self._asked = self._sight = sight
        # What was decided on last.
        self._basis: Snapshot | None = None
        self._decide = decide
        self._snapshot = guess
        self._write: Write[T] | None = None

    @property
    def reading(self) -> bool:
        """What was requested last changes nothing."""
        return self._write is None

    def request(self) -> Txn | None:
        """Decide, as far as that goes without etcd."""
        if self.result is not None:
            return None
        snapshot = self._snapshot
        if snapshot is None:
            return self._look()
        self._basis = snapshot
        try:
            decision = self._decide(snapshot)
        except IllegalTransition:
            if snapshot.proven:
                raise
            # What a guess is made of may be of different times: a holder still in the queue, say.
            return self._look()
        if isinstance(decision, Write):
            self._write = decision
            # A guess is right nearly always, so what to read if it was not would be built, sent, logged and
            # parsed for nothing. What was read a moment ago moves on while it is fought for.
            return txn(decision.compares, decision.ops, self._reads() if snapshot.proven else ())
        if not snapshot.proven:
            return self._look()
        self.result = decision
        return None

    def _look(self) -> Txn:
        return ordered(self._asked.keys, self._reads())

    def _reads(self) -> list[Op]:
        if self._basis is not None:
            # From what was asked on: the holder of a guess may be another one's predecessor.
            self._sight = self._asked.following(self._basis)
        return self._sight.ops()

    def hear(self, answer: wire.TxnResponse, unclear: bool = False) -> None:
        """Take the answer to the last request; `unclear`: one of several copies of it. Raises Unreadable."""
        write, self._write = self._write, None
        self.unclear = False
        if write is None:
            self._snapshot = self._sight.snapshot(answer.responses[:-1])
        elif answer.succeeded:
            self.result = Reply(write.then(answer.header.revision))
        elif answer.responses:
            self._snapshot = self._sight.snapshot(answer.responses)
        else:
            self._snapshot, self.unclear = None, unclear


def ordered(keys: Keys, reads: Iterable[Op]) -> Txn:
    """Reads, at most 127, in order with all writes: it writes too (it deletes a key that is not there), so it
    goes through raft. That deletion's answer comes last.
    """
    return txn([], [*reads, delete(keys.absent, NOTHING)])
