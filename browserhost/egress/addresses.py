"""Which addresses a browser may reach. Pure.

Refused always: what only this machine or its cloud answers (link-local, metadata, Tenure's own
services), and what is no destination. Private networks, this machine's other ports among them, are
a setting. An address in another's clothes (mapped, 6to4, Teredo, NAT64) is judged as what it leads to.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

IPAddress = IPv4Address | IPv6Address

_METADATA: tuple[IPv4Network | IPv6Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",  # link-local, and 169.254.169.254 of nearly every cloud
            "fe80::/10",
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure's host
            "192.0.0.192/32",  # Oracle, classic
            "fd00:ec2::/32",  # AWS: 254 is metadata, 253 DNS, 123 time
            "fd20:ce::254/128",  # Google
        ),
    )
)
_NOWHERE = (IPv4Network("0.0.0.0/8"), IPv4Network("240.0.0.0/4"))
# NAT64 (RFC 6052, RFC 8215), and IPv4-compatible (RFC 4291, 2.5.5.1): the last 32 bits are IPv4.
_EMBEDDING = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))
# What is answered inside a network only: its router, its cloud, its printers (RFC 6761, 6762, 8375, and use).
_INSIDE = frozenset({"local", "internal", "localhost", "localdomain", "lan", "home", "corp", "intranet"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Rules:
    """`own`: addresses and ports of Tenure's services; an unspecified address stands for any of this machine.

    `private`: whether private networks, loopback among them, may be reached.
    """

    own: frozenset[tuple[IPAddress, int]] = frozenset()
    private: bool = True

    def watches(self, port: int) -> bool:
        """Whether a service of Tenure's has that port: then `problem` must be told what is this machine."""
        return any(port == each for _, each in self.own)

    def problem(self, address: IPAddress, port: int, *, is_this_machine: bool = False) -> str | None:
        """Why a browser may not connect there, as a clause; None when it may.

        `is_this_machine`: the address is one of this machine's own, which an address does not show.
        """
        for each in meanings(address):
            if any(each in network for network in _METADATA):
                return "is link-local or a cloud's metadata service"
            if each.is_unspecified or each.is_multicast or any(each in network for network in _NOWHERE):
                return "is no address of one host"
            here = is_this_machine or each.is_loopback
            if any(port == own_port and _same(own, each, here) for own, own_port in self.own):
                return "is one of Tenure's own services"
            if not self.private and (here or not each.is_global):
                return "is in a private network, and this host's browsers may not reach those"
        return None


def _same(own: IPAddress, address: IPAddress, here: bool) -> bool:
    """Whether connecting to `address` comes out at `own`, a service's listening address."""
    return own == address or (here and (own.is_unspecified or own.is_loopback))


def meanings(address: IPAddress) -> Iterator[IPAddress]:
    """The address, and every other that it may be taken for on its way."""
    if isinstance(address, IPv4Address):
        yield address
        return
    plain = IPv6Address(int(address))  # without its scope
    yield plain
    low = IPv4Address(int(plain) & 0xFFFFFFFF)
    if plain.ipv4_mapped is not None:
        yield plain.ipv4_mapped
    elif plain.sixtofour is not None:
        yield plain.sixtofour
    elif plain.teredo is not None:
        yield from plain.teredo
    elif any(plain in network for network in _EMBEDDING) and int(plain) > 1:
        yield low


def parse(text: str) -> IPAddress | None:
    """An address that stands for itself; None for a name. `[::1]` and `fe80::1%eth0` are addresses."""
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def is_localhost(name: str) -> bool:
    """Whether a name means this machine whatever a resolver says (RFC 6761, 6.3)."""
    plain = name.rstrip(".").lower()
    return plain == "localhost" or plain.endswith(".localhost")


def name_problem(name: str) -> str | None:
    """Why an upstream is not asked for a name, as a clause; None when it is.

    The upstream resolves it, out of sight: so what can only mean something inside its own network, or
    an address in a spelling that `parse` does not know, is refused by its looks.
    """
    plain = name.removesuffix(".").lower()
    if len(plain) > 253 or not _NAME.fullmatch(plain):
        return "is no name of a host"
    labels = plain.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return "is an address in an unusual spelling"
    if len(labels) == 1:
        return "is a name of one label, which only its own network knows"
    if labels[-1] in _INSIDE or plain.endswith(".home.arpa"):
        return "is a name that only its own network knows"
    if labels[0] == "metadata":
        return "is the name of a cloud's metadata service"
    return None


def services(addresses: Iterable[str]) -> frozenset[tuple[IPAddress, int]]:
    """`host:port` of each, as Rules want them. Raises ValueError for a name: that may change."""
    found = set()
    for each in addresses:
        host, _, port = each.rpartition(":")
        address = IPv4Address("127.0.0.1") if is_localhost(host) else parse(host)
        if address is None or not port.isdecimal():
            raise ValueError(f"has '{each}', which is not address:port")
        found.add((address, int(port)))
    return frozenset(found)


def destination(url: str) -> tuple[str, int] | None:
    """Host and port that an http or https URL leads to first; None when it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme.lower())
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None
