"""DevTools messages from Chrome, cut and re-addressed without reading what is in them.

Chrome writes an answer as `{"id":N,...}` and closes every message of a session with
`,"sessionId":"S"}`, which cannot be confused with a nested field: that would leave a second brace
at the end. A screenshot of many MiB so passes without being parsed, written again or copied. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Piece = bytes | bytearray | memoryview
"""Of a message. Whoever gets one may keep it: it never changes."""

_ID = re.compile(rb'\{"id":(\d+),')
_SESSION = re.compile(rb',"sessionId":"([^"\\]*)"\}\Z')
_SESSION_LONGEST = 128
_METHOD = re.compile(rb'"method":"([^"\\]*)"')
_COPIED = 16 << 10
"""Bytes up to which a body is copied: cheaper than looking at it through a view."""


@dataclass(frozen=True, slots=True)
class Frame:
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
    head = _ID.match(message)
    start = head.end() if head else 1
    tail = _SESSION.search(message, max(len(message) - _SESSION_LONGEST, start - 1))
    end = tail.start() if tail else len(message) - 1
    body: Piece = memoryview(message)[start:end] if end - start > _COPIED else message[start:end]
    return Frame(int(head[1]) if head else None, tail[1].decode() if tail else "", body)
