"""A host that crashes: what is on its disk, what it says afterwards, and who may start Chrome again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

FREE, HELD, SUSPECTED, INSPECTED = "AVAILABLE", "HELD", "SUSPECTED_STALE", "INSPECTED"


class Host(NamedTuple):
    up: bool = True
    floor: int = 0
    disk_floor: int = 0
    marker: int = 0
    """On disk: the token under which the browser was opened; 0 once it was closed cleanly."""
    serves: int = 0
    chrome: bool = False
    suspects: int = 0
    """The hold that it must report."""


class World(NamedTuple):
    state: str = FREE
    token: int = 0
    host: Host = Host()
    unclean: bool = False
    """The directory is as a crash has left it."""
    inspected: bool = False
    """Somebody has looked at the directory since."""
    releasing: bool = False
    """The host has closed the hold, its Release is on its way."""
    crashed: int = 0
    """The token that was served when the machine crashed."""
    granted: int = 0
    crashes: int = 2


class Restart(Model[World]):
    """Rules 13 and 17; tokens are even."""

    NAME = "restart"

    def start(self) -> World:
        return World(crashes=3) if self.large else World()

    def moves(self, s: World) -> Iterator[Move[World]]:
        if s.state == FREE and s.granted < (3 if self.large else 2):
            token = 2 * s.granted + 2
            granted = s._replace(state=HELD, token=token, granted=s.granted + 1, releasing=False)
            yield Move(f"the profile is granted: token {token}", granted, must=False)
        yield from self.hold_ends(s)
        yield from self.recovery_moves(s)
        if s.host.up:
            yield from self.host_opens(s)
            yield from self.host_closes(s)
            if s.crashes:
                yield Move("the host's machine crashes", _crashed(s), must=False)
        else:
            yield self.host_starts(s)

    def hold_ends(self, s: World) -> Iterator[Move[World]]:
        if s.state != HELD:
            return
        if s.releasing:
            wrong = "served after its release" if s.host.serves == s.token else ""
            freed = s._replace(state=FREE, releasing=False)
            yield Move(f"the lock service takes the release of {s.token}", freed, wrong=wrong)
        if s.host.suspects == s.token and s.host.up:
            # Only now may the marker go: a crash before would leave nobody to say it.
            marker = 0 if s.host.marker == s.token else s.host.marker
            host = s.host._replace(suspects=0, marker=marker)
            reported = s._replace(state=SUSPECTED, host=host, releasing=False)
            yield Move(f"the host reports hold {s.token}: suspected", reported)
        yield Move(
            f"the lease of hold {s.token} ends: suspected",
            s._replace(state=SUSPECTED, releasing=False),
            False,
        )

    def recovery_moves(self, s: World) -> Iterator[Move[World]]:
        """Quarantine and inspection need the host; without it a person frees nothing here."""
        if not s.host.up:
            return
        if s.state == SUSPECTED:
            floor = max(s.host.floor, s.token + 1)
            host = s.host._replace(floor=floor, disk_floor=floor, serves=0, suspects=0)
            looked = s._replace(state=INSPECTED, host=host, inspected=True)
            yield Move(f"hold {s.token} is cut off at the host and the directory inspected", looked)
        if s.state == INSPECTED:
            yield Move("recovery accepts what was found: the profile is free", s._replace(state=FREE))

    def host_opens(self, s: World) -> Iterator[Move[World]]:
        """A verified open: the floor is stored first, then the marker, then Chrome starts."""
        host = s.host
        if s.state != HELD or s.token < host.floor or host.serves == s.token:
            return
        disk = s.token if self.keeps("rule13-floor-on-disk") else host.disk_floor
        opened = host._replace(floor=s.token, disk_floor=disk, serves=s.token, marker=s.token)
        if host.chrome:
            yield Move(f"the host hands its warm browser to token {s.token}", s._replace(host=opened), False)
            return
        if s.crashed == s.token:
            goes_on = s._replace(host=opened)
            wrong = "a hold that a crash cut in two goes on"
            yield Move(f"the host lets token {s.token} in again", goes_on, must=False, wrong=wrong)
            return
        if s.unclean and not s.inspected and self.keeps("rule17-inspects-before-a-start"):
            yield Move("the host looks at the directory and finds it sound", s._replace(inspected=True))
            closed = host._replace(floor=s.token + 1, disk_floor=s.token + 1, suspects=s.token)
            story = f"the host looks at the directory and refuses to start on it: floor {s.token + 1}"
            yield Move(story, s._replace(host=closed), must=False)
            return
        wrong = (
            "Chrome starts on a crashed profile that nobody inspected"
            if s.unclean and not s.inspected
            else ""
        )
        runs = s._replace(host=opened._replace(chrome=True), unclean=False, inspected=False)
        yield Move(f"the host starts Chrome for token {s.token}", runs, must=False, wrong=wrong)

    def host_closes(self, s: World) -> Iterator[Move[World]]:
        host = s.host
        if s.state == HELD and not s.releasing and not host.suspects:
            floor = max(host.floor, s.token + 1)
            disk = floor if self.keeps("rule13-floor-on-disk") else host.disk_floor
            closed = s._replace(host=host._replace(floor=floor, disk_floor=disk, serves=0), releasing=True)
            yield Move(
                f"the host closes token {s.token}: floor {floor}, its Release is on its way", closed, False
            )
        if host.chrome and not host.serves:
            ended = s._replace(host=host._replace(chrome=False, marker=0))
            yield Move("the host closes its warm browser cleanly", ended, must=False)

    def host_starts(self, s: World) -> Move[World]:
        """A marker whose browser was not adopted: floor t + 1, Suspect t."""
        host = s.host._replace(up=True, floor=s.host.disk_floor)
        story = "the host starts again"
        if host.marker and self.keeps("rule17-a-marker-closes-its-hold"):
            floor = max(host.floor, host.marker + 1)
            host = host._replace(floor=floor, disk_floor=floor, suspects=host.marker)
            story = f"{story} and finds a marker of {s.host.marker}: floor {floor}"
        return Move(story, s._replace(host=host))

    def wrong_at_rest(self, s: World) -> str:
        return "a crashed hold that nobody reports" if s.state == HELD and s.crashed == s.token else ""


def _crashed(s: World) -> World:
    host = s.host._replace(up=False, floor=0, serves=0, chrome=False, suspects=0)
    return s._replace(
        host=host,
        unclean=s.unclean or s.host.chrome,
        inspected=s.inspected and not s.host.chrome,
        crashed=s.host.serves or s.crashed,
        crashes=s.crashes - 1,
    )
