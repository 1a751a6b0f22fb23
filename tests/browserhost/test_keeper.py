"""How a death is noticed: by the keeper, which is in this process here, of programs in Chrome's and Xvfb's
place, and by the host.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from browserhost import keeper
from browserhost.keeper_store import Store
from browserhost.tree import ProcessTree


@dataclass
class Waits:
    """How long each of the keeper's waits might take, in milliseconds; None: until something happens."""

    asked: list[float | None] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> Waits._Poll:
        return Waits._Poll(self)

    class _Poll:
        def __init__(self, waits: Waits) -> None:
            self._waits, self._poll = waits, select.poll()
            self.register = self._poll.register

        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            self._waits.asked.append(timeout)
            self._waits.begun.set()
            return self._poll.poll(timeout)


@dataclass
class Kept:
    """What the keeper has, while `keeping` runs."""

    chrome: subprocess.Popen[bytes]
    xvfb: subprocess.Popen[bytes]
    host: socket.socket
    waits: Waits
    keeping: threading.Thread

    def heard(self) -> str:
        """What the host is told once all is over."""
        self.keeping.join(30)
        assert not self.keeping.is_alive()
        return self.host.recv(1 << 16).decode()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    waits = Waits()
    monkeypatch.setattr(
        keeper, "select", SimpleNamespace(poll=waits.poll, select=select.select, POLLIN=select.POLLIN)
    )
    with ExitStack() as stack:
        host, line = (stack.enter_context(end) for end in socket.socketpair())
        errors, errors_end = os.pipe()
        stack.callback(os.close, errors)
        stack.callback(os.close, errors_end)
        chrome, xvfb = (
            stack.enter_context(subprocess.Popen(["sleep", "600"], start_new_session=True)) for _ in range(2)
        )
        stack.callback(xvfb.kill)
        stack.callback(chrome.kill)
        life = keeper._Life(line.fileno())
        keeping = threading.Thread(
            target=keeper._keep, args=(life, Store("-"), errors, chrome.pid, xvfb.pid), daemon=True
        )
        keeping.start()
        assert waits.begun.wait(30)
        yield Kept(chrome, xvfb, host, waits, keeping)


def test_chromes_death_is_an_event_and_not_looked_for(kept: Kept) -> None:
    kept.chrome.kill()
    assert kept.heard().startswith("end 9 itself")
    assert kept.waits.asked == [None]


def test_xvfbs_death_is_an_event_and_chrome_has_less_than_two_seconds_to_follow(kept: Kept) -> None:
    kept.xvfb.kill()
    assert kept.heard().startswith("end 9 display-killed")
    first, *rest = kept.waits.asked
    assert first is None
    assert keeper._CHILDREN_EXIT_S <= 1
    assert all(each is not None and each <= 1000 for each in rest)


@pytest.fixture
def dying() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


async def test_the_host_is_told_of_chromes_death_and_the_keepers_and_looks_for_neither(
    dying: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_again(*_: object, **__: object) -> None:
        raise AssertionError("it waits for a time instead")

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs, monkeypatch.context() as timeless:
        timeless.setattr(asyncio.get_running_loop(), "call_at", look_again)
        tree = ProcessTree(dying, dying.pid, ours, tmp_path / "kept", tmp_path / "kept")
        theirs.send(b"end 9 itself -\n")
        assert (await tree.exit).status == 9
        dying.kill()
        await tree.gone
