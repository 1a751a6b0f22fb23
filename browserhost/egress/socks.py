"""SOCKS 5 (RFC 1928) and 4A as bytes, both ends of it. Pure.

Chrome speaks version 5 to its forwarder, without credentials, since it knows no others; a forwarder
speaks either to an upstream, and signs in to one of version 5 (RFC 1929).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

PLAIN, SIGNED = 0, 2
"""Methods of version 5: nobody signs in; user and password."""
GREETING = bytes([5, 1, PLAIN])
GREETING_SIGNED = bytes([5, 2, PLAIN, SIGNED])
WELCOME = b"\x05\x00"
NO_METHOD = b"\x05\xff"
SUCCEEDED, FAILED, NOT_ALLOWED, NETWORK, HOST, REFUSED, _, COMMAND, KIND = range(9)
"""Replies of version 5 (RFC 1928, 6). Chrome shows HOST as its own error and all others as one."""

_CONNECT, _IPV4, _NAME, _IPV6 = 1, 1, 3, 4
_LONGEST_NAME = 255


class Malformed(Exception):
    """The peer does not speak the protocol. `reply` is what to answer before hanging up."""

    def __init__(self, reply: bytes = b"") -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a client wants to be connected. `host` is a name, or an address as text."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def greeting(data: bytes) -> int | None:
    """How many bytes a client's greeting has; None when more must come. Raises Malformed."""
    if data[:1] not in (b"", b"\x05"):
        raise Malformed
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    if 0 not in data[2 : 2 + data[1]]:
        raise Malformed(NO_METHOD)
    return 2 + data[1]


def request(data: bytes) -> tuple[Destination, int] | None:
    """A client's request and its length; None when more must come. Raises Malformed."""
    if len(data) < 5:
        return None
    version, command, _, kind, first = data[:5]
    if version != 5:
        raise Malformed
    if command != _CONNECT:
        raise Malformed(reply(COMMAND))
    sizes = {_IPV4: 4, _IPV6: 16, _NAME: first + 1}
    if kind not in sizes:
        raise Malformed(reply(KIND))
    end = 4 + sizes[kind]
    if len(data) < end + 2:
        return None
    return Destination(_host(kind, data[4:end]), int.from_bytes(data[end : end + 2], "big")), end + 2


def reply(code: int) -> bytes:
    """An answer to a request; the address in it is of no use to anybody."""
    return bytes([5, code, 0, _IPV4, 0, 0, 0, 0, 0, 0])


def method(data: bytes) -> tuple[int, int] | None:
    """The method that a version 5 upstream chose, and its answer's length. Raises Malformed."""
    if data[:1] not in (b"", b"\x05"):
        raise Malformed
    return (data[1], 2) if len(data) >= 2 else None


def sign_in(user: str, password: str) -> bytes:
    """What is said after SIGNED was chosen. Raises ValueError for what does not fit."""
    said = b"\x01"
    for word in (user.encode(), password.encode()):
        if not 0 < len(word) < 256:
            raise ValueError("too long, or empty")
        said += bytes([len(word)]) + word
    return said


def signed_in(data: bytes) -> tuple[int, int] | None:
    """SUCCEEDED or not, and the answer's length; None when more must come."""
    return (SUCCEEDED if data[1] == 0 else FAILED, 2) if len(data) >= 2 else None


def call5(to: Destination) -> bytes:
    """The request that asks a version 5 upstream for a connection."""
    return bytes([5, _CONNECT, 0]) + _encoded(to.host) + to.port.to_bytes(2, "big")


def answer5(data: bytes) -> tuple[int, int] | None:
    """A version 5 upstream's reply code and its answer's length; None when more must come."""
    if len(data) < 5:
        return None
    if data[0] != 5 or data[3] not in (_IPV4, _IPV6, _NAME):
        raise Malformed
    end = 6 + {_IPV4: 4, _IPV6: 16, _NAME: data[4] + 1}[data[3]]
    return (data[1], end) if len(data) >= end else None


def call4(to: Destination) -> bytes:
    """The request that asks a version 4 upstream; names go by its extension A. Raises Malformed for IPv6."""
    head = bytes([4, _CONNECT]) + to.port.to_bytes(2, "big")
    kind = _encoded(to.host)
    if kind[0] == _IPV6:
        raise Malformed
    if kind[0] == _IPV4:
        return head + kind[1:] + b"\0"
    return head + b"\0\0\0\x01\0" + kind[2:] + b"\0"


def answer4(data: bytes) -> tuple[int, int] | None:
    """A version 4 upstream's reply as version 5 says it, and its length; None when more must come."""
    if len(data) < 8:
        return None
    return (SUCCEEDED if data[1] == 90 else FAILED), 8


def _host(kind: int, data: bytes) -> str:
    if kind == _IPV4:
        return str(IPv4Address(data))
    if kind == _IPV6:
        return str(IPv6Address(data))
    try:
        name = data[1:].decode("ascii")
    except UnicodeDecodeError:
        raise Malformed(reply(HOST)) from None
    if not name or not name.isprintable():
        raise Malformed(reply(HOST))
    return name


def _encoded(host: str) -> bytes:
    for kind, parse in ((_IPV4, IPv4Address), (_IPV6, IPv6Address)):
        try:
            return bytes([kind]) + parse(host).packed
        except ValueError:
            continue
    name = host.encode("ascii")
    if len(name) > _LONGEST_NAME:
        raise Malformed
    return bytes([_NAME, len(name)]) + name
