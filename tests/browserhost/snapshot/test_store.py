"""Snapshots on disk: what counts, what is half, and what is not what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browserhost.snapshot.manifest import CLOSED, Manifest
from browserhost.snapshot.store import Interrupted, Packed, Store
from tenure.userdata.archive import NotAProfile
from tenure.userdata.contents import CHUNK, digest


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    made = tmp_path / "profile"
    (made / "Default/Cache").mkdir(parents=True)
    (made / "Default/Cookies").write_bytes(b"signed in" * 999)
    (made / "Default/Cache/data").write_bytes(b"much")
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "snapshots")


def never() -> bool:
    return False


def counted(packed: Packed, **changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "id": packed.id,
        "generation": 41,
        "created_at": 1.0,
        "verified_at": 2.0,
        "digest": packed.digest,
        "size": packed.size,
        "stored": packed.stored,
        "cause": CLOSED,
    }
    return Manifest(**(values | changes))


def take(store: Store, profile: Path, generation: int = 41, **changes: Any) -> Manifest:
    packed = store.pack(profile, generation, never)
    made = counted(packed, generation=generation, **changes)
    store.keep(packed, made)
    return made


def files(store: Store) -> list[str]:
    return sorted(path.name for path in store._folder.glob("*"))


def test_what_is_unpacked_is_what_was_packed_without_caches_and_smaller(store: Store, profile: Path) -> None:
    made = take(store, profile)
    assert (made.digest, made.size) == digest(profile)
    assert made.stored < made.size
    folder = store.unpack(store.archive(made), made.digest)
    assert digest(folder) == digest(profile)
    assert not (folder / "Default/Cache").exists()
    store.clear(folder)
    assert not folder.exists()


def test_what_was_unpacked_to_last_may_be_put_elsewhere(store: Store, profile: Path, tmp_path: Path) -> None:
    made = take(store, profile)
    folder = store.unpack(store.archive(made), made.digest, lasting=True)
    folder.rename(tmp_path / "back")
    store.clear(folder)
    assert digest(tmp_path / "back") == digest(profile)


def test_an_archive_counts_only_with_its_manifest(store: Store, profile: Path) -> None:
    assert store.all() == []
    packed = store.pack(profile, 41, never)
    assert store.all() == []
    store.keep(packed, made := counted(packed))
    assert store.all() == [made]
    assert store.find(made.id) == made
    store.archive(made).unlink()
    assert store.all() == []


def test_what_is_half_made_is_swept_and_what_counts_stays(store: Store, profile: Path) -> None:
    made = take(store, profile)
    store.pack(profile, 42, never)
    (store._folder / "0000000000000040-0.tar.zst").write_bytes(b"half")
    (store._folder / ".x.unpacked").mkdir()
    store.sweep()
    assert files(store) == [f"{made.id}.json", f"{made.id}.tar.zst"]


def test_one_of_a_generation_has_a_name_of_its_own(store: Store, profile: Path) -> None:
    names = [take(store, profile).id for _ in range(3)]
    assert len(set(names)) == 3
    assert all(name.startswith("0000000000000041-") for name in names)


def test_two_that_are_packed_before_either_counts_do_not_meet(store: Store, profile: Path) -> None:
    one = store.pack(profile, 41, never)
    (profile / "Default/Cookies").write_bytes(b"signed out")
    other = store.pack(profile, 41, never)
    for packed in (one, other):
        store.keep(packed, counted(packed))
    for made in store.all():
        store.clear(store.unpack(store.archive(made), made.digest))
    assert {made.digest for made in store.all()} == {one.digest, other.digest}


def test_the_newest_comes_first(store: Store, profile: Path) -> None:
    for age in (2.0, 3.0, 1.0):
        take(store, profile, created_at=age)
    assert [each.created_at for each in store.all()] == [3.0, 2.0, 1.0]


def test_whoever_wants_the_directory_has_it_at_the_next_mebibyte(store: Store, profile: Path) -> None:
    (profile / "large").write_bytes(bytes(5 * CHUNK))
    asked = 0

    def wanted() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    with pytest.raises(Interrupted):
        store.pack(profile, 41, wanted)
    assert asked == 3
    assert files(store) == []


@pytest.mark.parametrize("place", [0, 4, 40, -3])
def test_what_is_damaged_is_no_profile(store: Store, profile: Path, place: int) -> None:
    made = take(store, profile)
    path = store.archive(made)
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(NotAProfile):
        store.unpack(path, made.digest)
    assert not list(store._folder.glob(".*"))


def test_what_is_cut_short_is_no_profile(store: Store, profile: Path) -> None:
    made = take(store, profile)
    path = store.archive(made)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(NotAProfile):
        store.unpack(path, made.digest)


def test_another_directory_is_not_taken_for_it(store: Store, profile: Path) -> None:
    made = take(store, profile)
    with pytest.raises(NotAProfile):
        store.unpack(store.archive(made), "0" * 64)


def test_what_need_not_stay_is_removed(store: Store, profile: Path) -> None:
    made = [take(store, profile, generation) for generation in (1, 2, 3)]
    assert store.prune({made[1].id}) == [made[2].id, made[0].id]
    assert store.all() == [made[1]]
    assert len(files(store)) == 2


def test_a_name_that_is_none_finds_nothing(store: Store, profile: Path, tmp_path: Path) -> None:
    made = take(store, profile)
    (tmp_path / "other.json").write_bytes((store._folder / f"{made.id}.json").read_bytes())
    assert store.find("../other") is None
    assert store.find("") is None
