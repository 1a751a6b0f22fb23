"""What belongs to a profile directory that is sent, and when two are the same."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tenure.userdata.archive import pack
from tenure.userdata.contents import Tally, contents, digest, size


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    made = tmp_path / "profile"
    (made / "Default/Local Storage/leveldb").mkdir(parents=True)
    (made / "Default/Cookies").write_bytes(b"cookies")
    (made / "Default/Local Storage/leveldb/CURRENT").write_bytes(b"MANIFEST-1\n")
    (made / "Local State").write_bytes(b"{}")
    return made


def paths(profile: Path) -> list[str]:
    return [found.path for found in contents(profile)]


def test_folders_come_before_what_is_in_them(profile: Path) -> None:
    assert paths(profile) == [
        "Default",
        "Local State",
        "Default/Local Storage",
        "Default/Cookies",
        "Default/Local Storage/leveldb",
        "Default/Local Storage/leveldb/CURRENT",
    ]


def test_caches_and_what_only_means_something_to_a_process_stay(profile: Path) -> None:
    before = paths(profile), digest(profile)
    for folder in ("Cache/x", "Default/Code Cache", "Default/GPUCache", "GraphiteDawnCache", "Safe Browsing"):
        (profile / folder).mkdir(parents=True)
        (profile / folder / "data").write_bytes(b"much")
    (profile / "SingletonLock").symlink_to("host-17")
    (profile / "DevToolsActivePort").write_text("1")
    (profile / "Default/elsewhere").symlink_to("/etc")
    (profile / "Default/passwd").symlink_to("/etc/passwd")
    os.mkfifo(profile / "Default/pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(profile / "Default/socket"))
    assert (paths(profile), digest(profile)) == before


def test_service_workers_and_what_sites_store_go_along(profile: Path) -> None:
    for folder in ("Default/Service Worker/CacheStorage/1", "Default/IndexedDB/a.indexeddb.blob"):
        (profile / folder).mkdir(parents=True)
        (profile / folder / "0").write_bytes(b"kept")
        assert f"{folder}/0" in paths(profile)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda profile: (profile / "Local State").write_bytes(b"[]"),
    "length": lambda profile: (profile / "Local State").write_bytes(b"{ }"),
    "name": lambda profile: (profile / "Local State").rename(profile / "Local Stat"),
    "place": lambda profile: (profile / "Local State").rename(profile / "Default/Local State"),
    "mode": lambda profile: (profile / "Local State").chmod(0o755),
    "a file more": lambda profile: (profile / "First Run").touch(),
    "a folder more": lambda profile: (profile / "Default/empty").mkdir(),
    "a file less": lambda profile: (profile / "Default/Cookies").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_another_digest(profile: Path, change: Callable[[Path], object]) -> None:
    before, _ = digest(profile)
    assert digest(profile)[0] == before
    change(profile)
    assert digest(profile)[0] != before


def test_the_size_is_that_of_the_contents(profile: Path) -> None:
    assert digest(profile)[1] == len(b"cookies" + b"MANIFEST-1\n" + b"{}")


def test_what_is_told_of_one_reading_is_what_another_tells(profile: Path) -> None:
    tally = Tally()
    assert b"".join(pack(profile, tally))
    assert (tally.digest(), tally.size) == digest(profile)
    assert size(profile) == tally.size
