"""What is said to a browser that an earlier host left, and what its keeper is told. Without Chrome."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from browserhost.browser import Browser, LaunchSpec, NotAdopted
from browserhost.keepers import Called, Keepers
from browserhost.note import Note, parse
from tenure import processes
from tests.fixtures.chrome import until

PAGE = {"targetId": "T", "type": "page", "browserContextId": "C", "url": "http://a.test/"}
RESULTS: dict[str, dict[str, Any]] = {
    "Target.attachToBrowserTarget": {"sessionId": "WATCH"},
    "Target.getTargets": {"targetInfos": [PAGE]},
    "Page.getFrameTree": {"frameTree": {"frame": {"id": "T", "loaderId": "L", "url": "http://a.test/"}}},
}


@dataclass
class Left:
    """Keeper and Chrome at once: a process to be watched, and the other ends of what a next host gets.

    `silent` are methods that it never answers.
    """

    process: subprocess.Popen[bytes]
    note: Note
    results: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(RESULTS))
    silent: set[str] = field(default_factory=set)
    late: bytes = b""
    calls: list[dict[str, Any]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def called(self) -> Called:
        """The answer to a next host; the process ends at that one's word."""
        loop = asyncio.get_running_loop()
        ours, self._line = socket.socketpair()
        self._commands, write = os.pipe()
        read, self._answers = os.pipe()
        ours.setblocking(False)
        loop.add_reader(self._line, self._hear)
        loop.add_reader(self._commands, self._take)
        self._heard = self._taken = b""
        way_out = socket.create_server(("127.0.0.1", 0))
        pid = self.process.pid
        start = next(each.start for each in processes.table() if each.pid == pid)
        reports = (f"keeper {pid} {start}", f"xvfb {pid} {start} 7", f"chrome {pid} {start}")
        return Called(ours, write, read, way_out.detach(), reports, self.note)

    def notes(self) -> list[Note]:
        """What a next host would have been told, in turn."""
        return [parse(each[5:]) for each in self.told if each.startswith("note ")]

    def close(self) -> None:
        for descriptor in (self._line, self._commands):
            asyncio.get_running_loop().remove_reader(descriptor)
        self.process.kill()
        self.process.wait()
        self._line.close()
        os.close(self._commands)
        os.close(self._answers)

    def _hear(self) -> None:
        *lines, self._heard = (self._heard + self._line.recv(1 << 16)).split(b"\n")
        self.told += [line.decode() for line in lines]
        if b"kill" in lines:
            self._line.send(b"end %d killed -\ngone\n" % signal.SIGKILL)
            self.process.kill()
        if not lines:
            asyncio.get_running_loop().remove_reader(self._line)

    def _take(self) -> None:
        more = os.read(self._commands, 1 << 16)
        if not more:
            asyncio.get_running_loop().remove_reader(self._commands)
        *messages, self._taken = (self._taken + more).split(b"\0")
        for message in messages:
            if message != b"#":
                self._answer(json.loads(message))

    def _answer(self, call: dict[str, Any]) -> None:
        self.calls.append(call)
        method = call["method"]
        if method == "Target.setDiscoverTargets" and call["params"]["discover"]:
            self._say({"method": "Target.targetCreated", "params": {"targetInfo": PAGE}})
        if method == "Target.getTargets":
            os.write(self._answers, self.late)
        if method == "Target.attachToTarget":
            attached = {"sessionId": "OWN", "targetInfo": PAGE, "waitingForDebugger": False}
            self._say({"method": "Target.attachedToTarget", "params": attached})
        if method not in self.silent:
            self._say({"id": call["id"], "result": self.results.get(method, {})})

    def _say(self, message: dict[str, Any]) -> None:
        os.write(self._answers, json.dumps(message, separators=(",", ":")).encode() + b"\0")


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)


