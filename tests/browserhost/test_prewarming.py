"""A browser launched ahead: for nobody yet, so nobody loses anything with it, and nobody's is touched."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from browserhost import directory, marker
from browserhost.config import Look
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.prewarming import Prewarmed
from tenure.errors import HostUnreachable, ProfileBusy, ProfileInReview, ProfileMissing, TokenSuperseded
from tenure.v1.hold_pb2 import ProfileState
from tests.browserhost.fakes import ALICE, Machine


async def prewarm(machine: Machine, proxy_key: str = "") -> Prewarmed:
    return await machine.profile().prewarming.prewarm(proxy_key, Look())


@pytest.fixture(autouse=True)
def consistent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crash leaves of a sound directory."""
    left = Inspection(Verdict.UNCLEAN_CONSISTENT, ("exit_type is Crashed",))
    monkeypatch.setattr(directory, "inspect", lambda *_: left)


async def released(machine: Machine, token: int = 41) -> None:
    """A hold that drove a browser, closed; and the browser closed too."""
    await machine.open(token)
    await machine.profile().close_hold(token)
    machine.locks.used.add(ALICE)
    machine.locks.revision = token + 1
    assert await machine.profile().evict()


async def test_the_first_open_of_a_prewarmed_browser_says_so_and_the_second_is_reused(
    machine: Machine,
) -> None:
    await released(machine)
    done = await prewarm(machine)
    assert (done.warm, done.before) == (True, False)
    assert {"launch", "warm_up"} <= set(done.timings)
    assert machine.profile().standing().prewarmed
    again = await prewarm(machine)
    assert (again.warm, again.before, again.timings) == (True, True, {})
    launched = len(machine.chrome.launched)
    first = await machine.open(50)
    assert (first.reused, first.prewarmed) == (False, True)
    await machine.profile().close_hold(50)
    second = await machine.open(60)
    assert (second.reused, second.prewarmed) == (True, False)
    assert len(machine.chrome.launched) == launched
    assert not machine.profile().standing().prewarmed


async def test_an_open_that_comes_during_a_prewarm_uses_its_browser(machine: Machine) -> None:
    await released(machine)
    launched = len(machine.chrome.launched)
    begun, go_on = machine.chrome.pause("launch")
    warming = asyncio.create_task(prewarm(machine))
    await begun.wait()
    opening = asyncio.create_task(machine.open(50))
    await asyncio.sleep(0)
    go_on.set()
    assert (await warming).warm
    assert (await opening).prewarmed
    assert len(machine.chrome.launched) == launched + 1


async def test_the_first_hold_of_a_new_profile_counts_as_use_though_its_browser_was_there_before(
    machine: Machine,
) -> None:
    """Rules 17 and 19: a login may be in the directory from then on."""
    assert (await prewarm(machine)).warm
    assert not machine.profile().slot.record.known.used
    assert (await machine.open(50)).prewarmed
    assert (await machine.profile().close_hold(50)).used
    machine.locks.revision = 51
    assert await machine.profile().evict()
    shutil.rmtree(machine.root.profile(ALICE).profile_dir)
    with pytest.raises(ProfileMissing):
        await machine.open(60)


async def test_no_token_of_before_a_prewarm_is_served_after_it(machine: Machine) -> None:
    """Rule 18: the floor is above mod(p) first, so a hold that was on its way to here is over."""
    await released(machine)
    await prewarm(machine)
    with pytest.raises(TokenSuperseded):
        await machine.open(machine.locks.revision)


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (ProfileState.PROFILE_STATE_HELD, ProfileBusy),
        (ProfileState.PROFILE_STATE_MANUAL_REVIEW, ProfileInReview),
    ],
)
async def test_a_profile_that_is_not_free_is_not_prewarmed(
    machine: Machine, state: ProfileState.ValueType, refusal: type[Exception]
) -> None:
    await released(machine)
    launched, machine.locks.states[ALICE] = len(machine.chrome.launched), state
    with pytest.raises(refusal):
        await prewarm(machine)
    assert len(machine.chrome.launched) == launched


async def test_a_profile_is_prewarmed_at_its_home_alone(machine: Machine) -> None:
    await released(machine)
    machine.locks.homes[ALICE] = "hosts/elsewhere"
    with pytest.raises(HostUnreachable):
        await prewarm(machine)


async def test_a_hold_that_began_meanwhile_keeps_its_browser(machine: Machine) -> None:
    await released(machine)
    machine.locks.slow = asyncio.Event()
    machine.locks.located.clear()
    warming = asyncio.create_task(prewarm(machine, "miami__fl"))
    await machine.locks.located.wait()
    opened = await machine.open(50)
    machine.locks.slow.set()
    with pytest.raises(ProfileBusy):
        await warming
    assert machine.profile().session is opened.session
    assert opened.session.page is not None


async def test_a_prewarmed_browser_with_another_proxy_is_closed_first(machine: Machine) -> None:
    await released(machine)
    await prewarm(machine)
    plain = machine.chrome.launched[-1]
    assert (await prewarm(machine, "miami__fl")).before is False
    assert plain.closed
    assert machine.chrome.launched[-1].spec.proxy_key == "miami__fl"


async def test_a_prewarmed_browser_that_dies_loses_nobody_anything(machine: Machine) -> None:
    await released(machine)
    await prewarm(machine)
    machine.browser().put_down("it was killed")
    opened = await machine.open(50)
    assert not opened.prewarmed
    assert machine.locks.suspects == []


async def test_a_host_that_dies_with_a_prewarmed_browser_reports_nothing(machine: Machine) -> None:
    await released(machine)
    await prewarm(machine)
    found = machine.profile().slot.record.known
    assert (found.held, found.end, found.driven) == (False, marker.RUNNING, 41)
    assert found.flushed_at is not None
    await machine.killed()
    assert machine.locks.suspects == []
    assert (await machine.open(50)).session.page is not None


async def test_a_host_told_not_to_prewarms_nothing_and_says_so(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await released(machine)
    launched = len(machine.chrome.launched)
    object.__setattr__(machine.profile().slot._workshop, "prewarm", False)
    done = await prewarm(machine)
    assert (done.warm, done.before) == (False, False)
    assert len(machine.chrome.launched) == launched
