"""What there is in the model of the queue: the record, workers, calls, Txns; and small changes of it."""

from __future__ import annotations

from typing import NamedTuple

FREE, HELD, STALE = "free", "held", "suspected"
Place = tuple[int, int]
"""A worker and its request id."""
NOBODY: Place = (-1, 0)


class Record(NamedTuple):
    """p, and its mod_revision."""

    state: str
    who: Place
    mod: int


class Worker(NamedTuple):
    """What a worker's process knows: it is `idle`, `waits` for its request, `has` a token or `ends` it."""

    does: str = "idle"
    request: int = 0
    token: int = 0


class Txn(NamedTuple):
    """A compare-and-write, with what was seen when it was decided."""

    kind: str
    who: Place
    mod: int = 0
    head: Place = NOBODY


NO_TXN = Txn("", NOBODY)


class Call(NamedTuple):
    """A call on its way to some replica, or in one: then it may have a Txn at etcd, or be parked."""

    kind: str
    who: Place
    token: int = 0
    txn: Txn = NO_TXN
    parked: bool = False


class Chances(NamedTuple):
    """How often each may still happen."""

    retries: int = 0
    unclear: int = 0
    lost: int = 0
    deaths: int = 0
    leases: int = 0
    vanish: int = 0
    cancel: int = 0
    blind: int = 0
    transfers: int = 0


class World(NamedTuple):
    p: Record
    alive: tuple[bool, ...]
    consumed: tuple[int, ...]
    """k: the highest request id that each worker has used."""
    queue: tuple[Place, ...]
    workers: tuple[Worker, ...]
    calls: tuple[Call, ...]
    at_replicas: tuple[Call, ...]
    late: tuple[Txn, ...]
    """Txns on their way for which nobody waits any more."""
    granted: tuple[Place, ...]
    cancelled: tuple[Place, ...]
    left: Chances


def without(items: tuple[Call, ...], call: Call) -> tuple[Call, ...]:
    index = items.index(call)
    return items[:index] + items[index + 1 :]


def with_worker(items: tuple[Worker, ...], index: int, worker: Worker) -> tuple[Worker, ...]:
    return (*items[:index], worker, *items[index + 1 :])


def become(s: World, index: int, worker: Worker, sends: Call | None = None) -> World:
    calls = (*s.calls, sends) if sends else s.calls
    return s._replace(workers=with_worker(s.workers, index, worker), calls=calls)


def travels(s: World, call: Call) -> bool:
    """Whether such a call is on its way, or in the hands of a replica."""
    return any(each[:3] == call[:3] for each in (*s.calls, *s.at_replicas))


def heard(s: World, call: Call, token: int) -> World:
    """The caller hears its token, if it still listens."""
    index, request = call.who
    worker = s.workers[index]
    if worker.does != "waits" or worker.request != request:
        return s
    return s._replace(workers=with_worker(s.workers, index, Worker("has", request, token)))


def ended(s: World, call: Call) -> World:
    """The caller hears that its request or its hold has ended."""
    index, request = call.who
    worker = s.workers[index]
    asked = call.kind in ("acquire", "transfer")
    waits = asked and worker.does == "waits" and worker.request == request
    ends = call.kind == "release" and worker.does == "ends" and worker.token == call.token
    return s._replace(workers=with_worker(s.workers, index, Worker("idle", request))) if waits or ends else s


def less(left: Chances, name: str) -> Chances:
    return left._replace(**{name: getattr(left, name) - 1})


def with_item(items: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*items[:index], value, *items[index + 1 :])


def named(who: Place) -> str:
    return f"request {who[1]} of worker {who[0]}"


def said(what: Call | Txn) -> str:
    if isinstance(what, Call):
        return f"{what.kind.capitalize()} for {named(what.who)}"
    to = f" {'behind' if what.kind == 'JOIN' else 'to'} {named(what.head)}" if what.head != NOBODY else ""
    return f"{what.kind} of {named(what.who)}{to}" + (f" at revision {what.mod}" if what.mod else "")
