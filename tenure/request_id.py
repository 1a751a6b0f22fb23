"""Request ids: what makes a repeated Acquire or Open the same one, never a second.

A caller may send a ULID or a UUIDv7: both are 128 bits with milliseconds since 1970 on
top, so ids rise with time. Everything behind the gateway sees one canonical form, 32
lower-case hex digits, whose text order is the ids' order. Ids of the two kinds made in
the same millisecond order arbitrarily, so a caller should keep to one kind.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable

from tenure.errors import InvalidId

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGIT = {c: i for i, c in enumerate(_CROCKFORD)} | {c.lower(): i for i, c in enumerate(_CROCKFORD)}
_HEX = frozenset("0123456789abcdef")
_RANDOM_BITS = 74

# 2020 and 2100 in ms. Ids from outside were not made from a clock (a random UUID, mostly):
# they would not rise with time, and one far ahead would make every later id count as ended.
_EARLIEST_MS = 1_577_836_800_000
_LATEST_MS = 4_102_444_800_000


class Minter:
    """Mints UUIDv7s that rise within the process, also when the clock steps back.

    Safe to share between threads. `clock` returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0

    def mint(self) -> str:
        """Return a new canonical request id, greater than any this minter returned before."""
        with self._lock:
            fresh = int(self._clock() * 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
            # Counting on from the last one keeps the order within a millisecond and over a
            # step back of the clock; the random start leaves other processes' ids apart.
            self._last = max(fresh, self._last + 1 + secrets.randbits(32))
            return _with_version(self._last)


_minter = Minter()


def mint() -> str:
    """Return a new canonical request id; ids rise within the process."""
    return _minter.mint()


def parse(text: str, field: str = "request_id") -> str:
    """Return the canonical form of a ULID, a UUIDv7 or a canonical id. Idempotent.

    Raises InvalidId for anything else, other UUID versions among it.
    """
    value = _value(text)
    if value is None or not _EARLIEST_MS <= value >> 80 < _LATEST_MS:
        raise InvalidId(
            field=field,
            value=text,
            problem="is not a ULID or UUIDv7",
            remedy="send one minted now, or leave it empty to have one minted",
        )
    return f"{value:032x}"


def time_ms(canonical: str) -> int:
    """Return the milliseconds since 1970 at which a canonical id was made."""
    return int(canonical, 16) >> 80


def _value(text: str) -> int | None:
    if len(text) == 26:
        return _from_ulid(text)
    if len(text) == 36:
        return _from_uuid(text)
    if len(text) == 32 and set(text) <= _HEX:
        return int(text, 16)
    return None


def _from_ulid(text: str) -> int | None:
    value = 0
    for char in text:
        digit = _DIGIT.get(char)
        if digit is None:
            return None
        value = value << 5 | digit
    return value if value < 1 << 128 else None


def _from_uuid(text: str) -> int | None:
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return None
    is_v7 = parsed.version == 7 and str(parsed) == text.lower()
    return parsed.int if is_v7 else None


def _with_version(value: int) -> str:
    """Spread 48 + 74 bits over a UUIDv7's free bits (RFC 9562), which keeps their order."""
    ms = value >> _RANDOM_BITS
    rand_a = value >> 62 & 0xFFF
    rand_b = value & (1 << 62) - 1
    return f"{ms << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b:032x}"
