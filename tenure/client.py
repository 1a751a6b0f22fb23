"""The way in: `async with tenure.connect() as t: async with t.open("alice:linkedin") as session:`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeVar

import grpc.aio

from tenure.duration import to_duration, to_seconds
from tenure.errors import TenureError, Unavailable
from tenure.hold import HeldProfile, Result
from tenure.holding import CLEAN_UP_S, Ways, holding
from tenure.request_id import mint
from tenure.retry import call_again, shielded
from tenure.session import Session
from tenure.v1 import (
    hold_service_pb2,
    session_pb2,
    session_service_pb2,
    worker_service_pb2_grpc,
)
from tenure.viewing import Viewing
from tenure.worker import Worker

DEFAULT_TARGET = "127.0.0.1:7433"
OPEN_TIMEOUT_S = 120.0
ACQUIRE_TIMEOUT_S = 30.0
LONGEST_URL = 8192  # characters, of an address that a session may start at

# Of the keep-alive options only http2.ping_timeout_ms bounds the wait for a frozen peer in
# grpcio 1.85 (keepalive_timeout_ms alone: 63 s).
_CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class GatewayUnreachable(Unavailable):
    """Nothing answers at the address; nothing was sent. Never on the wire."""

    reason = "GATEWAY_UNREACHABLE"


@asynccontextmanager
async def connect(
    target: str = DEFAULT_TARGET,
    *,
    lease_ttl: float = 15.0,
    labels: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> AsyncIterator[Client]:
    """Connect to the gateway at `target` (`host:port`), waiting up to `timeout` seconds for it.

    The client is one worker: its lease of `lease_ttl` seconds begins with the first hold
    and is renewed every third of that. `labels` let others find it. Raises GatewayUnreachable.
    """
    async with grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS) as channel:
        try:
            async with asyncio.timeout(timeout):
                await channel.channel_ready()
        except TimeoutError:
            problem = f"Nothing answers at {target} within {timeout:g} s."
            raise GatewayUnreachable(f"{problem} Is Tenure running? `tenure up` starts it here.") from None
        client = Client(channel, lease_ttl, labels or {})
        try:
            yield client
        finally:
            await shielded(client.aclose(), timeout=CLEAN_UP_S)


class Client(Viewing):
    """A connected worker, and all that needs none. Made by `connect`; use it from the loop that made it."""

    def __init__(self, channel: grpc.aio.Channel, lease_ttl: float, labels: Mapping[str, str]) -> None:
        super().__init__(channel)
        self._workers = worker_service_pb2_grpc.WorkerServiceStub(channel)
        self._lease_ttl = lease_ttl
        self._labels = labels
        self._worker: Worker | None = None
        self._registering = asyncio.Lock()

    def open(
        self,
        profile: str,
        *,
        start_url: str = "",
        wait: float = 0.0,
        run_id: str = "",
        workflow_id: str = "",
        resume_state: bool = False,
        plan: str = "",
        restartable: bool = False,
        proxy: session_pb2.Proxy | None = None,
        reuse_session: bool | None = None,
        max_runtime: float | None = None,
        timeout: float = OPEN_TIMEOUT_S,
    ) -> AbstractAsyncContextManager[Session]:
        """Own the profile and open a browser on it, for as long as the body lasts.

        `wait`: seconds to stand in the profile's queue; 0 raises ProfileBusy at once, and
        WaitExpired ends a wait in vain. `max_runtime`: seconds after which the hold becomes
        suspect (the server's default is 1 h). `reuse_session=False` launches a fresh
        browser. `timeout`: seconds for the open beyond `wait`, retries included.

        `workflow_id` names whose checkpoint the run works on, and `plan` its steps: change it
        when they change, and CheckpointMismatch refuses to go on from an old one. A profile
        whose last run died after a safe checkpoint is kept for its workflow, which finds the
        checkpoint in `session.restored`; `resume_state` asks for it in any case. `restartable`
        declares that the task may start over should this worker die; `session.attempt` counts.

        The body is cancelled when the hold is lost, and HoldLost (LeaseExpired,
        TokenSuperseded, HoldRevoked) is raised where it ends. At its end the hold is
        released with `session.result`; read HeldProfile on what an exception means.
        Raises every reason of OpenSession as its class in `tenure.errors`.
        """
        request = session_service_pb2.OpenSessionRequest(
            profile=profile,
            start_url=start_url,
            run_id=run_id,
            workflow_id=workflow_id,
            resume_state=resume_state,
            plan=plan,
            restartable=restartable,
            proxy=proxy,
            reuse_session=reuse_session,
            max_runtime=None if max_runtime is None else to_duration(max_runtime, "max_runtime"),
        )

        async def acquire(worker: str, request_id: str) -> Session:
            request.worker, request.request_id = worker, request_id
            each_try = _with_what_is_left_of(wait, request)
            opened = await call_again(self._sessions.OpenSession, each_try, timeout=wait + timeout)
            return Session(self._holds, self._sessions, opened)

        ways = Ways(acquire, self._close, Session.disconnect, partial(self._cancel_wait, profile))
        return self._held(ways)

    def acquire(
        self,
        profile: str,
        *,
        wait: float = 0.0,
        run_id: str = "",
        workflow_id: str = "",
        resume_state: bool = False,
        plan: str = "",
        restartable: bool = False,
        proxy_key: str = "",
        max_runtime: float | None = None,
        timeout: float = ACQUIRE_TIMEOUT_S,
    ) -> AbstractAsyncContextManager[HeldProfile]:
        """Own the profile for as long as the body lasts, for those who bring their own browser. As `open`.

        `proxy_key` names the proxy that they use: a workflow resumes with the same one only.
        """
        request = hold_service_pb2.AcquireHoldRequest(
            profile=profile,
            run_id=run_id,
            workflow_id=workflow_id,
            resume_state=resume_state,
            plan=plan,
            restartable=restartable,
            proxy_key=proxy_key,
            max_runtime=None if max_runtime is None else to_duration(max_runtime, "max_runtime"),
        )

        async def acquire(worker: str, request_id: str) -> HeldProfile:
            request.worker, request.request_id = worker, request_id
            each_try = _with_what_is_left_of(wait, request)
            answer = await call_again(self._holds.AcquireHold, each_try, timeout=wait + timeout)
            restored = answer.checkpoint if answer.HasField("checkpoint") else None
            return HeldProfile(self._holds, answer.hold, restored)

        async def release(held: HeldProfile, result: Result) -> None:
            await self.release(held.profile, held.fencing_token, result)

        ways = Ways(acquire, release, HeldProfile.disconnect, partial(self._cancel_wait, profile))
        return self._held(ways)

    def take_over(
        self, profile: str, reason: str, *, run_id: str = "", timeout: float = OPEN_TIMEOUT_S
    ) -> AbstractAsyncContextManager[Session]:
        """Have the hold that there is on a profile transferred to this client, and go on where it stood.

        Its worker is cut off, and told that its token was superseded; whoever waits keeps waiting. The page
        is opened anew, at the web address where it was, in the same browser; when that fails, the hold is
        released. `reason` is for the record. Otherwise as `open`. Raises NotFound without an open session.
        """
        transfer = hold_service_pb2.TransferHoldRequest(profile=profile, run_id=run_id, reason=reason)
        request = session_service_pb2.OpenSessionRequest(profile=profile)

        async def acquire(worker: str, request_id: str) -> Session:
            if not transfer.fencing_token:
                # Once: a transfer that is asked for again is of the same hold.
                shown = await self.session_of(profile)
                transfer.fencing_token, request.start_url = shown.fencing_token, _address_of(shown)
                city, _, state = shown.proxy_key.partition("__")
                if shown.proxy_key:
                    request.proxy.CopyFrom(session_pb2.Proxy(city=city, state=state))
            transfer.to_worker, transfer.request_id = worker, request_id
            hold = (await call_again(self._holds.TransferHold, transfer, timeout=timeout)).hold
            request.fencing_token = hold.fencing_token
            try:
                opened = await call_again(self._sessions.OpenSession, request, timeout=timeout)
            except BaseException as error:
                await self._let_go(profile, hold.fencing_token, error)
                raise
            return Session(self._holds, self._sessions, opened)

        ways = Ways(acquire, self._close, Session.disconnect, partial(self._cancel_wait, profile))
        return self._held(ways)

    async def release(
        self, profile: str, fencing_token: int, result: Result = Result.SUCCEEDED
    ) -> hold_service_pb2.ReleaseHoldResponse:
        """Release a hold by its token, whoever got it. Idempotent. Raises TokenSuperseded, Unavailable."""
        request = hold_service_pb2.ReleaseHoldRequest(
            profile=profile, fencing_token=fencing_token, result=result.wire
        )
        return await call_again(self._holds.ReleaseHold, request, timeout=CLEAN_UP_S, again=_open_question)

    async def open_detached(
        self, request: session_service_pb2.OpenSessionRequest, *, timeout: float = OPEN_TIMEOUT_S
    ) -> session_service_pb2.OpenSessionResponse:
        """Open a session that outlives this client, under the request's `lease_ttl`, which nobody renews.

        End it with `release`. `timeout`: seconds beyond the request's wait. Raises as `open`.
        """
        if not request.request_id:
            request.request_id = mint()
        whole = to_seconds(request.wait) + timeout
        return await call_again(self._sessions.OpenSession, request, timeout=whole)

    async def aclose(self) -> None:
        """End the worker. Bodies still open are ended with LeaseExpired, and their holds become suspect."""
        if self._worker is not None:
            await self._worker.aclose()

    @asynccontextmanager
    async def _held(self, ways: Ways[Held]) -> AsyncIterator[Held]:
        async with self._registering:
            # An id whose lease was lost is never used again.
            if self._worker is None or not self._worker.alive():
                self._worker = await Worker.register(
                    self._workers, self._holds, self._lease_ttl, self._labels
                )
        async with holding(self._worker, ways) as held:
            yield held

    async def _close(self, session: Session, result: Result) -> None:
        request = session_service_pb2.CloseSessionRequest(
            session=session.name, fencing_token=session.fencing_token, result=result.wire
        )
        await call_again(self._sessions.CloseSession, request, timeout=CLEAN_UP_S, again=_open_question)

    async def _let_go(self, profile: str, fencing_token: int, error: BaseException) -> None:
        """Release a hold under which no session could be opened; a failure becomes a note on the error."""
        try:
            await shielded(self.release(profile, fencing_token, Result.FAILED_UNTOUCHED), timeout=CLEAN_UP_S)
        except (TenureError, TimeoutError) as problem:
            error.add_note(f"then the hold was not released: {problem}")

    async def _cancel_wait(self, profile: str, worker: str, request_id: str) -> None:
        request = hold_service_pb2.CancelWaitRequest(profile=profile, worker=worker, request_id=request_id)
        await call_again(self._holds.CancelWait, request, timeout=CLEAN_UP_S)


Held = TypeVar("Held", bound=HeldProfile)
Waiting = TypeVar("Waiting", session_service_pb2.OpenSessionRequest, hold_service_pb2.AcquireHoldRequest)


def _address_of(session: session_pb2.Session) -> str:
    """Where its page is, when that can be opened anew; "" for an error page, a blob, or what is too long."""
    web = session.url.partition("://")[0].lower() in {"http", "https"}
    return session.url if web and len(session.url) <= LONGEST_URL else ""


def _open_question(error: TenureError) -> bool:
    """A release whose host did not answer made the hold suspect: that is an answer."""
    return isinstance(error, Unavailable) and error.reason != "HOST_UNREACHABLE"


def _with_what_is_left_of(wait: float, request: Waiting) -> Callable[[], Waiting]:
    """The same request at each try, with the rest of the wait."""
    until = time.monotonic() + wait

    def at_each_try() -> Waiting:
        if wait > 0:
            # Never 0, which means "do not queue": who asks again at the end is told WAIT_EXPIRED.
            request.wait.CopyFrom(to_duration(max(0.001, until - time.monotonic()), "wait"))
        return request

    return at_each_try
