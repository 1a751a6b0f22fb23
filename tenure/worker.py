"""A worker's heartbeat: renews its lease, ends its bodies when the lease is lost, lets go of stray holds.

What is *not* guaranteed: a process that is stopped, or an event loop that is blocked, past
the deadline cannot end its bodies in time. The fence at the host refuses what they do then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from tenure.duration import to_duration, to_seconds
from tenure.errors import HoldLost, LeaseExpired, OutcomeUnknown, TenureError
from tenure.guard import Guard
from tenure.hold import Result
from tenure.lease import Lease, strays
from tenure.retry import call, call_again
from tenure.v1 import hold_pb2, hold_service_pb2, worker_service_pb2
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub

_log = logging.getLogger("tenure.worker")
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# asyncio's timers stand still while the machine sleeps, so none may be longer than what we
# accept to be late after it wakes.
_LONGEST_SLEEP_S = 1.0
_STRAY_TIMEOUT_S = 30.0
_REGISTER_TIMEOUT_S = 30.0


def boottime() -> float:
    """Seconds since boot, the machine's sleep included."""
    return time.clock_gettime(_CLOCK)


class Worker:
    """One registration, from `register` until `aclose` or until its lease is lost, for good.

    `lost` is None while the worker may act. Owned: whoever registered it closes it.
    """

    def __init__(self, workers: WorkerServiceStub, holds: HoldServiceStub, lease: Lease) -> None:
        self.lease = lease
        self.lost: TenureError | None = None
        self._workers = workers
        self._holds = holds
        self._guards: dict[str, Guard] = {}
        self._held: dict[str, hold_pb2.Hold] = {}
        self._unlisted: set[str] = set()
        self._results: dict[str, Result] = {}
        self._chores: dict[str, asyncio.Task[None]] = {}
        self._beat = [asyncio.create_task(self._renewing()), asyncio.create_task(self._watching())]

    @classmethod
    async def register(
        cls, workers: WorkerServiceStub, holds: HoldServiceStub, ttl: float, labels: Mapping[str, str]
    ) -> Worker:
        """Register a new worker with a lease of `ttl` seconds. Raises InvalidField, Unavailable."""
        sent_at = 0.0

        def request() -> worker_service_pb2.RegisterWorkerRequest:
            nonlocal sent_at
            sent_at = boottime()
            return worker_service_pb2.RegisterWorkerRequest(labels=labels, ttl=to_duration(ttl, "ttl"))

        # Safe to repeat: a copy that nobody learnt of holds nothing, and its lease runs out.
        answer = await call_again(workers.RegisterWorker, request, timeout=_REGISTER_TIMEOUT_S)
        granted = to_seconds(answer.worker.ttl)
        return cls(workers, holds, Lease(answer.worker.name, granted, sent_at))

    @property
    def name(self) -> str:
        return self.lease.worker

    def alive(self) -> bool:
        """Whether the worker may still act, by its own clock and now."""
        if self.lost is None and self.lease.expired(boottime()):
            self._lose(LeaseExpired(worker=self.name))
        return self.lost is None

    def expect(self, request_id: str) -> Guard:
        """Announce an acquire *before* it is sent; its body runs in the guard."""
        guard = self._guards[request_id] = Guard()
        if self.lost is not None:
            guard.trip(self.lost)
        return guard

    def granted(self, request_id: str, hold: hold_pb2.Hold) -> None:
        """Say what the acquire got, so that a hold that the server knows no more is noticed."""
        self._held[request_id] = hold

    def forget(self, request_id: str, *, unreleased: Result | None = None) -> None:
        """Say that the acquire and its hold are over.

        When the server lists the hold all the same it is released: with `unreleased`, the
        result that could not be told it, or else as a grant that nobody learnt of.
        """
        self._guards.pop(request_id, None)
        self._held.pop(request_id, None)
        if unreleased is not None:
            self._results[request_id] = unreleased

    async def aclose(self) -> None:
        """Let go of stray holds and end the worker; bodies still open are ended. Idempotent."""
        was_alive = self.alive()
        # Their guards go as the bodies end, but nobody vouches for what was cut short: no strays.
        cut_short = {*self._guards}
        self._lose(LeaseExpired(worker=self.name))
        await asyncio.gather(*self._beat, *self._chores.values(), return_exceptions=True)
        if not was_alive:
            return
        try:
            renew = worker_service_pb2.RenewWorkerRequest(worker=self.name)
            answer = await call(self._workers.RenewWorker, renew, timeout=5.0)
            await asyncio.gather(*(self._release(hold) for hold in strays(answer.holds, cut_short)))
            end = worker_service_pb2.EndWorkerRequest(worker=self.name)
            await call_again(self._workers.EndWorker, end, timeout=5.0)
        except TenureError as error:
            _log.warning("%s was not ended, its lease will: %s", self.name, error)

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(min(self.lease.remaining(boottime()), _LONGEST_SLEEP_S))
            if not self.alive():
                return

    async def _renewing(self) -> None:
        request = worker_service_pb2.RenewWorkerRequest(worker=self.name)
        due = self.lease.renewal_due
        while True:
            await asyncio.sleep(max(0.0, due - boottime()))
            # Also when the lease lives on at the server: a process that was stopped past its deadline
            # may be taken for dead already, and must not come back under this id.
            if not self.alive():
                return
            sent_at = boottime()
            timeout = min(self.lease.renewal_due - self.lease.sent_at, self.lease.remaining(sent_at))
            try:
                answer = await call(self._workers.RenewWorker, request, timeout=timeout)
            except LeaseExpired as error:
                self._lose(error)
                return
            except TenureError as error:
                # Without the advice that it ends with: a renewal has no request id, and is repeated anyway.
                why = str(error).removesuffix(OutcomeUnknown.text).rstrip() or "no clear answer"
                left_s = self.lease.deadline - sent_at
                _log.warning(
                    "%s was not renewed, %.1f s left, and is tried again: %s", self.name, left_s, why
                )
                due = boottime() + min(1.0, self.lease.ttl / 10)
                continue
            self.lease = self.lease.renewed(to_seconds(answer.ttl), sent_at)
            due = self.lease.renewal_due
            self._compare(answer.holds, answer.lost)

    def _compare(self, listed: Iterable[hold_pb2.Hold], lost: Iterable[hold_pb2.Hold]) -> None:
        """Set the holds that the server knows against ours."""
        listed = list(listed)
        for hold in strays(listed, self._guards):
            self._chore(hold, self._release(hold))
        known = {hold.request_id for hold in listed}
        # Not listed once is nothing: a grant may be younger than the list. Twice is worth a question.
        unlisted = {request_id for request_id in self._held if request_id not in known}
        doubtful = {hold.request_id: hold for hold in lost}
        doubtful |= {request_id: self._held[request_id] for request_id in unlisted & self._unlisted}
        self._unlisted = unlisted
        for request_id, hold in doubtful.items():
            if guard := self._guards.get(request_id):
                self._chore(hold, self._confirm_loss(hold, guard))

    def _chore(self, hold: hold_pb2.Hold, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the heartbeat, one at a time a hold."""
        if hold.request_id in self._chores:
            work.close()
            return
        task = self._chores[hold.request_id] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._chores.pop(hold.request_id))

    async def _release(self, hold: hold_pb2.Hold) -> None:
        result = self._results.get(hold.request_id, Result.FAILED_UNTOUCHED)
        _log.warning(
            "%s has %s without its worker knowing: releasing, %s", self.name, hold.profile, result.name
        )
        request = hold_service_pb2.ReleaseHoldRequest(
            profile=hold.profile, fencing_token=hold.fencing_token, result=result.wire
        )
        try:
            await call(self._holds.ReleaseHold, request, timeout=_STRAY_TIMEOUT_S)
        except TenureError as error:
            _log.warning("%s was not released, the next renewal tries again: %s", hold.profile, error)
        else:
            self._results.pop(hold.request_id, None)

    async def _confirm_loss(self, hold: hold_pb2.Hold, guard: Guard) -> None:
        """The lists are hints; only the token check may end a body."""
        request = hold_service_pb2.VerifyHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token)
        try:
            await call(self._holds.VerifyHold, request, timeout=self.lease.ttl)
        except HoldLost as error:
            guard.trip(error)
        except TenureError as error:
            _log.warning("%s may be lost and could not be verified: %s", hold.profile, error)

    def _lose(self, error: TenureError) -> None:
        if self.lost is not None:
            return
        self.lost = error
        # A renewal now would keep a lease alive under which nobody works.
        for task in [*self._beat, *self._chores.values()]:
            if task is not asyncio.current_task():
                task.cancel()
        for guard in self._guards.values():
            guard.trip(error)
