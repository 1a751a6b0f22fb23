"""Group commit: while Txns fly, the next batch gathers; everybody gets exactly the answer to their own.

A lonely Txn goes at once and as it is. In a crowd a batch waits for those who are about to come. A batch that
etcd refused is halved until the culprit is alone; one whose outcome is unclear is halved too, and each half
sent again as it was, while somebody still wants it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from typing import Protocol

import grpc
import structlog

from lockservice.core.gathering import Gatherer, outer, split
from lockservice.etcd.errors import ClusterChanged, NotSent, OutcomeUnknown, Rejected
from lockservice.etcd.kv import ATTEMPT_S
from lockservice.etcd.txn import Txn
from lockservice.party import Party, Request, failed
from tenure import errors
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

# So many batches are under way at once, and more only while a full one waits: else each would be smaller, and
# a Txn costs its sender some 250 µs whatever is in it. Full ones in parallel hide a slow disk.
FEW, MOST = 2, 4
# In a crowd a batch goes when so many passes of the event loop in a row brought nobody more, or after so many
# seconds. A loop that is busy with calls is about to bring more of them; one at rest is through in 0.2 ms.
QUIET_PASSES = 10
MOST_HOLD_S = 0.02
_PAUSE_S = 0.05
_CLOSED = "the lock service stops"

_log = structlog.get_logger("batcher")


class Observe(Protocol):
    """Hears of each Txn that was sent: how many transitions, for how long, and what came of it: `answered`,
    `rejected`, `not_sent` or `unclear`.
    """

    def batch(self, size: int, seconds: float, outcome: str) -> None: ...


class _Hold:
    """Waits until nobody more comes, a batch is full, or it was long enough; then calls `over`."""

    __slots__ = ("_count", "_gatherer", "_loop", "_over", "_quiet", "_until")

    def __init__(self, gatherer: Gatherer[Request], over: Callable[[], None]) -> None:
        self._gatherer = gatherer
        self._over = over
        self._count = self._quiet = 0
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + MOST_HOLD_S
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        count = self._gatherer.count
        self._quiet = 0 if count > self._count else self._quiet + 1
        self._count = count
        if self._quiet > QUIET_PASSES or self._gatherer.fills_a_batch or self._loop.time() >= self._until:
            self._over()
        else:
            self._loop.call_soon(self._look)


class Batcher:
    """Sends Txns by `send`, and tells `applied` what they did before their callers hear of it."""

    def __init__(
        self,
        send: Callable[[Txn, float], Awaitable[wire.TxnResponse]],
        applied: Callable[[Iterable[Txn], int], None],
        in_flight: int = MOST,
    ) -> None:
        self.observe: Observe | None = None
        self._send = send
        self._applied = applied
        self._gatherer: Gatherer[Request] = Gatherer()
        self._few, self._most = min(FEW, in_flight), in_flight
        self._under_way = 0
        # Somebody came while another's Txn flew: others are likely to come right after.
        self._crowd = False
        self._hold: _Hold | None = None
        self._closed = False
        self._flights: set[asyncio.Task[None]] = set()

    async def one(self, request: Request, deadline: float) -> wire.TxnResponse:
        """Send one until it is known what became of it. Raises StoreUnavailable (nothing was changed) or
        OutcomeUnknown at the deadline, and what etcd's refusal means.
        """
        party = Party([request], deadline)
        if self._closed:
            raise failed(False, _CLOSED)
        if self._under_way or self._gatherer or self._crowd:
            self._gather(party.requests)
            [result] = await party.results()
        else:
            # Nobody else is here: it goes as it is, without a task of its own.
            self._under_way += 1
            try:
                await self._fly_all([request])
            finally:
                party.leave()
                self._land()
            result = request.result()
        if isinstance(result, Exception):
            raise result
        return result

    def enter(self, requests: Sequence[Request], deadline: float) -> Party:
        """Let requests go with the next batches; await the answers by `results`."""
        party = Party(requests, deadline)
        if self._closed:
            for request in requests:
                request.end(failed(False, _CLOSED))
        else:
            self._gather(requests)
        return party

    async def aclose(self) -> None:
        """End the batches that are under way; who waits is told that the outcome is not known. A lonely Txn
        ends with its caller. What comes from now on is refused: nothing was changed. Idempotent.
        """
        self._closed = True
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)
        while batch := self._gatherer.take():
            for request in batch:
                request.end(request.result())

    def _gather(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._gatherer.add(request)
        self._crowd = self._crowd or self._under_way > 0
        self._next()

    def _next(self) -> None:
        """Send the next batch, or see whether more come, where a batch may go."""
        while not self._closed and self._gatherer and self._hold is None:
            full = self._gatherer.fills_a_batch
            if self._under_way >= (self._most if full else self._few):
                return
            if full or not self._crowd:
                self._start()
            else:
                self._hold = _Hold(self._gatherer, self._held)

    def _held(self) -> None:
        self._hold = None
        if not self._closed and self._gatherer:
            self._start()
            self._next()

    def _start(self) -> None:
        batch = self._gatherer.take()
        self._under_way += 1
        self._crowd = len(batch) > 1
        flight = asyncio.create_task(self._flight(batch), name="batch", context=Context())
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)

    async def _flight(self, batch: list[Request]) -> None:
        try:
            await self._fly_all(batch)
        finally:
            self._land()

    def _land(self) -> None:
        self._under_way -= 1
        self._next()

    async def _fly_all(self, batch: list[Request]) -> None:
        try:
            await self._fly(batch)
        except Exception as error:
            _log.exception("a batch failed by a mistake of ours")
            for request in batch:
                request.end(error)
        finally:
            for request in batch:
                request.end(request.result())

    async def _fly(self, batch: Sequence[Request]) -> None:
        """Until each has its answer, or is not wanted any more."""
        groups = deque([batch])
        while groups:
            group = [request for request in groups.popleft() if request.wanted]
            if not group:
                continue
            left = max(request.party.deadline for request in group) - _now()
            if left <= 0:
                continue
            again, pause = await self._attempt(group, min(left, ATTEMPT_S))
            # At the end, so that one which is never answered does not keep the others waiting.
            groups.extend(again)
            if pause:
                await asyncio.sleep(min(_PAUSE_S, left))

    async def _attempt(self, group: list[Request], timeout: float) -> tuple[list[list[Request]], bool]:
        """Send once. Returns what is to be sent again, and whether to wait before that."""
        for request in group:
            request.sent = True
        # Unless it is heard: whoever waits may be cancelled.
        started, outcome = _now(), "unclear"
        again: list[list[Request]] = []
        try:
            answer = await self._send(outer([request.txn for request in group]), timeout)
        except NotSent as error:
            outcome, again = "not_sent", [group]
            _note(group, error)
        except OutcomeUnknown as error:
            again = _halves(group)
            _note(group, error, unclear=True)
        except ClusterChanged as error:
            # It may have been applied all the same, to a store that has another past.
            for request in group:
                request.end(failed(True, str(error)))
        except Rejected as error:
            outcome = "rejected"
            _note(group, error)
            if error.no_leader:
                again = [group]
            elif len(group) > 1:
                return _halves(group), False
            else:
                group[0].end(_refused(group[0].unclear, error))
        else:
            outcome = "answered"
            self._answer(group, answer)
        finally:
            if self.observe is not None:
                self.observe.batch(len(group), _now() - started, outcome)
        return again, bool(again)

    def _answer(self, group: list[Request], answer: wire.TxnResponse) -> None:
        parts = split(answer, len(group))
        done = [request.txn for request, part in zip(group, parts, strict=True) if part.succeeded]
        if done:
            self._applied(done, answer.header.revision)
        for request, part in zip(group, parts, strict=True):
            request.end(part)


def _refused(unclear: bool, error: Rejected) -> errors.TenureError:
    if unclear or error.code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND):
        # Out of space: transitions stall, safely, until somebody compacts and defragments. Or a lease ended
        # while its first key was on the way.
        return failed(unclear, str(error))
    return errors.Internal(f"The store refused a transition: {error}")


def _note(group: list[Request], error: Exception, *, unclear: bool = False) -> None:
    for request in group:
        request.sent = False
        request.unclear = request.unclear or unclear
        request.problem = str(error)


def _halves(group: list[Request]) -> list[list[Request]]:
    middle = len(group) // 2
    return [half for half in (group[:middle], group[middle:]) if half]


def _now() -> float:
    return asyncio.get_running_loop().time()
