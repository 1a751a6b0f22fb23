"""A move that is cut short: the profile opens at its old home as before or at its new one, never at both,
and never empty. Hosts without Chrome, everything else is real.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tenure import errors
from tenure.names import ProfileName
from tenure.v1.host_service_pb2 import CordonHostRequest
from tenure.v1.profile_pb2 import Profile
from tenure.v1.profile_service_pb2 import GetProfileRequest, MoveProfileRequest
from tests.fixtures.etcd import Store
from tests.fixtures.town import Cut, Town, town_in
from tests.lockservice import incidents
from tests.lockservice.replicas import writes

ALICE = "tenants/default/profiles/alice"


@pytest.fixture
async def town(tmp_path: Path, etcd: Store) -> AsyncIterator[Town]:
    async with town_in(tmp_path, etcd) as made:
        yield made


async def signed_in(town: Town) -> tuple[str, str]:
    """Alice was used at her home, which has her login. Returns her home's name, and the other's."""
    opened = await town.open()
    home = opened.hold.home
    [other] = {host.name for host in town.hosts} - {home}
    sound(town.at(home).place("alice"))
    await town.close(opened)
    return home, other


def sound(profile: Path) -> None:
    """Make what Chrome leaves of a clean end, with a login in it."""
    (profile / "Default").mkdir()
    with contextlib.closing(sqlite3.connect(profile / "Default/Cookies")) as cookies:
        cookies.execute("CREATE TABLE cookies (name TEXT)")
    (profile / "Default/Preferences").write_text('{"profile": {"exit_type": "Normal"}}')
    (profile / "Variations").write_text('{"user_experience_metrics.stability.exited_cleanly": true}')
    login(profile, "signed in")


def login(profile: Path, word: str) -> None:
    (profile / "Default/login").write_text(word)


def logged_in(profile: Path) -> str:
    return (profile / "Default/login").read_text()


async def move(town: Town, to: str, **fields: Any) -> Profile:
    request = MoveProfileRequest(profile="alice", to=to, reason="room", **fields)
    answer = await town.call(town.profiles.MoveProfile, request)
    profile: Profile = answer.profile
    return profile


async def opens_once(town: Town) -> tuple[str, int]:
    """She opens at her home, signed in, and nowhere else; returns where, and under which token."""
    opened = await town.open()
    home, token = opened.hold.home, opened.hold.fencing_token
    browser = town.at(home).machine.browser()
    assert browser.runs
    assert logged_in(browser.spec.profile_dir) == "signed in"
    for host in town.hosts:
        if host.name != home:
            with pytest.raises(errors.HostUnreachable):
                await host.open(ALICE, token)
            assert not any(each.runs for each in host.machine.chrome.launched)
    await town.close(opened)
    return home, token


def at_old_home(method: str, *, before: bool) -> Callable[[Town, str, str], Cut]:
    def cut(town: Town, home: str, other: str) -> Cut:
        service = town.at(home).service
        return (service.before if before else service.after).setdefault(method, Cut())

    return cut


def at_new_home(method: str, *, before: bool) -> Callable[[Town, str, str], Cut]:
    def cut(town: Town, home: str, other: str) -> Cut:
        service = town.at(other).service
        return (service.before if before else service.after).setdefault(method, Cut())

    return cut


CUTS = {
    "retired": at_old_home("RetireHome", before=False),
    "half sent": at_old_home("SendProfile", before=True),
    "nothing received": at_new_home("ReceiveProfile", before=True),
    "received": at_new_home("ReceiveProfile", before=False),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
async def test_a_gateway_that_dies_on_the_way_has_moved_nothing(
    town: Town, cut: Callable[[Town, str, str], Cut]
) -> None:
    home, other = await signed_in(town)
    stopped = cut(town, home, other)
    moving = asyncio.create_task(move(town, other))
    await stopped.reached.wait()
    moving.cancel()
    await asyncio.gather(moving, return_exceptions=True)
    at, token = await opens_once(town)
    assert at == home
    # Begun anew it goes through, whatever was left lying about.
    assert (await move(town, other)).home == other
    at, later = await opens_once(town)
    assert at == other
    assert later > token


@pytest.mark.parametrize("applied", [False, True])
async def test_a_gateway_that_dies_with_its_last_step_on_the_way_has_moved_all_or_nothing(
    town: Town, applied: bool
) -> None:
    home, other = await signed_in(town)
    gate = town.here.wire.stop_next(writes(b"/m/"))
    moving = asyncio.create_task(move(town, other))
    await gate.arrived.wait()
    if applied:
        gate.opened.set()
        await town.here.until_home(ProfileName("default", "alice"), other)
    moving.cancel()
    await asyncio.gather(moving, return_exceptions=True)
    at, _ = await opens_once(town)
    assert at == (other if applied else home)
    # A Txn that comes late compares a revision that is gone.
    gate.opened.set()
    assert (await opens_once(town))[0] == at
    assert (await move(town, other)).home == other
    assert (await opens_once(town))[0] == other


async def test_two_moves_at_once_make_one(town: Town) -> None:
    _, other = await signed_in(town)
    both = await asyncio.gather(move(town, other), move(town, other), return_exceptions=True)
    won = [each for each in both if isinstance(each, Profile)]
    assert won
    assert {each.home for each in won} == {other}
    assert all(isinstance(each, Profile | errors.TenureError) for each in both)
    assert (await opens_once(town))[0] == other


async def test_a_profile_that_is_held_stays_with_its_holder(town: Town) -> None:
    home, other = await signed_in(town)
    opened = await town.open()
    with pytest.raises(errors.ProfileBusy, match=opened.hold.run_id):
        await move(town, other)
    assert town.at(home).machine.browser().runs
    await town.close(opened)


async def test_a_hold_that_begins_while_it_is_copied_wins(town: Town) -> None:
    home, other = await signed_in(town)
    service = town.at(other).service
    stopped = service.after.setdefault("ReceiveProfile", Cut())
    go_on = asyncio.Event()

    async def stay() -> None:
        stopped.reached.set()
        await go_on.wait()

    stopped.stay = stay  # type: ignore[method-assign]
    moving = asyncio.create_task(move(town, other))
    await stopped.reached.wait()
    opened = await town.open()
    assert opened.hold.home == home
    login(town.at(home).place("alice"), "signed in again")
    go_on.set()
    with pytest.raises(errors.TenureError) as refused:
        await moving
    assert isinstance(refused.value, errors.ProfileBusy)
    await town.close(opened)
    await move(town, other)
    assert logged_in(town.at(other).place("alice")) == "signed in again"


async def test_there_and_back_the_older_directory_is_put_aside(town: Town) -> None:
    home, other = await signed_in(town)
    await move(town, other)
    login(town.at(other).place("alice"), "newer")
    await move(town, home)
    assert logged_in(town.at(home).place("alice")) == "newer"
    [aside] = (town.at(home).machine.root.path / "tenants/default/aside/alice").iterdir()
    assert logged_in(aside) == "signed in"
    # Nobody asked for it, so what the other host still has stays where it is.
    assert town.at(other).place("alice").is_dir()


async def test_only_a_dead_home_is_attested_destroyed_and_its_profile_is_missing(town: Town) -> None:
    home, other = await signed_in(town)
    with pytest.raises(errors.InvalidField, match="is alive"):
        await move(town, other, attest_destroyed=True)
    frozen = town.at(home)
    await frozen.fall_silent()
    await town.until_dead(home)
    with pytest.raises(errors.HostUnreachable):
        await move(town, other)
    # An older directory at the new home is not taken for the one that is lost.
    town.at(other).place("alice").mkdir(parents=True)
    (town.at(other).place("alice") / "older").touch()
    assert (await move(town, other, attest_destroyed=True)).home == other
    with pytest.raises(errors.ProfileMissing):
        await town.open()
    # It wakes, and has its warm browser still. It serves nobody.
    found = await town.call(town.profiles.GetProfile, GetProfileRequest(profile="alice"))
    token = int(found.profile.incident.rpartition("/")[2])
    for asked in (token, int(found.profile.etag)):
        with pytest.raises(errors.TenureError) as refused:
            await frozen.open(ALICE, asked)
        assert isinstance(refused.value, errors.HoldLost | errors.ProfileQuarantined)


async def test_the_evidence_of_an_incident_is_where_it_was_after_a_move_too(town: Town) -> None:
    _, other = await signed_in(town)
    opened = await town.open()
    incident = await incidents.decided(town.here, opened.hold, "AVAILABLE")
    assert (await move(town, other)).home == other
    assert (await incidents.read(town.here, incident)).home == opened.hold.home


async def test_what_cannot_be_is_refused_and_changes_nothing(town: Town) -> None:
    home, other = await signed_in(town)
    before = await town.call(town.profiles.GetProfile, GetProfileRequest(profile="alice"))
    with pytest.raises(errors.InvalidField, match="etag"):
        await move(town, other, etag="1")
    with pytest.raises(errors.HostUnreachable):
        await move(town, "hosts/nowhere")
    with pytest.raises(errors.NotFound):
        request = MoveProfileRequest(profile="bob", to=other, reason="room")
        await town.call(town.profiles.MoveProfile, request)
    with pytest.raises(errors.InvalidField, match="reason"):
        await town.call(town.profiles.MoveProfile, MoveProfileRequest(profile="alice", to=other))
    await town.call(town.admin.CordonHost, CordonHostRequest(host=other))
    with pytest.raises(errors.NoRoom, match="cordoned"):
        await move(town, other)
    assert town.at(home).machine.browser().runs
    assert (await move(town, home)) == before.profile
