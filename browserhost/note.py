"""What a keeper remembers of its browser for a next host. Pure.

It has secrets in it, so it is in the keeper's memory only, never on disk or in a log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Seat:
    """The session that is open in a browser: its token, and the secrets under which its clients come, as
    `Addresses.to_dict` has them.
    """

    token: int
    addresses: Mapping[str, Any]
    opened_at: float
    proxy_key: str

    def __repr__(self) -> str:
        return f"Seat(token={self.token})"


@dataclass(frozen=True, slots=True)
class Note:
    """`profile_dir` and the marker of that profile, which names Chrome's process, say whose browser it is.

    `turn`: how many hosts had it before the one that says this. `directory` is the keeper's, `own` Chrome's
    part of it. `user` and `cgroup` are as in LaunchSpec, `fingerprint` is its upstream's.
    `context` is the default browser context, `window` the bounds its first window had. `sessions` are the
    DevTools sessions that end with the host, clients' ones above all. `cdp_address` is where clients came to.
    `clients` are those of them that the next host goes on with, as `Roster.state` has them: it is there only
    when the last one stopped in good order, with nothing under way that is not written down here.
    `launched_at` is of CLOCK_MONOTONIC, `flushed_at` in seconds since 1970. `spent` is as in Browser.
    """

    profile_dir: str
    directory: str
    own: str
    user: tuple[int, int] | None = None
    cgroup: str = ""
    fingerprint: str = ""
    cdp_address: str = ""
    turn: int = 0
    launched_at: float = 0.0
    flushed_at: float | None = None
    prewarmed: bool = False
    keep_warm: bool = True
    context: str = ""
    window: dict[str, Any] | None = None
    sessions: tuple[str, ...] = ()
    seat: Seat | None = None
    clients: Mapping[str, Any] | None = None
    spent: str = ""

    @property
    def tickets(self) -> frozenset[str]:
        """With which those clients come back."""
        known = (self.clients or {}).get("clients", {})
        return frozenset(known if isinstance(known, dict) else ())

    def text(self) -> str:
        """One line, as `parse` reads it."""
        return json.dumps(asdict(self), separators=(",", ":"))


def parse(text: str | bytes) -> Note:
    """Raises ValueError for what is no note. What this version does not know of is left out."""
    try:
        said = json.loads(text)
        known = {field.name: said[field.name] for field in fields(Note) if field.name in said}
        known["sessions"] = tuple(known.get("sessions", ()))
        known["user"] = known.get("user") and (int(known["user"][0]), int(known["user"][1]))
        seat = known.get("seat")
        known["seat"] = (
            None if seat is None else Seat(**{each.name: seat[each.name] for each in fields(Seat)})
        )
        return Note(**known)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a note: {error}") from None
