"""What waits for a client that reads slowly, with a socket in the test's hand."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from browserhost import backlog
from browserhost.backlog import Backlog
from browserhost.web.websocket import WebSocket
from tests.fixtures.chrome import until

MIB = 1 << 20


class Socket:
    """Takes what it is sent; `read` is the other side."""

    def __init__(self) -> None:
        self.waiting, self.sent = 0, 0
        self.full = False

    def send(self, *pieces: bytes) -> None:
        size = sum(map(len, pieces))
        self.waiting += size
        self.sent += size
        self.full = self.waiting > MIB

    def read(self, size: int) -> None:
        self.waiting = max(0, self.waiting - size)
        self.full = self.full and self.waiting > 0


class Scene:
    """A backlog, and what it asked for."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.may_pass = True
        self.held: list[bool] = []
        self.too_slow = 0
        socket = cast(WebSocket, self.socket)
        self.backlog = Backlog(socket, lambda: self.may_pass, self.held.append, self._slow)

    def _slow(self) -> None:
        self.too_slow += 1
        self.backlog.clear()

    def put(self, mib: int) -> None:
        for _ in range(mib):
            self.backlog.put((b"x" * (MIB // 2), memoryview(b"y" * (MIB // 2))))

    def read(self, mib: int) -> None:
        for _ in range(mib):
            self.socket.read(MIB)
            if not self.socket.full:
                self.backlog.room()


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene()


async def test_who_keeps_up_holds_nobody(scene: Scene) -> None:
    for _ in range(50):
        scene.put(1)
        scene.read(2)
    assert (scene.held, scene.socket.sent, scene.backlog.waiting) == ([], 50 * MIB, 0)


async def test_past_a_bound_chrome_is_held_until_the_client_has_caught_up(scene: Scene) -> None:
    scene.put(16)
    assert scene.held == []
    scene.put(3)
    assert scene.held == [True]
    scene.read(10)
    assert scene.held == [True]
    scene.read(20)
    assert scene.held == [True, False]
    assert (scene.socket.sent, scene.backlog.waiting) == (19 * MIB, 0)
    scene.put(20)
    assert scene.held == [True, False, True]


async def test_messages_that_waited_are_sent_in_order_and_only_while_they_may(scene: Scene) -> None:
    sent: list[bytes] = []
    scene.socket.send = lambda *pieces: sent.append(b"".join(pieces))  # type: ignore[method-assign]
    scene.socket.full = True
    for name in (b"1", b"2", b"3"):
        scene.backlog.put((name, b"!"))
    scene.socket.full = False
    scene.backlog.put((b"4",))
    assert sent == []
    scene.backlog.room()
    assert sent == [b"1!", b"2!", b"3!", b"4"]
    scene.socket.full = True
    scene.backlog.put((b"5",))
    scene.socket.full, scene.may_pass = False, False
    scene.backlog.room()
    assert sent[-1] == b"4"


async def test_who_takes_nothing_while_others_wait_is_too_slow(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "STALL_S", 0.02)
    scene.put(20)
    await until(lambda: scene.too_slow)
    assert scene.held == [True, False]
    scene.put(20)
    scene.backlog.room()
    assert scene.backlog.waiting == scene.socket.waiting
    assert scene.too_slow == 1


async def test_who_reads_slowly_holds_the_others_up_for_a_while_only(scene: Scene) -> None:
    scene.put(20)
    scene.read(1)
    scene.backlog._waited()
    assert scene.held == [True, False]
    for _ in range(5):
        scene.put(2)
        scene.read(1)
        scene.backlog._waited()
    assert scene.held[1:] == [False] * 6
    assert scene.too_slow == 0
    scene.backlog._waited()  # it reads nothing more
    assert scene.too_slow == 1


async def test_past_the_last_bound_a_client_is_too_slow_however_it_reads(scene: Scene) -> None:
    scene.put(128)
    assert scene.too_slow == 0
    scene.put(2)
    assert scene.too_slow == 1


async def test_nothing_is_asked_for_after_the_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "STALL_S", 0.01)
    scene.put(20)
    scene.backlog.clear()
    scene.backlog.clear()
    assert scene.held == [True, False]
    await asyncio.sleep(0)
    scene.put(1)
    assert (scene.too_slow, scene.held) == (0, [True, False])
