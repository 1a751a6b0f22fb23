"""What a host keeps beside a profile: floor, marker, lock; and who the host is."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from browserhost import durable, floor, identity, lock, marker
from browserhost.identity import DataRootInUse, host_id, sole_host
from browserhost.marker import Marker
from browserhost.paths import DataRoot, parse_profile
from tenure.errors import DiskFull, InvalidId
from tenure.names import ProfileName

FULL_DISK = 28  # errno.ENOSPC


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(FULL_DISK, os.strerror(FULL_DISK))

    monkeypatch.setattr(os, "fsync", refuse)


def test_the_floor_survives_and_only_rises(tmp_path: Path) -> None:
    path = tmp_path / "custody" / "floor"
    assert floor.load(path) == 0
    assert floor.raise_to(path, 41) == 41
    assert floor.raise_to(path, 7) == 41
    assert floor.load(path) == 41


def test_a_floor_that_is_no_number_serves_nobody(tmp_path: Path) -> None:
    (tmp_path / "floor").write_text("")
    with pytest.raises(floor.FloorUnreadable, match="is not a number"):
        floor.load(tmp_path / "floor")


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_the_floor_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "floor").write_text("41\n")
    with pytest.raises(DiskFull) as refused:
        floor.raise_to(tmp_path / "floor", 42)
    assert refused.value.path == str(tmp_path / "floor")
    assert refused.value.free_bytes > 0
    assert floor.load(tmp_path / "floor") == 41
    assert [path.name for path in tmp_path.iterdir()] == ["floor"]


def test_a_write_is_synced_before_its_name_is_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        order.append("directory" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        real_fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        order.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    durable.write(tmp_path / "floor", b"1")
    assert order == ["file", "rename", "directory"]


def test_lines_are_added_and_nothing_is_lost(tmp_path: Path) -> None:
    durable.append(tmp_path / "findings", b"one")
    durable.append(tmp_path / "findings", b"two")
    assert (tmp_path / "findings").read_bytes() == b"one\ntwo\n"


def test_a_marker_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    stored = Marker(41, held=True, boot_id="b", pid=7, start_ticks=9, flushed_at=1.5, used=True)
    marker.store(tmp_path / "marker", stored)
    assert marker.load(tmp_path / "marker") == stored
    assert marker.load(tmp_path / "none") is None


def test_a_marker_that_cannot_be_read_promises_nothing(tmp_path: Path) -> None:
    (tmp_path / "marker").write_text("{")
    found = marker.load(tmp_path / "marker")
    assert found is not None
    assert found.used
    assert (found.held, found.flushed_at, found.end) == (False, None, marker.RUNNING)


def test_fields_of_another_version_of_the_marker_are_passed_over(tmp_path: Path) -> None:
    stored = Marker(41, held=True, boot_id="b")
    marker.store(tmp_path / "marker", stored)
    (tmp_path / "marker").write_text((tmp_path / "marker").read_text().replace("{", '{"new": 1, ', 1))
    assert marker.load(tmp_path / "marker") == stored


async def test_the_lock_stays_with_a_child_after_the_host_has_dropped_its_copy(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = lock.try_lock(path)
    assert descriptor is not None
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE, pass_fds=[descriptor]
    )
    os.close(descriptor)
    assert lock.try_lock(path) is None
    assert await lock.wait_for_lock(path, timeout=0.02) is None
    waiting = asyncio.create_task(lock.wait_for_lock(path, timeout=30))
    await child.communicate(b"\n")
    taken = await waiting
    assert taken is not None
    os.close(taken)


def test_the_lock_is_not_inherited_by_accident(tmp_path: Path) -> None:
    descriptor = lock.try_lock(tmp_path / "lock")
    assert descriptor is not None
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_host_keeps_its_id(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    minted = host_id(root)
    assert host_id(root) == minted
    assert minted.startswith("h-")
    assert host_id(DataRoot.at(tmp_path / "other")) != minted


def test_fingerprints_are_made_with_what_the_host_alone_can_read_and_keeps(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path / "data")
    salt = identity.fingerprint_salt(root)
    assert identity.fingerprint_salt(root) == salt
    assert identity.fingerprint_salt(DataRoot.at(tmp_path / "other")) != salt
    (path,) = root.path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"half")
    assert len(identity.fingerprint_salt(root)) == len(salt) == 32


def test_one_host_a_data_directory_and_the_second_names_the_first(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    with sole_host(root), pytest.raises(DataRootInUse, match=f"process {os.getpid()}"), sole_host(root):
        pass
    with sole_host(root):
        pass


def test_the_boot_id_is_this_boots() -> None:
    assert identity.boot_id() == identity.boot_id()


def test_two_spellings_are_one_place(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    typed, canonical = ProfileName("default", "alice:linkedin"), ProfileName("default", "alice_linkedin")
    assert root.profile(typed) == root.profile(canonical)
    assert root.profile(typed).profile_dir == tmp_path / "tenants/default/chrome-profile/alice_linkedin"


@pytest.mark.parametrize("bad", ["..", ".", "", "é", "a" * 129, ".ssh"])
def test_an_id_cannot_lead_out_of_the_tenants_folder(tmp_path: Path, bad: str) -> None:
    with pytest.raises(InvalidId):
        DataRoot.at(tmp_path).profile(ProfileName("default", bad))


@pytest.mark.parametrize("link", ["chrome-profile/alice", "custody/alice", "chrome-profile"])
def test_a_symbolic_link_cannot_either(tmp_path: Path, link: str) -> None:
    place = tmp_path / "tenants/default" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path)
    with pytest.raises(InvalidId, match="symbolic link"):
        DataRoot.at(tmp_path).profile(ProfileName("default", "alice"))


def test_a_data_root_may_itself_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    root = DataRoot.at(tmp_path / "link")
    assert root.profile(ProfileName("default", "alice")).profile_dir.is_relative_to(tmp_path / "real")


def test_profiles_with_a_marker_are_found_and_what_is_not_ours_is_passed_over(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    marker.store(root.profile(ProfileName("default", "alice")).marker, Marker(1, held=True, boot_id="b"))
    (tmp_path / "tenants/default/custody/.x").mkdir()
    (tmp_path / "tenants/default/custody/.x/marker").touch()
    assert [str(each.name) for each in root.marked()] == ["tenants/default/profiles/alice"]


@pytest.mark.parametrize(
    "text", ["alice", "tenants/-/profiles/a", "tenants/t/profiles", "tenants/../profiles/a"]
)
def test_only_a_full_name_is_taken_between_services(text: str) -> None:
    with pytest.raises(InvalidId):
        parse_profile(text)


def test_a_name_is_made_canonical_once_more() -> None:
    assert parse_profile("tenants/acme/profiles/alice:linkedin") == ProfileName("acme", "alice_linkedin")


def test_replacing_a_marker_on_a_full_disk_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Marker(41, held=True, boot_id="b")
    marker.store(tmp_path / "marker", old)

    def refuse(descriptor: int) -> None:
        raise OSError(FULL_DISK, "full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DiskFull):
        marker.store(tmp_path / "marker", replace(old, held=False))
    assert marker.load(tmp_path / "marker") == old
