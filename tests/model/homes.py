"""Two hosts and one profile: which of them may start Chrome on it, and its move from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

FREE, HELD = "AVAILABLE", "HELD"


class Ask(NamedTuple):
    token: int
    current: bool | None = None


class Host(NamedTuple):
    floor: int = 0
    chrome: bool = False
    asked: Ask | None = None
    copy: int = 0
    """The age of the profile's directory here; 0 for none."""
    copied_at: int = 0
    """The revision of p at which it was copied to here."""
    swap: int = 0
    """The revision of a restore that may be: it has looked. See tests.model.restored."""


class Copy(NamedTuple):
    """A copy of the directory on its way to the other host, for the profile as it was at a revision."""

    to: int
    copy: int
    revision: int


class World(NamedTuple):
    state: str = FREE
    revision: int = 1
    home: int = 0
    hosts: tuple[Host, Host] = (Host(copy=1, copied_at=1), Host())
    newest: int = 1
    """The age of the profile's directory where it was used last."""
    tokens: tuple[int, ...] = ()
    copies: tuple[Copy, ...] = ()
    moving: tuple[tuple[int, int], ...] = ()
    """Txns on their way that change the home: the revision they compare, and the new home."""
    grants: int = 2
    attempts: int = 2
    doubles: int = 0
    disks: int = 0
    restores: int = 0
    switches: int = 0
    """So often a person takes the profile, or gives it back."""
    wanted: tuple[int, ...] = ()
    """Restores on their way: the revision that the person had read."""
    restored: int = 0
    """The revision of the last one that was done."""
    driven: int = 0
    """The highest token under which Chrome was driven anywhere."""


