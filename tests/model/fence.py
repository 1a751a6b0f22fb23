"""One host's fence: proofs that age, floors that rise, quarantines and closes that come late or twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

FREE, HELD, SUSPECTED, QUARANTINED = "AVAILABLE", "HELD", "SUSPECTED_STALE", "QUARANTINED"
SERVES = 1
"""D: for so many units of time after its question was sent a host serves a token that was proven."""


class Ask(NamedTuple):
    """A verify on its way: how long ago it was sent, and what was answered."""

    token: int
    age: int = 0
    current: bool | None = None


class Host(NamedTuple):
    floor: int = 0
    left: int = 0
    """For how long the proof of the token at the floor is good yet."""
    asked: Ask | None = None
    checked: int = 0
    """The token of a command that has passed the check and is not yet dispatched to Chrome."""
    running: tuple[int, ...] = ()
    """The tokens of commands that Chrome works on."""


class Wait(NamedTuple):
    """What a recovery replica does about the incident: nothing (0), or waits, or has the acknowledgement."""

    incident: int = 0
    left: int = 0
    acknowledged: bool = False


class World(NamedTuple):
    state: str = FREE
    token: int = 0
    host: Host = Host()
    waits: tuple[Wait, ...] = (Wait(), Wait())
    cuts: tuple[int, ...] = ()
    """Quarantines and closes on their way to the host, by token; each may arrive twice."""
    granted: int = 0
    quarantined: int = 0
    released: int = 0
    acknowledged: int = 0
    """The highest token of which the host said that nothing is served any more."""
    executed: int = 0
    suspicions: int = 1
    doubles: int = 1
    deaths: int = 0


class Fence(Model[World]):
    """Two holds after each other; tokens are even, so that t + 1 is above t and below the next one."""

    NAME = "fence"
    GRANTS = 2

    def start(self) -> World:
        return World(suspicions=2, deaths=1, doubles=2) if self.large else World()

    def moves(self, s: World) -> Iterator[Move[World]]:
        yield from self.owner_moves(s)
        yield from self.lock_service_moves(s)
        for index, wait in enumerate(s.waits):
            yield from self.recovery_moves(s, index, wait)
        for token in s.cuts:
            yield from self.cut_arrives(s, token)
        yield from self.host_verifies(s)
        yield from self.host_executes(s)
        yield from self.time_passes(s)

    def owner_moves(self, s: World) -> Iterator[Move[World]]:
        if s.state != HELD:
            return
        if s.token not in s.cuts and s.host.floor <= s.token:
            closes = s._replace(cuts=tuple(sorted((*s.cuts, s.token))))
            yield Move(
                f"the owner of {s.token} closes its session: Close is on its way to the host", closes, False
            )
        if s.acknowledged >= s.token or not self.keeps("rule6-through-the-host"):
            freed = s._replace(state=FREE, released=s.token)
            yield Move(f"the lock service takes the release of {s.token}", freed, False)

    def lock_service_moves(self, s: World) -> Iterator[Move[World]]:
        if s.state == FREE and s.granted < self.GRANTS:
            token = 2 * s.granted + 2
            granted = s._replace(state=HELD, token=token, granted=s.granted + 1)
            yield Move(f"the profile is granted: token {token}", granted, must=False)
        if s.state == HELD and s.suspicions:
            suspect = s._replace(state=SUSPECTED, suspicions=s.suspicions - 1)
            yield Move(f"hold {s.token} is suspected", suspect, must=False)
        if s.state == QUARANTINED:
            yield Move(
                f"incident {s.token} is inspected and decided: the profile is free", s._replace(state=FREE)
            )

    def recovery_moves(self, s: World, index: int, wait: Wait) -> Iterator[Move[World]]:
        name = f"recovery replica {index}"
        if wait.incident and (s.state, s.token) != (SUSPECTED, wait.incident):
            yield Move(f"{name} finds incident {wait.incident} cut off", _waits(s, index, Wait()))
            return
        if s.state != SUSPECTED:
            return
        if not wait.incident:
            began = Wait(s.token, SERVES if self.keeps("rule22-waits-as-long-as-a-host-serves") else 0)
            if index and s.waits[0].incident and not self.keeps("rule22-from-its-own-sight"):
                # It goes by the time that is written in p, and its clock is ahead.
                began = Wait(s.token, 0)
            cuts = tuple(sorted({*s.cuts, s.token}))
            yield Move(
                f"{name} sees {s.token} suspected, sends Quarantine and waits",
                _waits(s, index, began)._replace(cuts=cuts),
            )
        elif wait.acknowledged or not wait.left:
            how = "the host's acknowledgement" if wait.acknowledged else "no acknowledgement, having waited"
            cut_off = _waits(s, index, Wait())._replace(state=QUARANTINED, quarantined=s.token)
            yield Move(f"{name} records QUARANTINED {s.token} with {how}", cut_off)
        if wait.incident and s.deaths:
            dead = _waits(s, index, Wait())._replace(deaths=s.deaths - 1)
            yield Move(f"{name} dies and is started again", dead, must=False)

    def cut_arrives(self, s: World, token: int) -> Iterator[Move[World]]:
        """Rule 16."""
        host, wrong = s.host, ""
        floor = max(host.floor, token + 1) if self.keeps("rule16-floor-only-rises") else token + 1
        later = host.floor > token and host.left
        if later and not self.keeps("rule16-cuts-only-what-is-older"):
            host, wrong = host._replace(left=0), "a later hold is cut"
        if not later:
            host = host._replace(left=0)
        if host.checked <= token:
            host = host._replace(checked=0)
        here = s._replace(host=host._replace(floor=floor))
        story = f"a cut of {token} reaches the host: floor {floor}"
        if any(each <= token for each in host.running) and self.keeps("rule16-drains-first"):
            if here != s:
                yield Move(f"{story}; it waits for what Chrome works on", here, wrong=wrong)
            return
        waits = tuple(
            wait._replace(acknowledged=wait.acknowledged or wait.incident == token) for wait in s.waits
        )
        here = here._replace(waits=waits, acknowledged=max(s.acknowledged, token))
        once = here._replace(cuts=tuple(each for each in s.cuts if each != token))
        yield Move(f"{story}, acknowledged", once, wrong=wrong)
        if s.doubles:
            twice = here._replace(doubles=s.doubles - 1)
            yield Move(f"{story}, acknowledged; a copy is on its way", twice, False, wrong)

    def host_verifies(self, s: World) -> Iterator[Move[World]]:
        """Rules 14 and 15."""
        host, ask = s.host, s.host.asked
        if ask is None:
            for token in range(2, 2 * s.granted + 1, 2):
                if token > host.floor or (token == host.floor and host.left < SERVES):
                    asks = s._replace(host=host._replace(asked=Ask(token)))
                    yield Move(
                        f"a worker uses token {token}: the host asks whether it is current", asks, False
                    )
        elif ask.current is None:
            current = s.state == HELD and s.token == ask.token
            answered = host._replace(asked=ask._replace(current=current))
            said = "current" if current else "over"
            yield Move(f"the lock service says of {ask.token}: {said}", s._replace(host=answered))
        elif not any(each < ask.token for each in host.running) or not self.keeps("rule14-drains-lower"):
            yield self._answer_arrives(s, ask)

    def _answer_arrives(self, s: World, ask: Ask) -> Move[World]:
        host = s.host._replace(asked=None)
        if not ask.current or (ask.token < host.floor and self.keeps("rule14-floor-checked-again")):
            return Move(f"the host refuses token {ask.token}", s._replace(host=host))
        if host.checked < ask.token:
            host = host._replace(checked=0)
        age = ask.age if self.keeps("rule15-from-sending") else 0
        host = host._replace(floor=max(host.floor, ask.token), left=max(SERVES - age, 0))
        if ask.token < host.floor:
            host = host._replace(floor=ask.token)
        return Move(f"the host serves {ask.token} for {host.left} more", s._replace(host=host))

    def host_executes(self, s: World) -> Iterator[Move[World]]:
        host = s.host
        token = host.floor if host.floor % 2 == 0 else 0
        if token and host.left and not host.checked:
            story = f"a command of token {token} passes the host's check"
            yield Move(story, s._replace(host=host._replace(checked=token)), must=False)
        for token in host.running:
            wrong = "executed after its cut was acknowledged" if token <= s.acknowledged else ""
            if token < s.executed:
                wrong = "executed under a lower token than before"
            ended = host._replace(running=tuple(each for each in host.running if each != token))
            yield Move(f"Chrome has done the command of {token}", s._replace(host=ended), wrong=wrong)
        if not host.checked:
            return
        drop = s._replace(host=host._replace(checked=0))
        good = host.left and host.checked == host.floor
        if not good and self.keeps("rule15-asked-at-dispatch"):
            yield Move(f"the host drops a command of {host.checked}: its proof is too old", drop)
        elif host.checked not in host.running:
            running = tuple(sorted((*host.running, host.checked)))
            runs = drop._replace(
                host=drop.host._replace(running=running), executed=max(s.executed, host.checked)
            )
            wrong = _wrong(s, host.checked)
            yield Move(f"the host dispatches a command of {host.checked}", runs, wrong=wrong)

    def time_passes(self, s: World) -> Iterator[Move[World]]:
        host = s.host
        asked = host.asked and host.asked._replace(age=min(host.asked.age + 1, SERVES))
        later = s._replace(
            host=host._replace(left=max(host.left - 1, 0), asked=asked),
            waits=tuple(wait._replace(left=max(wait.left - 1, 0)) for wait in s.waits),
        )
        if later != s:
            yield Move("a unit of time passes", later)


def _waits(s: World, index: int, wait: Wait) -> World:
    return s._replace(waits=(*s.waits[:index], wait, *s.waits[index + 1 :]))


def _wrong(s: World, token: int) -> str:
    if token < s.executed:
        return "executed under a lower token than before"
    if token <= s.quarantined:
        return "executed after QUARANTINED"
    if token <= s.released:
        return "executed after its release"
    return ""
