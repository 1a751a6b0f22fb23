"""DevTools messages from Chrome, cut and re-addressed without reading what is in them.

Chrome writes an answer as `{"id":N,...}` and closes every message of a session with
`,"sessionId":"S"}`, which cannot be confused with a nested field: that would leave a second brace
at the end. A screenshot of many MiB so passes without being parsed, written again or copied. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Piece = bytes | bytearray | memoryview
"""Of a message. Whoever gets one may keep it: it never changes."""

_ID = b'{"id":'
_ID_LONGEST = 32  # bytes
_SESSION, _ENDS_SESSION = b',"sessionId":"', b'"}'
_SESSION_LONGEST = 128
_METHOD = re.compile(rb'"method":"([^"\\]*)"')
_COPIED = 16 << 10
"""Bytes up to which a body is copied: cheaper than looking at it through a view."""


class Frame(NamedTuple):
    """A message less its address. `id` is None for an event; `session` is "" for the pipe's own."""

    id: int | None
    session: str
    body: Piece

    @property
    def method(self) -> str:
        """An event's method; "" for an answer."""
        found = _METHOD.match(self.body)
        return found[1].decode() if found else ""

    def fields(self) -> dict[str, Any]:
        """What the message says, parsed."""
        parsed: dict[str, Any] = json.loads(b"".join((b"{", self.body, b"}")))
        return parsed

    def mentions(self, text: bytes) -> bool:
        """Whether the text is anywhere in it."""
        return re.search(re.escape(text), self.body) is not None

    def with_fields(self, fields: Mapping[str, Any]) -> Frame:
        """The same message saying something else."""
        body = json.dumps(fields, separators=(",", ":")).encode()
        return Frame(self.id, self.session, body[1:-1])

    def pieces(self, number: int | None, session: str) -> tuple[Piece, ...]:
        """The whole message under another id and session, in pieces where it is large."""
        head = b"{" if number is None else b'{"id":%d,' % number
        tail = b',"sessionId":"%b"}' % session.encode() if session else b"}"
        if isinstance(self.body, memoryview):
            return head, self.body, tail
        return (b"".join((head, self.body, tail)),)

    def addressed(self, number: int | None, session: str) -> bytes:
        """The same in one."""
        return b"".join(self.pieces(number, session))


def parse(message: bytes | bytearray) -> Frame:
    """Cut a message of Chrome's, which must not change any more, into address and body."""
    number, start = _number(message)
    end, session = len(message) - 1, ""
    if message.endswith(_ENDS_SESSION):
        at = message.rfind(_SESSION, max(len(message) - _SESSION_LONGEST, start - 1))
        name = message[at + len(_SESSION) : -len(_ENDS_SESSION)]
        if at >= 0 and b'"' not in name and b"\\" not in name:
            session, end = name.decode(), at
    body: Piece = memoryview(message)[start:end] if end - start > _COPIED else message[start:end]
    return Frame(number, session, body)


def _number(message: bytes | bytearray) -> tuple[int | None, int]:
    """An answer's id, and where what comes after it begins."""
    if message.startswith(_ID):
        at = message.find(b",", len(_ID), _ID_LONGEST)
        digits = message[len(_ID) : max(at, 0)]
        if digits.isdigit():
            return int(digits), at + 1
    return None, 1
