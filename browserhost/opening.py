"""What is asked of a profile, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from browserhost.config import Look
from browserhost.session import Session
from browserhost.workshop import LiveBrowser


@dataclass(frozen=True, slots=True)
class Opening:
    """What an open asks for."""

    token: int
    url: str
    proxy_key: str
    reuse: bool
    look: Look = field(default_factory=Look)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that is open. Timings in seconds by phase."""

    session: Session
    reused: bool
    timings: dict[str, float]
    prewarmed: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """A hold that is over here. `flushed_at` in seconds since 1970."""

    used: bool
    flushed_at: float | None
    session: Session | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A token is cut off for good: `floor` is on disk. `browser_alive`: a browser is there and answers."""

    floor: int
    browser_alive: bool


@dataclass(frozen=True, slots=True)
class Use:
    """A session's browser in somebody's hand, from `Profile.using`.

    `gate` raises when the token may act no more: ask it right before each dispatch. `touch` is told
    what is about to be done to the account, before it is. `keep` stores a picture (bytes, media type) as
    evidence and returns its item's name; an empty one when it could not be stored.
    """

    browser: LiveBrowser
    gate: Callable[[], None]
    touch: Callable[[str], None]
    keep: Callable[[bytes, str], Awaitable[str]]
