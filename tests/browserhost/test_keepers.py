"""Whom a keeper answers, and what becomes of places where nobody listens any more."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from browserhost.keeper_store import Store
from browserhost.keepers import Keepers
from browserhost.note import Note, Seat, parse

NOTE = Note("/data/alice", "/tmp/k", "/tmp/k/t", user=(310_000, 310_000), window={"left": 0})


def store(keepers: Keepers, name: str = "k") -> Store:
    """A keeper's, with something in it."""
    called, path = keepers.listen(name)
    descriptors = [*os.pipe(), os.open("/dev/null", os.O_RDONLY), called.detach()]
    made = Store(":".join([*map(str, descriptors), "60", str(path)]))
    made.note = NOTE.text().encode()
    return made


async def test_a_socket_in_a_folder_of_any_depth_is_found(tmp_path: Path) -> None:
    keepers = Keepers(tmp_path / ("d" * 120) / "keepers", 1.0)
    made = store(keepers)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(f"/proc/self/fd/{os.open(keepers.folder, os.O_PATH)}/k")
        line = made.hand_over(b"keeper 1 2\n")
        said, descriptors, _, _ = socket.recv_fds(caller, 1 << 16, 3)
    assert line >= 0
    assert len(descriptors) == 3
    assert said.startswith(b"k")


def test_somebody_elses_process_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = store(Keepers(tmp_path, 1.0))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(tmp_path / "k"))
        assert made.hand_over(b"keeper 1 2\n") == -1
        assert caller.recv(100) == b""


def test_what_was_dropped_is_waited_for_no_more(tmp_path: Path) -> None:
    made = store(Keepers(tmp_path, 1.0))
    assert made.patience_s == 60.0
    made.drop()
    made.drop()
    assert (made.patience_s, made.fileno(), list(tmp_path.iterdir())) == (0.0, -1, [])
    made.close()
    made.close()


async def test_a_killed_keepers_place_is_cleared(tmp_path: Path) -> None:
    keepers = Keepers(tmp_path, 1.0)
    keepers.listen("dead")[0].close()
    assert await keepers.call() == []
    assert list(tmp_path.iterdir()) == []


async def test_no_folder_is_no_keepers(tmp_path: Path) -> None:
    assert await Keepers(tmp_path / "none", 1.0).call() == []


async def test_a_keeper_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.keepers.CALL_S", 0.1)
    keepers = Keepers(tmp_path, 1.0)
    listening, _ = keepers.listen("mute")
    with listening:
        assert await keepers.call() == []


@pytest.mark.parametrize("answer", [b"", b"keeper 1 2\nkept\n", b"note {}\nkept\n", b"note [1]\nkept\n"])
async def test_an_answer_that_is_none_is_given_up(tmp_path: Path, answer: bytes) -> None:
    keepers = Keepers(tmp_path, 1.0)
    listening, _ = keepers.listen("odd")

    def speak() -> None:
        talking, _ = listening.accept()
        with talking:
            talking.sendall(answer)

    with listening:
        called, _ = await asyncio.gather(keepers.call(), asyncio.to_thread(speak))
    assert called == []


def test_a_note_comes_back_as_it_was() -> None:
    seat = Seat(41, {"main": "secret", "further": {}}, 12.5, "miami__fl")
    for note in (NOTE, Note("/a", "/b", "/b", seat=seat, sessions=("A", "B"), flushed_at=1.0)):
        assert parse(note.text()) == note
        assert "\n" not in note.text()


def test_a_note_of_another_version_is_read_as_far_as_it_goes() -> None:
    assert parse('{"profile_dir":"/a","directory":"/b","own":"/b","new":1}') == Note("/a", "/b", "/b")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "7", '{"profile_dir":"/a","directory":"/b","own":"/b","seat":{}}']
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a note|Expecting value"):
        parse(text)


def test_a_notes_secrets_are_not_in_what_is_printed_of_it() -> None:
    note = Note("/a", "/b", "/b", seat=Seat(41, {"main": "s3cret", "further": {}}, 0.0, ""))
    assert "s3cret" not in repr(note)
