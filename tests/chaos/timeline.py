"""The store's own history as a row of revisions, each with the world before it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from lockservice.core.document import decode
from lockservice.core.record import Holding, Record, State
from lockservice.core.stored import Ask, Epoch
from tenure import token as tokens
from tests.fixtures.history import Written


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a queue, since revision `create`."""

    create: int
    request: str
    worker: str
    ask: Ask


@dataclass(slots=True)
class Profile:
    """One profile as it is stored."""

    record: Record | None = None
    mod: int = 0
    queue: dict[str, Place] = field(default_factory=dict)
    # Whether anybody was in the queue since the record was written last.
    queued_since: bool = False

    @property
    def state(self) -> State | None:
        return self.record.state if self.record else None

    @property
    def free(self) -> bool:
        return self.state in (None, State.AVAILABLE, State.RETRY)

    @property
    def holding(self) -> Holding | None:
        """The holder's facts while HELD."""
        return self.record.holding if self.record and self.record.state is State.HELD else None

    @property
    def token(self) -> int:
        """The current hold's; 0 when nobody holds it."""
        if self.record is None or self.record.state is not State.HELD:
            return 0
        return tokens.pack(self.record.epoch, self.mod)

    def line(self) -> list[Place]:
        """The queue in its order."""
        return sorted(self.queue.values(), key=lambda place: (place.create, place.request))


@dataclass(slots=True)
class World:
    """Everything at one revision. `workers` has the create revisions of those alive; `kept` the versions of
    what is written once: e, i, d, v, a, m.
    """

    epoch: int = 0
    profiles: dict[str, Profile] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    used: dict[tuple[str, str], str] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)

    def profile(self, name: str) -> Profile:
        return self.profiles.setdefault(name, Profile())

    def alive(self, holding: Holding) -> bool:
        return self.workers.get(holding.worker) == holding.worker_create


@dataclass(frozen=True, slots=True)
class Revision:
    """The writes of one revision, by key."""

    number: int
    writes: dict[str, Written]

    def of(self, kind: str) -> Iterator[tuple[list[str], Written]]:
        """The writes of one kind of key, with the key's parts after the kind."""
        for key, written in self.writes.items():
            found, *parts = key.split("/")
            if found == kind:
                yield parts, written


def revisions(history: Iterable[Written]) -> Iterator[Revision]:
    """The history's revisions, in order."""
    ordered = sorted(history, key=lambda written: written.revision)
    for number, group in groupby(ordered, key=lambda written: written.revision):
        yield Revision(number, {written.key: written for written in group})


def apply(world: World, revision: Revision) -> None:
    """Bring the world to `revision`."""
    for key, written in revision.writes.items():
        kind, *parts = key.split("/")
        match kind:
            case "epoch" if not parts:
                world.epoch = decode(Epoch, written.value).number if written.value else 0
            case "w":
                _alive(world, parts[0], written)
            case "k":
                _use(world, parts, written)
            case "p":
                profile = world.profile(parts[1])
                profile.record = decode(Record, written.value) if written.value else None
                profile.mod = revision.number
            case "q":
                _queue(world, parts, written)
            case _:
                world.kept[key] = written.version
    for parts, _ in revision.of("p"):
        world.profile(parts[1]).queued_since = bool(world.profile(parts[1]).queue)


def _alive(world: World, worker: str, written: Written) -> None:
    if written.value is None:
        world.workers.pop(worker, None)
    elif written.version == 1:
        world.workers[worker] = written.revision


def _use(world: World, parts: list[str], written: Written) -> None:
    worker, profile = parts
    if written.value is None:
        world.used.pop((worker, profile), None)
    else:
        world.used[worker, profile] = written.value.decode()


def _queue(world: World, parts: list[str], written: Written) -> None:
    profile, request = world.profile(parts[1]), parts[2]
    if written.value is None:
        profile.queue.pop(request, None)
        return
    ask = decode(Ask, written.value)
    before = profile.queue.get(request)
    create = written.revision if written.version == 1 or before is None else before.create
    profile.queue[request] = Place(create, request, ask.worker, ask)
    profile.queued_since = True
