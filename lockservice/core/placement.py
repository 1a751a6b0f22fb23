"""Which host a profile without a home goes to. Pure.

Warm first, then free room, then room that its host can make by closing a browser that
nobody uses. The host has the last word on room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenure.errors import HostUnreachable, NoRoom
from tenure.v1.host_pb2 import Host, HostState

NO_ROOM_RETRY_S = 5.0


def place(hosts: Sequence[Host], profile: str, proxy_key: str = "") -> str:
    """The name of the host for a profile (by its name) without a home. Raises NoRoom, and HostUnreachable
    where there are no hosts.
    """
    if not hosts:
        raise HostUnreachable("No browser host is registered. Is one running?")
    chosen = choose_host(hosts, profile, proxy_key)
    if chosen is None:
        raise NoRoom(why_no_room(hosts), retry_after_s=NO_ROOM_RETRY_S)
    return chosen


def choose_host(hosts: Iterable[Host], profile: str, proxy_key: str = "") -> str | None:
    """Return the name of the host for a profile (by its name), or None when none has room.

    A browser that is warm with another proxy comes next to one with this: it is closed first.
    """
    candidates = [host for host in hosts if _takes(host)]
    best = min(candidates, key=lambda host: _rank(host, profile, proxy_key), default=None)
    return None if best is None else best.name


def why_no_room(hosts: Iterable[Host]) -> str:
    """Say what keeps every host from taking a new profile; "" when they are just full."""
    states = {host.state for host in hosts}
    if HostState.HOST_STATE_READY in states:
        return ""
    return (
        "Every host is cordoned or draining, so none takes a new profile. An administrator can take "
        "that back: `tenure host list` shows them, `tenure host uncordon HOST` does it."
    )


def _takes(host: Host) -> bool:
    return host.state == HostState.HOST_STATE_READY and _free(host) + len(host.warm) > 0


def _rank(host: Host, profile: str, proxy_key: str) -> tuple[bool, bool, int, int, str]:
    keys = [browser.proxy_key for browser in host.warm if browser.profile == profile]
    return (proxy_key not in keys, not keys, -_free(host), -len(host.warm), host.name)


def _free(host: Host) -> int:
    return host.capacity - host.browsers
