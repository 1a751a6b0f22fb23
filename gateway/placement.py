"""Which host a profile without a home goes to. Pure.

Warm first, then free room, then room that its host can make by closing a browser that
nobody uses. A hint: the lock service stores the home, the host has the last word on room.
"""

from __future__ import annotations

from collections.abc import Iterable

from tenure.v1.host_pb2 import Host, HostState


def choose_host(hosts: Iterable[Host], profile: str) -> str | None:
    """Return the name of the host for a profile (by its name), or None when none has room."""
    candidates = [host for host in hosts if _takes(host)]
    best = min(candidates, key=lambda host: _rank(host, profile), default=None)
    return None if best is None else best.name


def _takes(host: Host) -> bool:
    return host.state == HostState.HOST_STATE_READY and _free(host) + len(host.warm) > 0


def _rank(host: Host, profile: str) -> tuple[bool, int, int, str]:
    cold = all(browser.profile != profile for browser in host.warm)
    return (cold, -_free(host), -len(host.warm), host.name)


def _free(host: Host) -> int:
    return host.capacity - host.browsers
