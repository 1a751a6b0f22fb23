"""A DevTools client's message: read to be judged, its parameters kept as the client wrote them. Pure.

What Chrome would not read is not read here either: of such a message it does not say whose it was.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from browserhost.frames import Piece

_SHORT = 4 << 10
"""Characters up to which writing parameters anew costs less than finding where they stand."""
_DEEPEST = 300
"""How deep Chrome reads, the message itself included."""
_LONGEST_NUMBER = 300
"""Digits: what has more may be larger than a number can be."""
_SHORTEST_ODD = 300
"""Characters: what has fewer holds no such number and is not so deep."""
_blank = re.compile(r"[ \t\n\r]*").match


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _float(text: str) -> float:
    """Raises ValueError for what is too large."""
    number = float(text)
    if math.isinf(number):
        raise ValueError
    return number


def _int(text: str) -> int:
    """Raises ValueError for what may be too large."""
    if len(text) > _LONGEST_NUMBER:
        raise ValueError
    return int(text)


_decoder = json.JSONDecoder(parse_constant=_no_number)
_strict = json.JSONDecoder(parse_constant=_no_number, parse_float=_float, parse_int=_int)
_value = _strict.raw_decode
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Call(NamedTuple):
    """`session` is "" for the connection's own. `written` are the parameters as they came, JSON."""

    id: int
    method: str
    params: dict[str, Any]
    session: str = ""
    written: Piece = b"{}"


def parse(message: Piece | str) -> Call | None:
    """The call that a message is, or None when it is none: no JSON, or not an id, a method and params.

    Of a name that is there twice the last counts, in all that is taken from the head. Inside the
    parameters two readers may differ on such a thing: what was looked at there is to be sent as it was read.
    """
    try:
        text = message if isinstance(message, str) else str(message, "utf-8")
        fields, written = (_loads(text), None) if len(text) < _SHORT else _members(text)
        if len(text) >= _SHORTEST_ODD and text.count("{") + text.count("[") > _DEEPEST:
            _check_depth(fields)
            written = None  # a member that is there twice may be too deep where it does not count
    except (ValueError, IndexError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    params, session = fields.get("params") or {}, fields.get("sessionId") or ""
    number, method = fields.get("id"), fields.get("method")
    if not isinstance(params, dict) or not isinstance(session, str):
        return None
    if not isinstance(number, int) or not isinstance(method, str):
        return None
    if not params:
        return Call(number, method, params, session)
    try:
        return Call(
            number, method, params, session, text[slice(*written)].encode() if written else encode(params)
        )
    except ValueError:
        return None


def encode(params: Mapping[str, Any]) -> bytes:
    """Parameters, written anew. Raises ValueError for a number that is none to JSON."""
    return _encode(params).encode()


def quoted(name: str) -> bytes:
    """A name as JSON: at once where it needs no escapes, as no method's does that Chrome knows."""
    plain = name.isascii() and name.replace(".", "").isalnum()
    return b'"%b"' % name.encode() if plain else json.dumps(name).encode()


def _loads(text: str) -> Any:
    """As json.loads, which spends more on looking for blanks than on a short message. Raises ValueError."""
    decoder = _decoder if len(text) < _SHORTEST_ODD else _strict
    if text.startswith("{"):
        value, end = decoder.raw_decode(text)
        if end == len(text):
            return value
    return decoder.decode(text)


def _members(text: str) -> tuple[dict[str, Any], tuple[int, int]]:
    """An object's members, and from where to where its params are written. Raises ValueError, IndexError."""
    members: dict[str, Any] = {}
    written = 0, 0
    at = _expect(text, 0, "{")
    if text[at] != "}":
        while True:
            if text[at] != '"':
                raise ValueError
            name, at = _value(text, at)
            begin = _expect(text, at, ":")
            members[name], at = _value(text, begin)
            if name == "params":
                written = begin, at
            at = _after(text, at)
            if text[at] == "}":
                break
            at = _expect(text, at, ",")
    if _after(text, at + 1) != len(text):
        raise ValueError
    return members, written


def _expect(text: str, at: int, sign: str) -> int:
    """Where what comes after the sign begins. Raises ValueError, IndexError."""
    at = _after(text, at)
    if text[at] != sign:
        raise ValueError
    return _after(text, at + 1)


def _check_depth(value: object) -> None:
    """Raises ValueError when it is deeper than Chrome reads."""
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for members in inside for each in members if isinstance(each, dict | list)]
        if not level:
            return
    raise ValueError


def _after(text: str, at: int) -> int:
    """Where the blanks end."""
    found = _blank(text, at)
    return found.end() if found else at
