"""Txns on their way to the store, and who waits for their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

from lockservice.core.gathering import weight
from lockservice.etcd.txn import Txn
from tenure import errors
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName

_RETRY_S = 1.0


class Request:
    """One Txn on its way. After an unclear outcome only it itself, identical, is sent again: its conditions
    forbid that both copies apply, and when the second fails them the first has applied or never will.
    """

    __slots__ = ("lane", "outcome", "party", "problem", "sent", "size", "tenant", "txn", "unclear")

    def __init__(self, txn: Txn, profile: ProfileName | None) -> None:
        self.txn = txn
        self.tenant = profile.tenant if profile else ""
        self.lane: Hashable = profile.profile if profile else self
        self.size = weight(txn)
        self.sent = False
        self.unclear = False
        self.problem = ""
        self.outcome: wire.TxnResponse | Exception | None = None
        self.party: Party

    @property
    def wanted(self) -> bool:
        return not self.party.gone

    def end(self, outcome: wire.TxnResponse | Exception) -> None:
        """Tell the answer, once."""
        if self.outcome is None:
            self.outcome = outcome
            self.party.heard()

    def result(self) -> wire.TxnResponse | Exception:
        """The answer, or what is known without one: nothing was changed by what was not sent."""
        if self.outcome is not None:
            return self.outcome
        return failed(self.sent or self.unclear, self.problem or "no time was left")


class Party:
    """Requests, at least one, whose answers one caller waits for, until `deadline` (the loop's time)."""

    __slots__ = ("_done", "_left", "deadline", "gone", "requests")

    def __init__(self, requests: Sequence[Request], deadline: float) -> None:
        self.requests = requests
        self.deadline = deadline
        self.gone = False
        self._left = len(requests)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for request in requests:
            request.party = self

    def heard(self) -> None:
        self._left -= 1
        if not self._left and not self._done.done():
            self._done.set_result(None)

    def leave(self) -> None:
        """Nobody waits any more: what was not sent yet is not sent."""
        self.gone = True

    async def results(self) -> list[wire.TxnResponse | Exception]:
        """Wait for all answers; what has none at the deadline gets StoreUnavailable or OutcomeUnknown.

        From then on, and when the wait is cancelled, what was not sent yet is not sent any more.
        """
        try:
            async with asyncio.timeout_at(self.deadline):
                await self._done
        except TimeoutError:
            pass
        finally:
            self.leave()
        return [request.result() for request in self.requests]


def failed(unclear: bool, problem: str) -> errors.TenureError:
    """What is known of a Txn that etcd did not answer."""
    if unclear:
        return errors.OutcomeUnknown(metadata={"store": problem}, retry_after_s=_RETRY_S)
    return errors.StoreUnavailable(
        f"The store (etcd) is not available; nothing was changed. Try again shortly. ({problem})",
        retry_after_s=_RETRY_S,
    )
