"""What an upstream wants to hear before it connects somewhere: HTTP's CONNECT, or SOCKS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from browserhost.egress import socks
from browserhost.egress.end import End
from browserhost.egress.socks import Destination

_HEAD_ENDS = b"\r\n\r\n"


class Unwilling(Exception):
    """The upstream did not connect us. Its text is a clause."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """`scheme` is http, https, socks4 or socks5. No credentials."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Upstream:
        """From `scheme://host:port`, as the settings have checked it."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(parts.scheme, parts.hostname, parts.port)

    @property
    def context(self) -> ssl.SSLContext | None:
        """How it is encrypted."""
        return _trusting() if self.scheme == "https" else None

    async def ask(self, end: End, to: Destination) -> None:
        """Have it connect to `to`: then `end` is that connection. Raises Unwilling, Ended, Malformed."""
        if self.scheme == "socks5":
            await _socks5(end, to)
        elif self.scheme == "socks4":
            end.send(socks.call4(to))
            _check(await end.take(socks.answer4))
        else:
            end.send(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n".encode("ascii"))
            status = await end.take(_status)
            if not 200 <= status < 300:
                raise Unwilling(f"the proxy answered {status}")


@cache
def _trusting() -> ssl.SSLContext:
    """Reads the machine's certificates, which takes some ten milliseconds."""
    return ssl.create_default_context()


async def _socks5(end: End, to: Destination) -> None:
    end.send(socks.GREETING)
    if await end.take(lambda data: (data[:2], 2) if len(data) >= 2 else None) != socks.WELCOME:
        raise Unwilling("the proxy wants credentials")
    end.send(socks.call5(to))
    _check(await end.take(socks.answer5))


def _check(code: int) -> None:
    if code != socks.SUCCEEDED:
        raise Unwilling(f"the proxy answered {code}")


def _status(data: bytes) -> tuple[int, int] | None:
    head, end, _ = data.partition(_HEAD_ENDS)
    if not end:
        return None
    words = head.split(b"\r\n")[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise socks.Malformed
    return int(words[1]), len(head) + len(end)
