"""Messages that go past the library are those that it would have told, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from browserhost.web.shortcut import Shortcut

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SIZES = st.sampled_from([0, 1, 100, 125, 126, 127, 3000, 4000, 5000, 65_535, 65_536])
FRAMES = st.lists(
    st.builds(lambda opcode, size: Frame(opcode, b"x" * size), st.just(Opcode.TEXT), SIZES)
    | st.builds(lambda opcode, size: Frame(opcode, b"p" * size), st.just(Opcode.PING), st.integers(0, 125)),
    max_size=8,
)


class Reader:
    """A connection's reading side: the shortcut where it is open, the library elsewhere."""

    def __init__(self, *request: bytes) -> None:
        self.library, self.shortcut = ServerProtocol(), Shortcut()
        self.texts: list[bytes] = []
        self.short = 0
        """Messages that went past the library."""
        for part in request:
            self.shortcut.gave(part)
            self.library.receive_data(part)
            for event in self.library.events_received():
                assert isinstance(event, Request)
                self.shortcut.requested(part)
                self.library.send_response(self.library.accept(event))

    def feed(self, data: bytes) -> None:
        text = self.shortcut.take(data)
        if text is not None:
            self.texts.append(text)
            self.short += 1
            return
        self.shortcut.gave(data)
        self.library.receive_data(data)
        for frame in self.library.events_received():
            assert isinstance(frame, Frame)
            self.shortcut.told(frame)
            if frame.opcode is Opcode.TEXT:
                self.texts.append(bytes(frame.data))


def masked(frame: Frame) -> bytes:
    return frame.serialize(mask=True)


@given(frames=FRAMES, data=st.data())
def test_whatever_pieces_it_comes_in_each_message_is_told_once_and_in_order(
    frames: list[Frame], data: st.DataObject
) -> None:
    stream = b"".join(map(masked, frames))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    reader = Reader(REQUEST)
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if begin < end:
            reader.feed(stream[begin:end])
    assert reader.texts == [frame.data for frame in frames if frame.opcode is Opcode.TEXT]


@pytest.mark.parametrize("size", [1, 125, 126, 3000])
def test_a_short_message_that_comes_by_itself_goes_past_the_library(size: int) -> None:
    reader = Reader(REQUEST)
    for frame in (Frame(Opcode.TEXT, b"a" * size), Frame(Opcode.PING, b""), Frame(Opcode.TEXT, b"b" * size)):
        reader.feed(masked(frame))
    assert reader.texts == [b"a" * size, b"b" * size]
    assert reader.short == 2


INNER = masked(Frame(Opcode.TEXT, b"inner"))
OUTER = bytes((0x81, 0x80 | 4 + len(INNER))) + bytes(4) + b"\r\n\r\n"
"""The beginning of a message whose content goes on with another one, behind a mask that changes nothing."""


@pytest.mark.parametrize(
    "came",
    [
        (REQUEST, OUTER),
        (REQUEST + OUTER,),
        (REQUEST[:-1], REQUEST[-1:] + OUTER),
        (REQUEST[:-9], REQUEST[-9:], OUTER),
    ],
)
def test_what_looks_like_a_message_inside_another_one_is_its_content(came: tuple[bytes, ...]) -> None:
    request = tuple(part for part in came if part != OUTER)
    reader = Reader(*request)
    for part in came[len(request) :]:
        reader.feed(part)
    reader.feed(INNER)
    assert reader.texts == [b"\r\n\r\n" + INNER]


@pytest.mark.parametrize("first", [0x01, 0x80, 0x82, 0x88, 0x89, 0xC1])
def test_only_a_whole_text_message_without_extensions_is_taken(first: int) -> None:
    shortcut = Reader(REQUEST).shortcut
    text = masked(Frame(Opcode.TEXT, b"a"))
    assert shortcut.take(text) == b"a"
    assert shortcut.take(bytes((first,)) + text[1:]) is None
    assert shortcut.take(text[:1] + bytes((text[1] & 0x7F,)) + text[2:]) is None
    assert shortcut.take(text + text) is None
