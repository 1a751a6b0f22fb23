"""Asks the lock service whether tokens are current: many questions a message, few messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial

from browserhost.clock import boottime
from servicekit.channels import Channels
from tenure.errors import OutcomeUnknown, StoreUnavailable, TenureError, Unavailable
from tenure.internal.v1.lock_service_pb2 import TokenQuery, TokenVerdict, VerifyTokensRequest
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.names import ProfileName

MAX_QUERIES = 60
# An answer later than this would count for almost nothing: it counts from when it was asked for.
ANSWER_S = 4.0


@dataclass(frozen=True, slots=True)
class Proof:
    """An answer, and when its question was sent (seconds, CLOCK_BOOTTIME)."""

    verdict: TokenVerdict
    sent_at: float


@dataclass(frozen=True, slots=True)
class _Question:
    query: TokenQuery
    answer: asyncio.Future[Proof]


class Verifier:
    """Batches questions that come in the same turn of the event loop, at most 60 a message.

    Owned: `aclose` when done; what is unanswered then is cancelled.
    """

    def __init__(self, stub: LockServiceStub, channels: Channels, host: str) -> None:
        self._stub = stub
        self._channels = channels
        self._host = host
        self._waiting: list[_Question] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._now: Callable[[], float] = boottime

    async def verify(self, name: ProfileName, token: int) -> Proof:
        """The lock service's word on a token, ordered with all its writes.

        Raises StoreUnavailable when there is no answer in time; nothing is known then.
        """
        answer: asyncio.Future[Proof] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            # A context of its own: a batch must not inherit one caller's identity and deadline.
            asyncio.get_running_loop().call_soon(self._send, context=Context())
        self._waiting.append(_Question(TokenQuery(profile=str(name), fencing_token=token), answer))
        return await answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MAX_QUERIES):
            questions = waiting[start : start + MAX_QUERIES]
            task = asyncio.create_task(self._ask(questions))
            self._sending.add(task)
            task.add_done_callback(partial(self._sent, questions))

    def _sent(self, questions: list[_Question], task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        # Only what was cancelled leaves answers open, perhaps before it took its first step.
        for each in questions:
            each.answer.cancel()

    async def _ask(self, questions: list[_Question]) -> None:
        request = VerifyTokensRequest(host=self._host, queries=[each.query for each in questions])
        sent_at = self._now()
        try:
            answer = await self._channels.invoke(self._stub.VerifyTokens, request, timeout=ANSWER_S)
            if len(answer.verdicts) != len(questions):
                raise StoreUnavailable("The lock service answered another number of questions than asked.")
        except TenureError as error:
            failure = _unavailable(error)
            for each in questions:
                if not each.answer.done():
                    each.answer.set_exception(failure)
            return
        for each, verdict in zip(questions, answer.verdicts, strict=True):
            if not each.answer.done():
                each.answer.set_result(Proof(verdict, sent_at))

    async def aclose(self) -> None:
        """Give up on what is not answered. Idempotent."""
        tasks = list(self._sending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _unavailable(error: TenureError) -> TenureError:
    """Asking changes nothing, so a question that broke off is simply one without an answer."""
    if isinstance(error, OutcomeUnknown) or not isinstance(error, Unavailable):
        return StoreUnavailable(f"The lock service could not say who holds the profile: {error}")
    return error
