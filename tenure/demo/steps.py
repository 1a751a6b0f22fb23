"""The steps of the demo. Each claims what it shows, and returns the lines it adds to the table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tenure.cdp import CdpClosed
from tenure.client import Client
from tenure.demo.stage import Shown, Stage, claim
from tenure.errors import HoldLost, ProfileBusy, TokenSuperseded
from tenure.session import Session

ALICE, BOB = "alice:linkedin", "bob:linkedin"
_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Step:
    """A title, and what to do on the stage."""

    title: str
    play: Callable[[Stage], Awaitable[Sequence[Shown]]]


async def sign_in_cold(stage: Stage) -> list[Shown]:
    async with (
        stage.worker("one") as worker,
        worker.open(ALICE, start_url=f"{stage.site.url}/sign-in", run_id="sign-in") as session,
    ):
        stage.granted(session)
        claim(not session.reused_session, "the first open says that it used a live browser again")
        await stage.sign_in(await session.cdp(), "Alice")
        return [_opened("opened cold; signed in as Alice with mouse and keyboard", session)]


async def open_warm(stage: Stage) -> list[Shown]:
    async with (
        stage.worker("two") as worker,
        worker.open(ALICE, start_url=f"{stage.site.url}/account", run_id="look") as session,
    ):
        stage.granted(session)
        claim(session.reused_session, "the second open launched a browser instead of using the warm one")
        await stage.expect_signed_in(await session.cdp(), "Alice")
        return [_opened("opened warm in the same browser; still signed in", session)]


async def refuse_busy(stage: Stage) -> list[Shown]:
    async with (
        stage.worker("three") as worker,
        stage.worker("four") as other,
        worker.open(ALICE, start_url=f"{stage.site.url}/account", run_id="nightly-7") as session,
    ):
        stage.granted(session)
        expected = (
            f"profile_id '{ALICE}' is busy; held by run_id='nightly-7'. "
            "Use a different profile_id or wait for the existing run to finish."
        )
        try:
            async with other.open(ALICE, run_id="second") as second:
                claim(False, f"a second run got the busy profile, with token {second.fencing_token}")
        except ProfileBusy as busy:
            claim(str(busy) == expected, f"the refusal reads {str(busy)!r}")
        return [_opened("held by run nightly-7", session), Shown(f"a second run is refused: {expected}")]


async def hand_over(stage: Stage) -> list[Shown]:
    async with stage.worker("five") as worker, stage.worker("six") as other:
        async with worker.open(ALICE, start_url=f"{stage.site.url}/account", run_id="first") as first:
            stage.granted(first)
            page = await first.cdp()
            async with other.open(BOB, start_url=f"{stage.site.url}/account", run_id="beside") as beside:
                at = await (await beside.cdp()).evaluate("location.pathname")
                claim(at == "/sign-in", f"Bob's browser is not a stranger to the site; it shows {at}")
                shown = [_opened("Bob opens beside Alice; his browser knows nothing of her login", beside)]
            waiting = asyncio.create_task(_open_later(stage, other))
            try:
                await _queued(worker, waiting)
            except BaseException:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                raise
        second = await waiting
        shown.append(_opened("a run that waited has Alice as soon as she is released", second))
        try:
            await first.verify()
            claim(False, f"token {first.fencing_token} is accepted although its hold is over")
        except TokenSuperseded as refusal:
            claim(refusal.token == first.fencing_token, f"the refusal speaks of token {refusal.token}")
            shown.append(
                Shown(
                    "the old token is refused: TOKEN_SUPERSEDED; its DevTools connection is cut",
                    first.fencing_token,
                )
            )
        try:
            await page.evaluate("1")
            claim(False, "the old session's DevTools connection still drives the browser")
        except (HoldLost, CdpClosed):
            return shown
    return shown


async def _open_later(stage: Stage, worker: Client) -> Session:
    async with worker.open(
        ALICE, start_url=f"{stage.site.url}/account", run_id="waiting", wait=_WAIT_S
    ) as session:
        stage.granted(session)
        await stage.expect_signed_in(await session.cdp(), "Alice")
        return session


async def _queued(worker: Client, waiting: asyncio.Task[Session]) -> None:
    """Return once somebody stands in Alice's queue."""
    async with asyncio.timeout(_WAIT_S):
        while not waiting.done():
            if any(profile.waiters for profile in await worker.profiles()):
                return
            await asyncio.sleep(0.02)
    claim(False, f"the run that should wait ended instead: {waiting.exception()}")


async def restart_everything(stage: Stage) -> list[Shown]:
    await stage.system.stop()
    claim(not stage.system.children, "some service outlived the stop")
    await stage.system.start()
    async with (
        stage.worker("seven") as worker,
        worker.open(ALICE, start_url=f"{stage.site.url}/account", run_id="after") as session,
    ):
        stage.granted(session)
        claim(not session.reused_session, "a browser outlived the stop of its host")
        await stage.expect_signed_in(await session.cdp(), "Alice")
        return [_opened("all services and etcd stopped and started again; still signed in", session)]


def _opened(what: str, session: Session) -> Shown:
    return Shown(what, session.fencing_token, session.reused_session, session.timings)


STEPS = (
    Step(f"open {ALICE} cold and sign in", sign_in_cold),
    Step("close it, open it again: warm, still signed in", open_warm),
    Step("a second run on the busy profile is refused", refuse_busy),
    Step("another profile beside it; a waiting run takes over with a higher token", hand_over),
    Step("stop and start every service and etcd", restart_everything),
)
