"""A tenant's user id: given once, kept for good, nobody else's; and what is made a tenant's."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from browserhost import uids
from browserhost.uids import NoMoreIds, Uids, open_the_way, own

IDS = range(310_000, 310_004)


@pytest.fixture(autouse=True)
def nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uids, "_SUBORDINATE", ())


def test_each_tenant_keeps_its_own_over_restarts(tmp_path: Path) -> None:
    file = tmp_path / "uids.json"
    first = Uids(file, IDS)
    assert [first.of(each) for each in ("a", "b", "a")] == [310_000, 310_001, 310_000]
    assert [Uids(file, IDS).of(each) for each in ("c", "b", "a")] == [310_002, 310_001, 310_000]


def test_an_id_that_was_given_is_never_given_again(tmp_path: Path) -> None:
    """Though its tenant is gone from the file's head, what it left on disk is still its own."""
    file = tmp_path / "uids.json"
    file.write_text('{"gone": 310002}')
    assert Uids(file, IDS).of("a") == 310_003
    with pytest.raises(NoMoreIds, match="310000 and 310003"):
        Uids(file, IDS).of("b")


def test_ids_of_users_and_of_containers_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subordinate = tmp_path / "subuid"
    subordinate.write_text("# a comment\nuser:310001:2\nbroken:x:\n")
    monkeypatch.setattr(uids, "_SUBORDINATE", (subordinate, tmp_path / "missing"))
    monkeypatch.setattr(uids, "_has_a_name", lambda uid: uid == 310_000)
    assert Uids(tmp_path / "uids.json", IDS).of("a") == 310_003


def test_tenants_that_come_at_the_same_moment_get_ids_of_their_own(tmp_path: Path) -> None:
    """Each launch asks from a thread of its own."""
    ids = Uids(tmp_path / "uids.json", range(310_000, 310_064))
    start = Barrier(8)

    def ask(number: int) -> int:
        start.wait(30)
        return ids.of(f"tenant-{number}")

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 8


class Given:
    """Notes what is given to whom; an ordinary user could not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        monkeypatch.setattr(os, "fchown", self.fchown)
        monkeypatch.setattr(os, "chown", self.chown)

    def fchown(self, descriptor: int, uid: int, gid: int) -> None:
        self.names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    def chown(self, path: Any, uid: int, gid: int, **how: Any) -> None:
        assert how["follow_symlinks"] is False
        self.names.append(Path(path).name)


def profile(tmp_path: Path) -> Path:
    made = tmp_path / "alice"
    (made / "Default").mkdir(parents=True)
    (made / "Default" / "Cookies").touch()
    (made / "SingletonLock").symlink_to("host-1")
    return made


def test_everything_in_a_profile_becomes_its_tenants_and_the_folder_itself_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Given(monkeypatch)
    assert own(profile(tmp_path), 310_000)
    assert sorted(given.names) == ["Cookies", "Default", "SingletonLock", "alice"]
    assert given.names[-1] == "alice"


def test_what_is_its_tenants_already_is_not_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch)
    assert not own(profile(tmp_path), os.geteuid())
    assert given.names == []


def test_a_link_gives_away_nothing_that_is_not_the_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, secret = profile(tmp_path), tmp_path / "secret"
    secret.touch()
    (made / "hard").hardlink_to(secret)
    (made / "soft").symlink_to(secret)
    (made / "folder").symlink_to(tmp_path)
    os.mkfifo(made / "fifo")
    given = Given(monkeypatch)
    own(made, 310_000)
    # The links themselves are, which leads nowhere.
    assert sorted(given.names) == ["Cookies", "Default", "SingletonLock", "alice", "folder", "soft"]


def test_the_way_to_a_profile_may_be_passed_and_not_looked_into(tmp_path: Path) -> None:
    root = tmp_path / "data"
    place = root / "tenants" / "default" / "chrome-profile" / "alice"
    place.mkdir(parents=True)
    for each in (root, *(each for each in place.parents if root in each.parents), place):
        each.chmod(0o700)
    open_the_way(place, root)
    modes = [
        each.stat().st_mode & 0o777 for each in (place.parents[0], place.parents[2], root, tmp_path, place)
    ]
    assert modes == [0o711, 0o711, 0o711, 0o700, 0o700]
