"""What a host measures of real browsers, and what it makes of one that hangs, or that the machine ended."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from browserhost import vitals
from browserhost.autopsy import Cause
from browserhost.limits import Bounds
from browserhost.session import State
from browserhost.watchdog import LOOK_S, Watchdog
from tests.browserhost.fakes import ALICE, BOB
from tests.fixtures.chrome import Site, until
from tests.fixtures.rig import Rig

MB = 1 << 20


async def test_what_browsers_really_take_decides_which_goes(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.open(41, f"{site.url}/a")
        await running.open(42, f"{site.url}/b", name=BOB)
        await running.close(41)
        cache = running.host.cache
        await running.host.sweeper.sweep()
        assert set(cache.sizes) == {str(ALICE), str(BOB)}
        assert all(30 * MB < size < 2000 * MB for size in cache.sizes.values())
        first = running.browser()
        # One fits, two do not; the held one stays whatever it takes.
        cache.bounds = Bounds(8, most=min(cache.sizes.values()))
        await running.host.sweeper.sweep()
        assert first.ended.result().expected
        assert list(running.host.live()) == [str(BOB)]
        await running.host.profile(BOB).close_hold(42)


async def test_a_stopped_chrome_is_ended_and_a_busy_one_never(rig: Rig, site: Site) -> None:
    """The watchdog's clock is the test's; what it reads of the processes is the machine's."""
    async with rig.host() as running:
        await running.establish()
        opened = await running.open(41, f"{site.url}/a")
        browser, now = running.browser(), 0.0
        dog = Watchdog(running.host.live, now=lambda: now)

        async def looks(times: int) -> None:
            nonlocal now
            for _ in range(times):
                now += LOOK_S
                await dog.look()

        await looks(1)
        # It answers while its page computes without end.
        page = await browser.in_view()
        browser.mux.root.post("Runtime.evaluate", {"expression": "for (;;) {}"}, page.session)
        for _ in range(5):
            await until(lambda: not dog.silent)
            await looks(1)
        assert not browser.ended.done()
        await until(lambda: not dog.silent)
        os.kill(browser.pid, signal.SIGSTOP)
        # Its page computes on, which says nothing for it after a minute.
        await looks(15)
        end = await browser.ended
        assert end.cause is Cause.HUNG
        assert "hung" in end.how
        await until(lambda: running.locks.suspects)
        assert running.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]
        assert opened.session.state is State.CRASHED
        await dog.aclose()


@pytest.mark.parametrize(
    ("what", "after", "cause", "words"),
    [
        ("_oom_kills", 1, Cause.MEMORY, "when the machine ran out of memory"),
        ("_free", 0, Cause.DISK, "and its disk is full"),
    ],
)
async def test_an_end_for_want_of_something_is_said_to_be_one(
    rig: Rig,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    after: int,
    cause: Cause,
    words: str,
) -> None:
    async with rig.host() as running:
        await running.establish()
        real = getattr(vitals, what)
        await running.open(41, f"{site.url}/a")
        browser = running.browser()
        before = real() if what == "_oom_kills" else 0
        monkeypatch.setattr(vitals, what, lambda *_: before + after)
        await running.kill_chrome()
        assert (await browser.ended).cause is cause
        assert words in browser.ended.result().how
        await asyncio.wait_for(running.locks.told.wait(), 30)
        marker = rig.custody()[1]
        assert words in marker.detail
        monkeypatch.undo()
