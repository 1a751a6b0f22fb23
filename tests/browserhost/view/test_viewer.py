"""One person's socket: the newest picture, nothing once the gate closed, and no word from one who looks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from browserhost.client import Issued
from browserhost.view.viewer import Viewer
from browserhost.web.websocket import WebSocket
from tenure.errors import TokenSuperseded


class Socket:
    """What a viewer has of the other side."""

    def __init__(self) -> None:
        self.full = False
        self.ended = asyncio.Event()
        self.sent: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.say: Callable[[bytes], None]
        self.has_room: Callable[[], None]

    def listen(self, on_message: Callable[[bytes], None], on_room: Callable[[], None]) -> None:
        self.say, self.has_room = on_message, on_room

    def send(self, *pieces: bytes, binary: bool = False) -> None:
        self.sent.append(b"".join(pieces))

    async def close(self, code: int, reason: str) -> None:
        self.closed = code, reason


class Gate:
    def __init__(self) -> None:
        self.closed = False

    def gate(self) -> None:
        if self.closed:
            raise TokenSuperseded(profile="alice", token=7)


class Stage:
    """A viewer that runs."""

    def __init__(self, on_word: Callable[[Any], None] | None = None, *, wants_pictures: bool = True) -> None:
        self.socket, self.gate = Socket(), Gate()
        self.viewer = Viewer(
            cast("Issued", self.gate), cast("WebSocket", self.socket), on_word, wants_pictures=wants_pictures
        )
        self.running = asyncio.create_task(self.viewer.run())

    async def ends(self) -> tuple[int, str] | None:
        await self.running
        return self.socket.closed


async def started(on_word: Callable[[Any], None] | None = None, *, wants_pictures: bool = True) -> Stage:
    stage = Stage(on_word, wants_pictures=wants_pictures)
    await asyncio.sleep(0)
    return stage


async def test_one_who_takes_pictures_slowly_gets_the_newest_and_none_of_those_before() -> None:
    stage = await started()
    told: list[str] = []
    stage.viewer.on_room = lambda: told.append("room")
    stage.viewer.see(b"one")
    stage.socket.full = True
    for picture in (b"two", b"three", b"four"):
        stage.viewer.see(picture)
    assert stage.viewer.busy
    assert stage.socket.sent == [b"one"]
    stage.socket.full = False
    stage.socket.has_room()
    assert stage.socket.sent == [b"one", b"four"]
    assert told == ["room"]
    stage.socket.has_room()
    assert stage.socket.sent == [b"one", b"four"]
    stage.socket.ended.set()
    assert await stage.ends() == (4001, "SESSION_ENDED")


async def test_nothing_is_shown_said_or_heard_once_the_token_may_act_no_more() -> None:
    heard: list[Any] = []
    stage = await started(heard.append)
    stage.gate.closed = True
    stage.viewer.see(b"secret")
    stage.viewer.hear({"type": "page"})
    stage.socket.say(b'{"type": "done"}')
    assert await stage.ends() == (4002, "TOKEN_SUPERSEDED")
    assert stage.socket.sent == []
    assert heard == []


async def test_what_was_missed_is_not_shown_after_the_cut() -> None:
    stage = await started()
    stage.socket.full = True
    stage.viewer.see(b"secret")
    stage.viewer.close("HOLD_REVOKED")
    stage.socket.full = False
    stage.socket.has_room()
    assert await stage.ends() == (4004, "HOLD_REVOKED")
    assert stage.socket.sent == []


async def test_one_who_only_looks_and_says_anything_is_put_out() -> None:
    stage = await started()
    stage.socket.say(b'{"type": "click", "x": 1, "y": 1}')
    assert await stage.ends() == (4020, "READ_ONLY")


@pytest.mark.parametrize("wants_pictures", [True, False])
async def test_one_who_waits_for_words_is_sent_no_pictures(wants_pictures: bool) -> None:
    stage = await started(wants_pictures=wants_pictures)
    stage.viewer.see(b"picture")
    stage.viewer.hear({"type": "done"})
    expected = [b"picture"] if wants_pictures else []
    assert stage.socket.sent == [*expected, json.dumps({"type": "done"}).encode()]
    stage.viewer.close("SESSION_ENDED")
    await stage.ends()
