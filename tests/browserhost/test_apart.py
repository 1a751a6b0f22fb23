"""As whom browsers run, and whose their files are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from browserhost import apart, uids
from browserhost.apart import HERE, Apart, NotApart, Room
from browserhost.paths import DataRoot, ProfilePaths
from browserhost.uids import Uids
from tenure import sandbox
from tenure.sandbox import Facts, Isolation, Plan
from tests.browserhost.fakes import ALICE

IDS = range(310_000, 310_010)
TENANTS = Plan(Isolation.USER_PER_TENANT)
OFF = Plan(Isolation.NONE, "it was switched off")


class Files:
    """A profile whose folder is `owner`'s, as far as anybody is told."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int) -> None:
        self.root = DataRoot.at(tmp_path)
        self.paths: ProfilePaths = self.root.profile(ALICE)
        self.paths.profile_dir.mkdir(parents=True)
        self.given: list[int] = []
        real = Path.stat

        def stat(path: Path, **how: bool) -> os.stat_result:
            found = list(real(path, **how))
            if path == self.paths.profile_dir:
                found[4] = owner
            return os.stat_result(found)

        def own(directory: Path, uid: int) -> bool:
            self.given.append(uid)
            return True

        monkeypatch.setattr(Path, "stat", stat)
        monkeypatch.setattr(uids, "own", own)
        monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture(autouse=True)
def nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uids, "_SUBORDINATE", ())


def test_a_tenants_browser_runs_as_its_user_on_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path, monkeypatch, 0)
    made = Apart(TENANTS, files.root, Uids(tmp_path / "uids.json", IDS), None, IDS)
    assert made.room(files.paths) == Room((310_000, 310_000))
    assert files.given == [310_000]


def test_what_a_tenant_had_is_taken_back_whole_where_tenants_have_no_users_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path, monkeypatch, 310_003)
    assert Apart(OFF, files.root, None, None, IDS).room(files.paths) == Room()
    assert files.given == [0]


def test_what_is_an_ordinary_users_stays_his(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever once runs a host of his as root finds his profiles again."""
    files = Files(tmp_path, monkeypatch, 1000)
    assert Apart(OFF, files.root, None, None, IDS).room(files.paths) == Room()
    assert HERE.room(files.paths) == Room()
    assert files.given == []


def test_every_browser_has_a_control_group_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path, monkeypatch, 0)
    groups = Path("/sys/fs/cgroup/tenure-h-1")
    made = Apart(OFF, files.root, None, groups, IDS)
    first, second = Path(made.room(files.paths).cgroup), Path(made.room(files.paths).cgroup)
    assert first != second
    assert {first.parent, second.parent} == {groups}
    assert first.name.startswith("default.alice.")


def test_a_sandbox_that_is_wanted_and_cannot_be_had_keeps_the_host_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "facts", lambda *_: Facts(root=True, closed="/root"))
    found: Any = {"tmp": tmp_path, "ids": IDS, "groups": "off", "host": "h-1"}
    with pytest.raises(NotApart, match=r"'/root' is closed to other users\. To have it: keep data"):
        Apart.found("on", DataRoot.at(tmp_path), **found)
    assert Apart.found("auto", DataRoot.at(tmp_path), **found).plan.reason


def test_the_sockets_of_x_get_a_place_that_its_servers_could_not_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ".X11-unix"
    monkeypatch.setattr(apart, "_X_SOCKETS", place)
    monkeypatch.setattr(sandbox, "facts", lambda *_: Facts(root=True))
    Apart.found("auto", DataRoot.at(tmp_path), tmp=tmp_path, ids=IDS, groups="off", host="h-1")
    assert place.stat().st_mode & 0o7777 == 0o1777
