"""What a host says of its browsers, and how it is emptied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from browserhost import host as hosts
from tenure.v1.host_pb2 import HostState, WarmBrowser
from tests.browserhost.fakes import ALICE, BOB, CAROL, FakeBrowser, Machine

FLORIDA = "miami__fl"
READY, CORDONED, DRAINING = (
    HostState.HOST_STATE_READY,
    HostState.HOST_STATE_CORDONED,
    HostState.HOST_STATE_DRAINING,
)


@pytest.fixture
async def machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    """One that looks all the time for what it can close."""
    monkeypatch.setattr(hosts, "DRAIN_EVERY_S", 0.001)
    await machine.host.aclose()
    machine.host = machine._host()
    await machine.host.start()
    yield machine
    await machine.host.aclose()


def running(machine: Machine) -> list[FakeBrowser]:
    return [browser for browser in machine.chrome.launched if browser.runs]


async def test_warm_is_what_nobody_is_in_session_with(machine: Machine) -> None:
    await machine.open(41, ALICE, proxy_key=FLORIDA)
    await machine.open(42, BOB)
    assert machine.host.warm() == []
    await machine.profile(ALICE).close_hold(41)
    assert machine.host.warm() == [WarmBrowser(profile=str(ALICE), proxy_key=FLORIDA)]
    # A hold goes on after its session's end, and the browser is its own.
    await machine.profile(BOB).end_session(42)
    # An incident's browser waits for somebody's decision.
    await machine.profile(BOB).quarantine(42)
    machine.locks.current[BOB] = 0
    assert [each.profile for each in machine.host.warm()] == [str(ALICE)]
    # Nor is one warm that somebody is just about to have.
    reached, go_on = machine.chrome.pause("hand_over")
    opening = asyncio.create_task(machine.open(50, ALICE, proxy_key=FLORIDA))
    await reached.wait()
    assert machine.host.warm() == []
    go_on.set()
    await opening
    await machine.profile(ALICE).close_hold(50)
    assert len(machine.host.warm()) == 1
    # Or that has ended.
    machine.chrome.launched[0].die()
    assert machine.host.warm() == []


async def test_a_draining_host_closes_what_is_idle_and_keeps_what_is_held_to_its_end(
    machine: Machine,
) -> None:
    for token, name in ((41, ALICE), (42, BOB), (43, CAROL)):
        await machine.open(token, name)
    await machine.profile(ALICE).close_hold(41)
    await machine.profile(BOB).close_hold(42)
    machine.host.scheduled(DRAINING)
    alice, bob, carol = machine.chrome.launched
    await alice.ended
    await bob.ended
    assert alice.closed
    assert carol.runs
    closed = await machine.profile(CAROL).close_hold(43)
    # Closed by the release itself: what it answers says that the cookies are on disk.
    assert carol.closed
    assert closed.flushed_at is not None
    assert machine.host.cache.taken == 0


async def test_what_is_not_free_stays_until_it_is(machine: Machine) -> None:
    """Rule 18, though the lock service's word comes from another moment than the host's own."""
    await machine.open(41, ALICE)
    await machine.open(42, BOB)
    machine.locks.busy.add(ALICE)
    await machine.profile(ALICE).close_hold(41)
    machine.locks.located.clear()
    machine.host.scheduled(DRAINING)
    await machine.locks.located.wait()
    await machine.profile(BOB).close_hold(42)
    assert [browser.spec.profile_dir.name for browser in running(machine)] == ["alice"]
    machine.locks.busy.clear()
    await machine.chrome.launched[0].ended
    assert running(machine) == []


async def test_a_drain_that_is_taken_back_keeps_browsers_warm_again(machine: Machine) -> None:
    machine.host.scheduled(DRAINING)
    # A profile that is at home here is opened all the same: it can be had nowhere else.
    await machine.open(41, ALICE)
    # An answer that says nothing changes nothing.
    machine.host.scheduled(HostState.HOST_STATE_UNSPECIFIED)
    assert machine.host.cache.draining
    machine.host.scheduled(READY)
    await machine.profile(ALICE).close_hold(41)
    assert len(machine.host.warm()) == 1
    # A cordon alone closes nothing.
    machine.host.scheduled(CORDONED)
    assert not machine.host.cache.draining
