"""What the forwarders of a host have in common: rules, resolver, ports, proofs of exits, who was refused."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from browserhost.egress.addresses import IPAddress, Rules, is_localhost, name_problem, parse
from browserhost.egress.exits import Exits
from browserhost.egress.resolver import Resolve, resolve
from browserhost.egress.sign_ins import SignIns

_LOOPBACK = IPv4Address("127.0.0.1")


@dataclass(slots=True)
class Egress:
    """`ports` are the forwarders' own, which no browser may reach either."""

    rules: Rules = field(default_factory=Rules)
    resolve: Resolve = resolve
    ports: set[int] = field(default_factory=set)
    exits: Exits = field(default_factory=Exits)
    sign_ins: SignIns = field(default_factory=SignIns)

    def problem(self, address: IPAddress, port: int) -> str | None:
        """Why a browser of this host may not connect there, as a clause; None when it may."""
        rules = self.rules
        if port in self.ports:
            rules = replace(rules, own=rules.own | {(_LOOPBACK, port)})
        here = (rules.watches(port) or not rules.private) and _is_this_machine(address, port)
        return rules.problem(address, port, is_this_machine=here)

    def literal_problem(self, host: str, port: int) -> str | None:
        """As `problem`, of an address as text; a name is no problem before it is resolved."""
        address = _LOOPBACK if is_localhost(host) else parse(host)
        return None if address is None else self.problem(address, port)

    def upstream_problem(self, host: str, port: int) -> str | None:
        """Why an upstream is not asked to connect there: as `literal_problem`, and names by their looks."""
        return name_problem(host) if parse(host) is None else self.literal_problem(host, port)


def _is_this_machine(address: IPAddress, port: int) -> bool:
    """Whether the kernel would connect there from that very address. Sends nothing: UDP looks up a route."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), port))
            return bool(probe.getsockname()[0] == str(address))
    except OSError:
        return False
