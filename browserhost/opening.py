"""What is asked of a profile, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from browserhost.session import Session


@dataclass(frozen=True, slots=True)
class Opening:
    """What an open asks for."""

    token: int
    url: str
    proxy_key: str
    reuse: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that is open. Timings in seconds by phase."""

    session: Session
    reused: bool
    timings: dict[str, float]


@dataclass(frozen=True, slots=True)
class Closed:
    """A hold that is over here. `flushed_at` in seconds since 1970."""

    used: bool
    flushed_at: float | None
    session: Session | None
