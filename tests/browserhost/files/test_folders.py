"""A session's folders: its own only, and no link is followed out of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserhost.files.folders import Folders


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    made = Folders(tmp_path, 41, None)
    yield made
    made.close()


def write(folders: Folders, name: str, content: bytes) -> None:
    descriptor = folders.uploads.create(name)
    os.write(descriptor, content)
    os.close(descriptor)


def test_a_token_has_two_folders_that_are_its_own(folders: Folders, tmp_path: Path) -> None:
    assert folders.uploads.path == tmp_path / "uploads/41"
    assert folders.downloads.path.stat().st_mode & 0o777 == 0o700
    write(folders, "a", b"12345")
    assert folders.used() == 5
    descriptor, size = folders.uploads.open("a")
    os.close(descriptor)
    assert size == 5


def test_what_others_left_goes_and_so_does_what_was_put_nowhere(folders: Folders, tmp_path: Path) -> None:
    for left in ("uploads/40", "downloads/39", "Downloads"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "secret").touch()
    write(folders, "a", b"1")
    folders.clear_others()
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if not each.is_dir()) == [
        "uploads/41/a"
    ]
    folders.raze()
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["downloads", "uploads"]


def test_no_link_is_read_nor_written_through(folders: Folders, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folders.uploads.path / "soft").symlink_to(secret)
    (tmp_path / "other").touch()
    (folders.uploads.path / "hard").hardlink_to(tmp_path / "other")
    (folders.uploads.path / "dir").mkdir()
    os.mkfifo(folders.uploads.path / "pipe")
    for name in ("soft", "hard", "dir", "pipe", "none"):
        with pytest.raises(OSError, match=r"\w"):
            folders.uploads.open(name)
    with pytest.raises(FileExistsError):
        folders.uploads.create("soft")
    assert [name for name, _ in folders.uploads.files()] == ["hard"]
    folders.raze()
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("place", ["uploads", "downloads"])
def test_folders_that_are_links_are_refused(tmp_path: Path, place: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    own = tmp_path / "own"
    own.mkdir()
    (own / place).symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"\w"):
        Folders(own, 41, None)
    (own / place).unlink()
    (own / place).mkdir()
    (own / place / "41").symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"\w"):
        Folders(own, 41, None)
    assert list(elsewhere.iterdir()) == []


def test_a_parent_that_becomes_a_link_leads_nowhere_else(folders: Folders, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "41").mkdir(parents=True)
    (elsewhere / "41/kept").touch()
    (tmp_path / "uploads").rename(tmp_path / "moved")
    (tmp_path / "uploads").symlink_to(elsewhere)
    write(folders, "a", b"1")
    folders.clear_others()
    folders.raze()
    assert [each.name for each in (elsewhere / "41").iterdir()] == ["kept"]


def test_what_takes_the_name_of_a_new_folder_is_not_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parent's owner is quick: a second name of a file that is not its own."""
    secret = tmp_path / "secret"
    secret.touch()
    given: list[int] = []
    mkdir = os.mkdir

    def swapped(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        os.rmdir(name, dir_fd=dir_fd)
        os.link(secret, name, dst_dir_fd=dir_fd)

    def by_name(name: str, uid: int, gid: int, *, dir_fd: int, follow_symlinks: bool) -> None:
        given.append(os.stat(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks).st_ino)

    monkeypatch.setattr(os, "mkdir", swapped)
    monkeypatch.setattr(os, "chown", by_name)
    monkeypatch.setattr(os, "fchown", lambda opened, *_: given.append(os.fstat(opened).st_ino))
    with pytest.raises(NotADirectoryError):
        Folders(tmp_path, 41, (os.getuid(), os.getgid()))
    assert given == []


def test_a_new_folder_is_given_to_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda opened, *to: given.append((os.fstat(opened).st_ino, *to)))
    made = Folders(tmp_path, 41, (1234, 5678))
    made.close()
    places = ("uploads", "uploads/41", "downloads", "downloads/41")
    assert given == [((tmp_path / place).stat().st_ino, 1234, 5678) for place in places]
    Folders(tmp_path, 41, (1234, 5678)).close()
    assert len(given) == len(places)
