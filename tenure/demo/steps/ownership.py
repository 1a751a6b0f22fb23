"""One owner at a time, a browser that stays warm, and a login that stays with its profile."""

from __future__ import annotations

import asyncio

from tenure.cdp import CdpClosed
from tenure.client import Client
from tenure.demo.claims import Shown, claim, opened
from tenure.demo.stage import ALICE, BOB, WAIT_S, Stage
from tenure.errors import HoldLost, ProfileBusy, TokenSuperseded
from tenure.session import Session


async def sign_in_cold(stage: Stage) -> list[Shown]:
    async with (
        stage.worker("one") as worker,
        worker.open(ALICE, start_url=f"{stage.site.url}/sign-in", run_id="sign-in") as session,
    ):
        stage.granted(session.fencing_token)
        claim(not session.reused_session, "the first open says that it used a live browser again")
        await stage.sign_in(await session.cdp(), "Alice")
        return [opened("opened cold; signed in as Alice with mouse and keyboard", session)]


async def open_warm(stage: Stage) -> list[Shown]:
    async with (
        stage.worker("two") as worker,
        worker.open(ALICE, start_url=f"{stage.site.url}/account", run_id="look") as session,
    ):
        stage.granted(session.fencing_token)
        claim(session.reused_session, "the second open launched a browser instead of using the warm one")
        await stage.expect_signed_in(await session.cdp(), "Alice")
        return [opened("opened warm in the same browser; still signed in", session)]


async def refuse_busy(stage: Stage) -> list[Shown]:
    async with (
        stage.worker("three") as worker,
        stage.worker("four") as other,
        worker.open(ALICE, start_url=f"{stage.site.url}/account", run_id="nightly-7") as session,
    ):
        stage.granted(session.fencing_token)
        expected = (
            f"profile_id '{ALICE}' is busy; held by run_id='nightly-7'. "
            "Use a different profile_id or wait for the existing run to finish."
        )
        try:
            async with other.open(ALICE, run_id="second") as second:
                claim(False, f"a second run got the busy profile, with token {second.fencing_token}")
        except ProfileBusy as busy:
            claim(str(busy) == expected, f"the refusal reads {str(busy)!r}")
        return [opened("held by run nightly-7", session), Shown(f"a second run is refused: {expected}")]


async def hand_over(stage: Stage) -> list[Shown]:
    async with stage.worker("five") as worker, stage.worker("six") as other:
        async with worker.open(ALICE, start_url=f"{stage.site.url}/account", run_id="first") as first:
            stage.granted(first.fencing_token)
            page = await first.cdp()
            async with other.open(BOB, start_url=f"{stage.site.url}/account", run_id="beside") as beside:
                at = await (await beside.cdp()).evaluate("location.pathname")
                claim(at == "/sign-in", f"Bob's browser is not a stranger to the site; it shows {at}")
                shown = [opened("Bob opens beside Alice; his browser knows nothing of her login", beside)]
            waiting = asyncio.create_task(_open_later(stage, other))
            try:
                await stage.queued(worker, waiting)
            except BaseException:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                raise
        second = await waiting
        shown.append(opened("a run that waited has Alice as soon as she is released", second))
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
        ALICE, start_url=f"{stage.site.url}/account", run_id="waiting", wait=WAIT_S
    ) as session:
        stage.granted(session.fencing_token)
        await stage.expect_signed_in(await session.cdp(), "Alice")
        return session


async def restart_everything(stage: Stage) -> list[Shown]:
    await stage.system.stop()
    claim(not stage.system.children, "some service outlived the stop")
    await stage.system.start()
    async with (
        stage.worker("seven") as worker,
        worker.open(ALICE, start_url=f"{stage.site.url}/account", run_id="after") as session,
    ):
        stage.granted(session.fencing_token)
        claim(not session.reused_session, "a browser outlived the stop of its host")
        await stage.expect_signed_in(await session.cdp(), "Alice")
        return [opened("all services and etcd stopped and started again; still signed in", session)]