class Homes(Model[World]):
    """Rules 14 and 18 to 20. Revisions go up by two, so that t + 1 is no token."""

    NAME = "homes"

    def start(self) -> World:
        return World(grants=3) if self.large else World()

    def moves(self, s: World) -> Iterator[Move[World]]:
        yield from self.lock_service_moves(s)
        for index, host in enumerate(s.hosts):
            yield from self.host_verifies(s, index, host)
            yield from self.owner_closes(s, index, host)
            yield from self.mover_retires(s, index, host)
        for copy in dict.fromkeys(s.copies):
            yield from self.copy_arrives(s, copy)
        for txn in dict.fromkeys(s.moving):
            yield self.home_changes(s, *txn)

    def lock_service_moves(self, s: World) -> Iterator[Move[World]]:
        if s.state == FREE and s.grants:
            token = s.revision + 2
            granted = s._replace(state=HELD, revision=token, tokens=(*s.tokens, token), grants=s.grants - 1)
            yield Move(f"the profile is granted: token {token}, home {_name(s.home)}", granted, must=False)
        if s.state == HELD:
            if s.hosts[s.home].floor > s.revision:
                yield Move(f"hold {s.revision} is released through its host", _freed(s), must=False)
            story = f"hold {s.revision} was suspected; its host stayed silent, a person freed the profile"
            yield Move(story, _freed(s), must=False)

    def host_verifies(self, s: World, index: int, host: Host) -> Iterator[Move[World]]:
        name, ask = _name(index), host.asked
        if ask is None:
            for token in s.tokens:
                if token > host.floor:
                    asks = _host(s, index, host._replace(asked=Ask(token)))
                    yield Move(f"a worker shows token {token} to {name}, which asks", asks, must=False)
        elif ask.current is None:
            here = s.home == index or not self.keeps("rule14-home-is-me")
            current = s.state == HELD and s.revision == ask.token and here
            answered = host._replace(asked=ask._replace(current=current))
            said = "current" if current else "not to be served there"
            yield Move(f"the lock service tells {name}: {ask.token} is {said}", _host(s, index, answered))
        else:
            yield self._answer_arrives(s, index, host, ask)

    def _answer_arrives(self, s: World, index: int, host: Host, ask: Ask) -> Move[World]:
        """The floor is checked again, and the profile's own flock and directory decide about a start."""
        name, host = _name(index), host._replace(asked=None)
        if not ask.current or (ask.token < host.floor and self.keeps("rule14-floor-checked-again")):
            return Move(f"{name} refuses token {ask.token}", _host(s, index, host))
        host = host._replace(floor=ask.token)
        if host.chrome:
            return Move(f"{name} hands its warm browser to token {ask.token}", _host(s, index, host))
        if s.newest and not host.copy and self.keeps("rule19-never-an-empty-start"):
            return Move(
                f"{name} has no directory of a profile that was used: PROFILE_MISSING", _host(s, index, host)
            )
        wrong = ""
        if s.hosts[1 - index].chrome:
            wrong = "two Chromes on one profile"
        elif s.newest and not host.copy:
            wrong = "an empty start"
        elif host.copy < s.newest:
            wrong = "Chrome starts on an old copy"
        used = _host(s, index, host._replace(chrome=True, copy=s.newest + 1))
        return Move(
            f"{name} starts Chrome for token {ask.token}", used._replace(newest=s.newest + 1), wrong=wrong
        )

    def owner_closes(self, s: World, index: int, host: Host) -> Iterator[Move[World]]:
        """Floor t + 1; the browser stays warm. The host may as well close it, or Chrome may end."""
        if s.state == HELD and s.home == index and host.floor <= s.revision:
            closed = host._replace(floor=s.revision + 1)
            yield Move(f"{_name(index)} closes token {s.revision}", _host(s, index, closed), must=False)
        if host.chrome:
            ended = _host(s, index, host._replace(chrome=False))
            yield Move(f"{_name(index)} closes its warm browser", ended, must=False)
        if s.disks and host.copy and not host.chrome:
            lost = _host(s, index, host._replace(copy=0))._replace(disks=s.disks - 1)
            yield Move(f"{_name(index)} loses its disk", lost, must=False)

    def mover_retires(self, s: World, index: int, host: Host) -> Iterator[Move[World]]:
        """Rules 18 and 20: the old home, free as verified, raises its floor, closes Chrome, sends a copy."""
        if s.state != FREE or s.home != index or not s.attempts:
            return
        if self.keeps("rule20-old-home-retired"):
            floor = max(host.floor, s.revision) if self.keeps("rule18-floor-first") else host.floor
            host = host._replace(floor=floor, chrome=False)
        after = _host(s, index, host)._replace(attempts=s.attempts - 1)
        copy = Copy(1 - index, host.copy, s.revision)
        story = f"{_name(index)} is retired at revision {s.revision}, a copy is on its way"
        yield Move(story, after._replace(copies=tuple(sorted((*s.copies, copy)))), must=False)

    def copy_arrives(self, s: World, copy: Copy) -> Iterator[Move[World]]:
        index, host = copy.to, s.hosts[copy.to]
        rest = s._replace(copies=_minus(s.copies, copy))
        story = f"a copy of revision {copy.revision} reaches {_name(index)}"
        # What it has is for a revision as new, or newer: its own by now, perhaps.
        if self.keeps("rule20-no-late-copy") and copy.revision <= host.copied_at:
            yield Move(f"{story}, which has as new a one", rest)
            return
        taken = host._replace(copy=copy.copy, copied_at=copy.revision)
        moving = tuple(sorted({*s.moving, (copy.revision, index)}))
        received = _host(rest, index, taken)._replace(moving=moving)
        yield Move(f"{story} and is verified: MOVE is on its way", received)
        if s.doubles:
            again = received._replace(copies=s.copies, doubles=s.doubles - 1)
            yield Move(f"{story} and is verified: MOVE is on its way, another copy too", again, must=False)

    def home_changes(self, s: World, revision: int, home: int) -> Move[World]:
        """Rule 20: only what is free, and as it was when the old home was retired."""
        rest = s._replace(moving=tuple(each for each in s.moving if each != (revision, home)))
        as_seen = s.revision == revision or not self.keeps("rule20-compares-record")
        if not as_seen or s.home == home:
            return Move(f"MOVE to {_name(home)} at revision {revision} fails its compares", rest)
        after = rest._replace(home=home)
        if s.state == FREE:
            after = after._replace(revision=s.revision + 2)
        return Move(f"MOVE to {_name(home)} at revision {revision} is done", after)


class HomesThatFail(Homes):
    """One hold after a disk was lost."""

    NAME = "homes-that-fail"

    def start(self) -> World:
        return World(grants=2 if self.large else 1, attempts=1, disks=1)


def _freed(s: World) -> World:
    return s._replace(state=FREE, revision=s.revision + 2)


def _host(s: World, index: int, host: Host) -> World:
    hosts = (host, s.hosts[1]) if index == 0 else (s.hosts[0], host)
    return s._replace(hosts=hosts)


def _minus(copies: tuple[Copy, ...], copy: Copy) -> tuple[Copy, ...]:
    index = copies.index(copy)
    return copies[:index] + copies[index + 1 :]


def _name(index: int) -> str:
    return f"host {'AB'[index]}"