@pytest.fixture
async def left(tmp_path: Path) -> AsyncIterator[Left]:
    own = tmp_path / "tmp"
    own.mkdir()
    note = Note(str(tmp_path / "p"), str(own), str(own), context="C", window={}, sessions=("OLD", "OLDER"))
    made = Left(sleeper(), note)
    yield made
    made.close()


def spec(left: Left) -> LaunchSpec:
    profile = Path(left.note.profile_dir)
    return LaunchSpec(
        profile_dir=profile,
        lock_fd=-1,
        proxy_key="",
        upstream=None,
        tmp_root=Path("/tmp"),
        chrome="chromium",
        xvfb="Xvfb",
        sandbox=False,
        width=800,
        height=600,
        keepers=Keepers(profile.parent / "keepers", 60.0),
    )


async def adopted(left: Left) -> Browser:
    return await Browser.adopt(spec(left), left.called(), still=False)


async def end(browser: Browser) -> None:
    browser.put_down("the test is over")
    await asyncio.wait_for(asyncio.shield(browser.ended), 30)


async def test_answers_that_the_host_before_was_owed_are_nobodys(left: Left) -> None:
    """That host counted its calls from 1."""
    late = [{"id": number, "result": {}} for number in range(1, 40)]
    left.late = b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\0" for each in late)
    browser = await adopted(left)
    assert browser.url == "http://a.test/"
    await end(browser)


@pytest.mark.parametrize("turn", [0, 1, 18, 19, 20])
async def test_no_two_hosts_in_a_row_have_the_same_ids(left: Left, turn: int) -> None:
    """A host with `turn` hosts before it counts from there."""
    left.note = replace(left.note, turn=turn)
    browser = await adopted(left)
    ids = [each["id"] for each in left.calls]
    assert ids == sorted(ids)
    assert {number // 100_000_000 for number in ids} == {(turn + 1) % 20}
    await until(lambda: bool(left.notes()))
    assert {each.turn for each in left.notes()} == {turn + 1}
    await end(browser)


async def test_a_browser_whose_answers_make_no_sense_ends(left: Left) -> None:
    left.results["Target.getTargets"] = {}
    called = left.called()
    with pytest.raises(KeyError):
        await Browser.adopt(spec(left), called, still=False)
    assert left.told[-1] == "kill"
    assert called.taken
    assert left.process.wait() == -signal.SIGKILL


async def test_a_browser_that_does_not_answer_ends(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("browserhost.first_words.ADOPT_S", 0.2)
    left.silent = {"Browser.getVersion"}
    with pytest.raises(NotAdopted):
        await adopted(left)
    assert left.told[-1] == "kill"
    # Also this host's calls may be answered to a next one.
    assert [(each.turn, each.sessions) for each in left.notes()] == [(1, ("OLD", "OLDER"))]


async def test_whoever_hands_a_browser_over_cannot_end_it_any_more(left: Left) -> None:
    called = left.called()
    browser = await Browser.adopt(spec(left), called, still=False)
    called.close()
    await browser.answers()
    browser.remember(prewarmed=True)
    await until(lambda: left.notes()[-1].prewarmed)
    assert "drop" not in left.told
    await end(browser)


async def test_what_is_to_end_is_remembered_until_it_has_ended(left: Left) -> None:
    """Else a host that dies on the way leaves clients' sessions in the browser for good."""
    left.silent = {"Target.detachFromTarget"}
    adopting = asyncio.create_task(adopted(left))
    await until(lambda: sum(each["method"] == "Target.detachFromTarget" for each in left.calls) == 2)
    await until(lambda: bool(left.notes()) and "OWN" in left.notes()[-1].sessions)
    assert left.notes()[0].turn == 1
    for note in left.notes():
        assert {"OLD", "OLDER"} <= set(note.sessions)
    for call in left.calls:
        if call["method"] in left.silent:
            left._say({"id": call["id"], "result": {}})
    browser = await adopting
    assert browser.note.sessions == ("WATCH", "OWN")
    await until(lambda: left.notes()[-1].sessions == ("WATCH", "OWN"))
    await end(browser)
