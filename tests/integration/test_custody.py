"""Copies of a login through the API: taken, put back by a person's word, imported. Hosts without Chrome,
everything else is real.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

import tenure
from browserhost import chrome
from browserhost.chrome import LaunchSpec
from tenure import errors
from tenure.client import Client
from tenure.custody import InUse
from tenure.v1 import hold_pb2, profile_pb2
from tenure.v1.profile_service_pb2 import (
    GetProfileRequest,
    ListSnapshotsRequest,
    RestoreProfileRequest,
    TakeSnapshotRequest,
    UpdateProfileRequest,
)
from tenure.v1.session_service_pb2 import OpenSessionRequest
from tests.fixtures.etcd import Store
from tests.fixtures.extensions import unpack
from tests.fixtures.sound import logged_in, sound
from tests.fixtures.town import Town, TownHost, town_in
from tests.lockservice import incidents
from tests.tenure.cli.test_commands import tenure as tenure_command


@pytest.fixture
async def town(tmp_path: Path, etcd: Store) -> AsyncIterator[Town]:
    async with town_in(tmp_path, etcd) as made:
        yield made


@pytest.fixture
async def client(town: Town) -> AsyncIterator[Client]:
    async with tenure.connect(town.address) as made:
        yield made


async def signed_in(town: Town, profile: str = "alice", login: str = "signed in") -> TownHost:
    """Used at her home, where her login is now, and released."""
    opened = await town.open(profile)
    home = town.at(opened.hold.home)
    sound(home.place(profile), cookies=12, login=login)
    await town.close(opened)
    return home


async def read(town: Town, profile: str = "alice") -> profile_pb2.Profile:
    answer = await town.call(town.profiles.GetProfile, GetProfileRequest(profile=profile))
    found: profile_pb2.Profile = answer.profile
    return found


async def switch(town: Town, state: hold_pb2.ProfileState.ValueType, profile: str = "alice") -> None:
    wanted = await read(town, profile)
    wanted.state = state
    request = UpdateProfileRequest(profile=wanted, update_mask=FieldMask(paths=["state"]))
    await town.call(town.profiles.UpdateProfile, request)


async def test_a_razed_profile_comes_back_by_a_persons_word_and_the_damaged_one_is_kept(
    town: Town, client: Client
) -> None:
    home = await signed_in(town)
    taken = await client.take_snapshot("alice", "before the change")
    assert (taken.cookies, taken.cause) == (12, profile_pb2.SNAPSHOT_CAUSE_ASKED)
    assert taken.HasField("verify_time")
    assert taken.host == home.name
    # Her next worker dies; what is found then is left to a person.
    opened = await town.open()
    (home.place("alice") / "Default/Cookies").write_bytes(b"razed")
    await incidents.reviewed(town.here, opened.hold)
    restored = await client.restore("alice", taken.name, "its cookies were razed")
    assert restored.profile.state == hold_pb2.PROFILE_STATE_MANUAL_REVIEW
    assert (Path(restored.put_aside) / "Default/Cookies").read_bytes() == b"razed"
    assert logged_in(home.place("alice")) == "signed in"
    # The worker that was taken for dead is refused, and its browser is closed.
    assert not home.machine.browser().runs
    with pytest.raises(errors.TenureError):
        await home.open("tenants/default/profiles/alice", opened.hold.fencing_token)
    assert not home.machine.browser().runs


async def test_a_disabled_profile_is_restored_and_taken_back_into_use(town: Town, client: Client) -> None:
    home = await signed_in(town)
    taken = await client.take_snapshot("alice", "before the change")
    shutil.rmtree(home.place("alice"))
    with pytest.raises(errors.InvalidField):
        await client.restore("alice", taken.name, "it is gone")
    await switch(town, hold_pb2.PROFILE_STATE_DISABLED)
    with pytest.raises(errors.InvalidField, match="etag"):
        await client.restore("alice", taken.name, "it is gone", etag="1")
    disabled = await read(town)
    restored = await client.restore("alice", taken.name, "it is gone", etag=disabled.etag)
    assert (restored.put_aside, restored.profile.state) == ("", hold_pb2.PROFILE_STATE_DISABLED)
    # A copy of the request that comes late finds nothing to do.
    again = await client.restore("alice", taken.name, "it is gone", etag=disabled.etag)
    assert again.put_aside == ""
    await switch(town, hold_pb2.PROFILE_STATE_AVAILABLE)
    opened = await town.open()
    assert opened.hold.home == home.name
    assert logged_in(home.place("alice")) == "signed in"


async def test_a_held_profile_is_neither_copied_nor_replaced(town: Town, client: Client) -> None:
    home = await signed_in(town)
    taken = await client.take_snapshot("alice", "first")
    opened = await town.open()
    with pytest.raises(errors.ProfileBusy):
        await client.take_snapshot("alice", "second")
    with pytest.raises(errors.ProfileBusy):
        await client.restore("alice", taken.name, "over its owner")
    assert home.machine.browser().runs
    await town.close(opened)


async def test_snapshots_are_listed_newest_first_in_pages(town: Town, client: Client) -> None:
    await signed_in(town)
    assert await client.snapshots("alice") == []
    taken = [await client.take_snapshot("alice", f"the {each}") for each in range(3)]
    assert [each.name for each in await client.snapshots("alice")] == [each.name for each in taken[::-1]]
    first = await town.call(town.profiles.ListSnapshots, ListSnapshotsRequest(profile="alice", page_size=2))
    rest = await town.call(
        town.profiles.ListSnapshots,
        ListSnapshotsRequest(profile="alice", page_size=2, page_token=first.next_page_token),
    )
    assert [each.name for each in (*first.snapshots, *rest.snapshots)] == [each.name for each in taken[::-1]]
    assert rest.next_page_token == ""


async def test_what_is_not_there_or_not_said_is_refused(town: Town, client: Client) -> None:
    await signed_in(town)
    name = "tenants/default/profiles/alice/snapshots/0000000000000001-0"
    await switch(town, hold_pb2.PROFILE_STATE_DISABLED)
    with pytest.raises(errors.NotFound):
        await client.restore("alice", name, "it is gone")
    with pytest.raises(errors.InvalidField, match="reason"):
        await town.call(town.profiles.TakeSnapshot, TakeSnapshotRequest(profile="alice"))
    other = RestoreProfileRequest(
        profile="alice", snapshot="tenants/other/profiles/bob/snapshots/1", reason="r"
    )
    with pytest.raises(errors.InvalidField, match="snapshot"):
        await town.call(town.profiles.RestoreProfile, other)
    with pytest.raises(errors.NotFound):
        await client.snapshots("nobody")


# --- how its browser looks ------------------------------------------------------------------------


async def test_a_profile_looks_the_same_at_its_next_home(town: Town, client: Client) -> None:
    home = await signed_in(town)
    plain = home.machine.browser().spec
    config = profile_pb2.BrowserConfig(
        viewport_width=1024, viewport_height=768, locale="de-CH", time_zone="Europe/Zurich"
    )
    changed = await client.configure(await read(town), browser=config, labels={"team": "mail"})
    assert (changed.browser_config, dict(changed.labels)) == (config, {"team": "mail"})
    # The warm browser looks otherwise, so it is exchanged when it is handed over.
    opened = await town.open()
    assert not opened.reused_session
    here = home.machine.browser().spec
    assert argv(here) != argv(plain)
    await town.close(opened)
    again = await town.open()
    assert again.reused_session
    await town.close(again)
    [other] = [host for host in town.hosts if host is not home]
    await client.move("alice", other.name, "room")
    opened = await town.open()
    assert opened.hold.home == other.name
    assert argv(other.machine.browser().spec) == argv(here)
    assert "--window-size=1024,768" in argv(here)
    assert "--accept-lang=de-CH,de" in argv(here)
    assert chrome.environment({}, here.geo)["TZ"] == "Europe/Zurich"
    await town.close(opened)


def argv(spec: LaunchSpec) -> list[str]:
    """What Chrome is started with, but for where its profile is."""
    arguments = chrome.arguments(spec, "chrome", 0, "http://127.0.0.1:1")
    return [each for each in arguments if not each.startswith("--user-data-dir")]


async def test_a_hold_that_was_taken_before_is_opened_as_the_profile_looks(
    town: Town, client: Client
) -> None:
    """A session that is opened under a token of an earlier Acquire is told the same."""
    home = await signed_in(town)
    opened = await town.open()
    await client.configure(await read(town), browser=profile_pb2.BrowserConfig(viewport_width=1111))
    await town.shut_down(opened)
    token = opened.hold.fencing_token
    request = OpenSessionRequest(profile="alice", fencing_token=token)
    again = await town.call(town.sessions.OpenSession, request)
    assert not again.reused_session
    assert home.machine.browser().spec.width == 1111
    await town.close(again)


# --- import ---------------------------------------------------------------------------------------


async def test_an_imported_login_is_at_home_with_a_snapshot_and_opens(
    town: Town, client: Client, tmp_path: Path
) -> None:
    theirs = tmp_path / "chromium"
    sound(theirs, cookies=3)
    came = await client.import_profile("bob:mail", theirs, "his old desktop")
    assert (came.cookies, came.unreadable_cookies) == (3, 0)
    assert (came.profile.name, came.profile.used) == ("tenants/default/profiles/bob_mail", True)
    assert came.profile.state == hold_pb2.PROFILE_STATE_AVAILABLE
    assert came.profile.as_sent == "bob:mail"
    assert came.snapshot.cause == profile_pb2.SNAPSHOT_CAUSE_IMPORTED
    opened = await town.open("bob:mail")
    assert logged_in(town.at(opened.hold.home).place("bob_mail")) == "signed in"
    await town.close(opened)
    with pytest.raises(errors.InvalidField, match="used"):
        await client.import_profile("bob:mail", theirs, "once more")


async def test_an_import_that_is_refused_leaves_nothing_and_may_be_tried_again(
    town: Town, client: Client, tmp_path: Path
) -> None:
    theirs = tmp_path / "chromium"
    sound(theirs, cookies=3)
    (theirs / "Default/Cookies").write_bytes(b"damaged")
    (theirs / "Default/large").write_bytes(os.urandom(9 << 20))
    with pytest.raises(errors.ProfileCorrupt):
        await client.import_profile("bob", theirs, "his old desktop")
    found = await read(town, "bob")
    assert (found.state, found.used) == (hold_pb2.PROFILE_STATE_AVAILABLE, False)
    assert not any(host.place("bob").exists() for host in town.hosts)
    sound(theirs, cookies=3)
    came = await client.import_profile("bob", theirs, "mended")
    assert came.cookies == 3


async def test_a_directory_that_is_in_use_is_not_sent(client: Client, tmp_path: Path) -> None:
    theirs = tmp_path / "chromium"
    sound(theirs)
    with (theirs / "Default/Cookies").open("rb"), pytest.raises(InUse):
        await client.import_profile("bob", theirs, "his desktop")
    (theirs / "SingletonLock").symlink_to("elsewhere-17")
    with pytest.raises(InUse):
        await client.import_profile("bob", theirs, "his desktop")
    with pytest.raises(errors.InvalidField):
        await client.import_profile("bob", tmp_path, "no profile")


# --- on the command line --------------------------------------------------------------------------


async def told(town: Town, *command: str) -> list[dict[str, Any]]:
    """What a command that must succeed says to programs."""
    status, out, err = await tenure_command(*command, "--json", "-a", town.address)
    assert status == 0, out + err
    return [json.loads(line) for line in out.splitlines()]


async def test_a_person_on_call_puts_a_login_back_by_the_line_that_why_tells(town: Town) -> None:
    home = await signed_in(town)
    [taken] = await told(town, "snapshot", "take", "alice", "--reason", "before the change")
    assert (taken["cookies"], taken["verified"]) == (12, True)
    [listed] = await told(town, "snapshot", "list", "alice")
    assert listed == taken
    status, out, _ = await tenure_command("snapshot", "list", "alice", "-a", town.address)
    assert (status, taken["snapshot"] in out) == (0, True)
    [before] = await told(town, "why", "alice")
    assert "snapshot restore" not in json.dumps(before)
    await switch(town, hold_pb2.PROFILE_STATE_DISABLED)
    shutil.rmtree(home.place("alice"))
    [why] = await told(town, "why", "alice")
    [line] = [each["command"] for each in why["advice"] if "snapshot restore" in each.get("command", "")]
    assert f" {taken['snapshot']} " in line
    status, out, err = await tenure_command(*shlex.split(line)[1:])
    assert status == 0, out + err
    assert logged_in(home.place("alice")) == "signed in"


async def test_a_desktops_profile_is_imported_and_configured(town: Town, tmp_path: Path) -> None:
    theirs = tmp_path / "chromium"
    sound(theirs, cookies=2)
    [came] = await told(town, "import", "bob:mail", str(theirs), "--reason", "his desktop")
    assert (came["cookies"], came["unreadable_cookies"]) == (2, 0)
    change = ("--locale", "de-CH", "--viewport", "1366x768", "--label", "team=mail")
    [changed] = await told(town, "config", "bob:mail", *change)
    assert (changed["locale"], changed["viewport_width"], changed["labels"]) == (
        "de-CH",
        1366,
        {"team": "mail"},
    )
    # What is not named stays.
    [changed] = await told(town, "config", "bob:mail", "--time-zone", "Europe/Zurich", "--label", "team=")
    assert (changed["locale"], changed["time_zone"], changed["labels"]) == ("de-CH", "Europe/Zurich", {})
    [digest] = await told(town, "config", "--digest", str(unpack(tmp_path / "marks")))
    asked = ("--extension", f"marks={digest['sha256']}", "--extension", f"also={'0' * 64}")
    [changed] = await told(town, "config", "bob:mail", *asked)
    assert list(changed["extensions"].items()) == [("marks", digest["sha256"]), ("also", "0" * 64)]
    assert changed["locale"] == "de-CH"
    [changed] = await told(town, "config", "bob:mail", "--extension", "")
    assert changed["extensions"] == {}
    [shown] = await told(town, "config", "bob:mail")
    assert shown == changed
    for wrong in (("--viewport", "wide"), ("--extension", "marks"), ("--digest", str(tmp_path / "none"))):
        status, _, err = await tenure_command("config", "bob:mail", *wrong, "-a", town.address)
        assert (status, wrong[0] in err) == (2, True)
    status, _, err = await tenure_command("config", "-a", town.address)
    assert (status, "PROFILE" in err) == (2, True)
