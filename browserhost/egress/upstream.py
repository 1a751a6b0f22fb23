"""An upstream: where it is, who it is signed in to as, and what stands behind it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import urlsplit

from browserhost.egress.credentials import Credentials, Keeping
from browserhost.egress.geo import Geo

SCHEMES = ("http", "https", "socks4", "socks5")
EXIT_EVERY_S = 600.0


@dataclass(frozen=True, slots=True)
class ExitRule:
    """How to learn where an upstream comes out: `url` answers with the caller's address.

    `addresses`: where that must be; none: anywhere. `every_s`: how old a proof may become.
    """

    url: str
    addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    every_s: float = EXIT_EVERY_S


@dataclass(frozen=True, slots=True)
class Upstream:
    """`scheme` is one of SCHEMES, `key` its proxy's key. `fingerprint` changes with whatever it is.

    `keeping` is where its credentials are, None when it wants none; `ca_file` says whom an https one is
    trusted by, None for whom the machine trusts.
    """

    scheme: str
    host: str
    port: int
    key: str = ""
    keeping: Keeping | None = None
    ca_file: str | None = None
    geo: Geo = field(default_factory=Geo)
    exit: ExitRule | None = None
    fingerprint: str = ""

    @classmethod
    def parse(cls, url: str) -> Upstream:
        """From `scheme://host:port`. Raises ValueError with a clause that repeats nothing of the URL."""
        return cls(*address(url))

    @property
    def context(self) -> ssl.SSLContext | None:
        """How it is encrypted. Raises OSError when `ca_file` cannot be read."""
        if self.scheme != "https":
            return None
        return trusting() if self.ca_file is None else ssl.create_default_context(cafile=self.ca_file)

    def credentials(self) -> Credentials | None:
        """What it is shown now. Raises Unreadable."""
        return self.keeping.read() if self.keeping is not None else None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of `scheme://host:port`. Raises ValueError with a clause, as Upstream.parse."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not scheme://host:port") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("has credentials in it: a proxies file says where they are kept")
    bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in SCHEMES or not host or not port or not bare or not host.isascii() or " " in host:
        raise ValueError(f"is not scheme://host:port with one of {', '.join(SCHEMES)}")
    return parts.scheme, host, port


@cache
def trusting() -> ssl.SSLContext:
    """Reads the machine's certificates, which takes some ten milliseconds."""
    return ssl.create_default_context()
