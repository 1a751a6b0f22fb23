"""The usual case taken out of the library's hands: what came is one short text message, whole. Pure.

The library reads a stream byte by byte, which costs as much as all else that is done for a short message.
What it was given and has not told yet is counted, so that nothing goes past it in the middle of a frame.
"""

from __future__ import annotations

from websockets.frames import Frame
from websockets.utils import apply_mask

_TEXT, _MASKED, _16_BITS = 0x81, 0x80, 0x80 | 126
_SHORT_HEAD, _HEAD, _LONG_HEAD = 6, 8, 14  # bytes of a masked frame before its content (RFC 6455, 5.2)
_SHORT, _MEDIUM = 126, 1 << 16  # bytes of content from which on the next head is needed
_LONGEST = 4 << 10
_UNKNOWN = 1 << 62
_END_OF_REQUEST = b"\r\n\r\n"


class Shortcut:
    """Of one connection. Closed until `requested` finds that a frame begins next."""

    def __init__(self) -> None:
        self._untold = _UNKNOWN

    def requested(self, data: bytes) -> None:
        """The library found the request in this, which it `gave` last. Opens if it is that and no more."""
        alone = self._untold == _UNKNOWN + len(data)
        if alone and data.find(_END_OF_REQUEST) == len(data) - len(_END_OF_REQUEST):
            self._untold = 0

    def take(self, data: bytes) -> bytes | None:
        """The message, when it is all that came; None when the library is to be given it, and `gave` told."""
        if self._untold or not _SHORT_HEAD < len(data) < _LONGEST or data[0] != _TEXT:
            return None
        size = len(data) - _SHORT_HEAD
        if size < _SHORT and data[1] == _MASKED | size:
            return apply_mask(data[_SHORT_HEAD:], data[2:_SHORT_HEAD])
        size = len(data) - _HEAD
        if size >= _SHORT and data[1] == _16_BITS and int.from_bytes(data[2:4], "big") == size:
            return apply_mask(data[_HEAD:], data[4:_HEAD])
        return None

    def gave(self, data: bytes) -> None:
        """The library was given this."""
        self._untold += len(data)

    def told(self, frame: Frame) -> None:
        """The library told of a frame. One in a longer form than it needs closes the shortcut for good."""
        size = len(frame.data)
        self._untold -= size + (_SHORT_HEAD if size < _SHORT else _HEAD if size < _MEDIUM else _LONG_HEAD)
