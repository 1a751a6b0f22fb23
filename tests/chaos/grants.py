"""Rules about grants and queues, told from the store's history alone. Pure.

Each function looks at one revision with the world before it.
"""

from __future__ import annotations

from lockservice.core.document import decode
from lockservice.core.record import Holding, Record, State
from lockservice.core.stored import Ask
from tenure import token as tokens
from tests.chaos.ledger import Grant, Ledger
from tests.chaos.timeline import Profile, Revision, World


def granted(ledger: Ledger, world: World, revision: Revision) -> None:
    """Each grant is above all earlier, to one who lives, once a request, and as the queue says."""
    for (_, name), written in ((p, w) for p, w in revision.of("p") if w.value):
        after = decode(Record, written.value or b"")
        before = world.profile(name)
        if after.state is not State.HELD or after.holding is None:
            continue
        token, holding = tokens.pack(after.epoch, revision.number), after.holding
        _rises(ledger, name, token, revision.number)
        asked = (name, holding.worker, holding.request_id)
        if asked in ledger.asked:
            first = ledger.asked[asked].token
            ledger.broken(
                "one grant a request", name, revision.number, f"granted again; first with {first}", token
            )
        grant = Grant(name, token, holding.worker, holding.request_id, revision.number)
        ledger.grants[name, token] = ledger.asked[asked] = grant
        if not world.alive(holding):
            text = f"granted to {holding.worker[-6:]}, whose lease had ended"
            ledger.broken("nobody dead is granted", name, revision.number, text, token)
        _in_order(ledger, revision, name, before, holding, after, token)


def _rises(ledger: Ledger, name: str, token: int, revision: int) -> None:
    highest = ledger.highest.get(name, 0)
    if token <= highest:
        ledger.broken("tokens rise", name, revision, f"token {token} after {highest}", token)
    ledger.highest[name] = max(highest, token)


def _in_order(
    ledger: Ledger,
    revision: Revision,
    name: str,
    before: Profile,
    holding: Holding,
    after: Record,
    token: int,
) -> None:
    line = before.line()
    mine = before.queue.get(holding.request_id)
    mine = mine if mine is not None and mine.worker == holding.worker else None
    number = revision.number
    if mine is not None and _deleted(revision, name, mine.request) is False:
        ledger.broken("grants follow the queue", name, number, "granted, and still in the queue", token)
    if before.state is State.RESUME_PENDING:
        old = before.record.holding if before.record else None
        if old is None or (old.workflow_id, old.proxy_key) != (holding.workflow_id, holding.proxy_key):
            ledger.broken("only its workflow resumes", name, number, "another one was granted", token)
        elif before.record and after.since_ms >= before.record.resume_until_ms:
            ledger.broken("only its workflow resumes", name, number, "it came too late", token)
        return
    if line and (line[0].request, line[0].worker) != (holding.request_id, holding.worker):
        text = f"granted to …{holding.request_id[-6:]} while …{line[0].request[-6:]} was first in the queue"
        ledger.broken("grants follow the queue", name, number, text, token)
    if before.state is State.HELD and mine is None:
        text = f"handed over to …{holding.request_id[-6:]}, who was not in the queue"
        ledger.broken("grants follow the queue", name, number, text, token)


def _deleted(revision: Revision, name: str, request: str) -> bool:
    return any(parts[1:] == [name, request] and written.value is None for parts, written in revision.of("q"))


def queued(ledger: Ledger, world: World, revision: Revision) -> None:
    """A place is taken once, by one who lives, and not of what is to be had at once."""
    for (_, name, request), written in revision.of("q"):
        if written.value is None:
            continue
        ask = decode(Ask, written.value)
        ledger.joined.setdefault((name, ask.worker, request), revision.number)
        before = world.profile(name)
        if written.version != 1:
            ledger.broken("a place is one request's", name, revision.number, f"…{request[-6:]} was rewritten")
        if world.workers.get(ask.worker) != ask.worker_create:
            ledger.broken("nobody dead queues", name, revision.number, f"…{request[-6:]} joined, dead")
        if before.free and not before.queued_since:
            ledger.broken(
                "nobody queues for what is free", name, revision.number, f"…{request[-6:]} joined the queue"
            )
        if before.state is State.DISABLED:
            text = f"…{request[-6:]} joined the queue of a profile out of use"
            ledger.broken("nobody queues for what is out of use", name, revision.number, text)


def used_up(ledger: Ledger, world: World, revision: Revision) -> None:
    """The highest request id that a worker consumed rises."""
    for (worker, name), written in revision.of("k"):
        if written.value is None:
            continue
        before, now = world.used.get((worker, name), ""), written.value.decode()
        if now <= before:
            text = f"worker …{worker[-6:]} consumed …{now[-6:]} after …{before[-6:]}"
            ledger.broken("request ids are consumed once", name, revision.number, text)
