"""The rules that the store's history alone can show, on histories written by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lockservice.core.document import encode
from lockservice.core.record import Holding, Record, State
from lockservice.core.stored import Ask, Decided, Epoch, Incident, Step, Worker
from tests.chaos.audit import audit
from tests.fixtures.history import Written


@dataclass
class Pen:
    """Writes a history, a revision at a time."""

    revision: int = 0
    written: list[Written] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    alive: dict[str, int] = field(default_factory=dict)

    def write(self, **values: Any) -> int:
        """One revision; names are keys with `_` for `/`; None deletes."""
        self.revision += 1
        for name, value in values.items():
            key = name.replace("__", "/")
            version = 0 if value is None else self.versions.get(key, 0) + 1
            self.versions[key] = version
            data = value if value is None or isinstance(value, bytes) else encode(value)
            self.written.append(Written(key, data, self.revision, version, float(self.revision)))
        return self.revision

    def worker(self, name: str) -> None:
        stored = Worker(tenant="default", lease=1, ttl_s=3, registered_ms=1)
        self.alive[name] = self.write(**{f"w__{name}": stored})

    def held(self, worker: str, request: str, epoch: int = 0) -> Record:
        holding = Holding(
            worker=worker,
            worker_create=self.alive[worker],
            request_id=request,
            run_id="r",
            as_sent="x",
            granted_ms=1,
            deadline_ms=2,
        )
        return Record(state=State.HELD, epoch=epoch, since_ms=1, as_sent="x", holding=holding)

    def ask(self, worker: str, request: str) -> Ask:
        return Ask(
            request_id=request,
            worker=worker,
            run_id="r",
            as_sent="x",
            max_runtime_ms=1,
            worker_create=self.alive[worker],
        )

    def broken(self) -> list[str]:
        return [violation.rule for violation in audit(self.written).violations]


P = "p__default__x"
FREE = Record(state=State.AVAILABLE, epoch=0, since_ms=1, as_sent="x")


@pytest.fixture
def pen() -> Pen:
    """Two workers, and an epoch."""
    pen = Pen()
    pen.write(epoch=Epoch(number=0, cluster="c"))
    pen.worker("a")
    pen.worker("b")
    return pen


def grant(pen: Pen, worker: str = "a", request: str = "1", **more: Any) -> int:
    record = pen.held(worker, request)
    return pen.write(**{P: record, f"k__{worker}__x": request.encode(), **more})


def suspect(pen: Pen, token: int, cause: str = "BROWSER_LOST") -> Record:
    before = pen.held("a", "1")
    assert before.holding is not None
    incident = Incident(cause=cause, suspect_ms=1, holding=before.holding)
    after = replace(before, state=State.SUSPECTED_STALE, incident=token)
    pen.write(**{P: after, f"i__default__x__{token:016d}": incident})
    return after


def test_a_hold_a_wait_and_a_hand_over_break_nothing(pen: Pen) -> None:
    token = grant(pen)
    pen.write(**{f"e__default__x__{token:016d}__0000000001": Step(name="open", start_ms=1)})
    pen.write(q__default__x__2=pen.ask("b", "2"), k__b__x=b"2")
    pen.write(**{P: pen.held("b", "2"), "q__default__x__2": None})
    pen.write(**{P: FREE})
    assert pen.broken() == []


def test_a_second_grant_over_a_hold(pen: Pen) -> None:
    grant(pen)
    grant(pen, "b", "2")
    assert pen.broken() == ["grants follow the queue"]


def test_a_grant_past_the_queue(pen: Pen) -> None:
    token = grant(pen)
    pen.write(q__default__x__2=pen.ask("b", "2"), k__b__x=b"2")
    after = suspect(pen, token)
    after = replace(after, state=State.QUARANTINED, acknowledged=True)
    pen.write(**{P: after})
    after = replace(after, state=State.INSPECTED)
    pen.write(**{P: after})
    decided = Decided(outcome="AVAILABLE", reason="r", decide_ms=1)
    pen.write(**{P: FREE, f"d__default__x__{token:016d}": decided})
    grant(pen, "a", "3")
    assert pen.broken() == ["grants follow the queue"]


def test_a_release_to_nobody_while_somebody_waits(pen: Pen) -> None:
    grant(pen)
    pen.write(q__default__x__2=pen.ask("b", "2"), k__b__x=b"2")
    pen.write(**{P: FREE})
    assert pen.broken() == ["a release passes on"]


def test_a_grant_to_the_dead(pen: Pen) -> None:
    pen.write(w__a=None)
    grant(pen)
    assert pen.broken() == ["nobody dead is granted"]


def test_a_release_by_the_dead(pen: Pen) -> None:
    grant(pen)
    pen.write(w__a=None)
    pen.write(**{P: FREE})
    assert pen.broken() == ["only an owner releases"]


def test_a_step_of_a_token_that_is_over(pen: Pen) -> None:
    token = grant(pen)
    suspect(pen, token)
    pen.write(**{f"e__default__x__{token:016d}__0000000001": Step(name="pay", start_ms=1)})
    assert pen.broken() == ["nothing is accepted of a token that is over"]


def test_suspicion_of_one_who_lives(pen: Pen) -> None:
    suspect(pen, grant(pen), "LEASE_ENDED")
    assert pen.broken() == ["only the dead are suspect"]


def test_a_transition_that_is_not_listed(pen: Pen) -> None:
    suspect(pen, grant(pen))
    pen.write(**{P: FREE})
    assert pen.broken() == ["only listed transitions"]


def test_a_token_of_an_epoch_that_is_over(pen: Pen) -> None:
    pen.write(epoch=Epoch(number=1, cluster="c"))
    pen.write(**{P: pen.held("a", "1", epoch=1), "k__a__x": b"1"})
    pen.write(**{P: replace(FREE, epoch=1)})
    grant(pen, "b", "2")
    assert pen.broken() == ["nothing of an epoch that is over", "tokens rise"]


def test_an_id_that_is_used_twice(pen: Pen) -> None:
    grant(pen)
    pen.write(**{P: FREE})
    grant(pen)
    assert pen.broken() == ["one grant a request", "request ids are consumed once"]


def test_what_is_on_record_is_rewritten(pen: Pen) -> None:
    token = grant(pen)
    suspect(pen, token)
    holding = pen.held("a", "1").holding
    assert holding is not None
    again = Incident(cause="REVOKED", suspect_ms=2, holding=holding)
    pen.write(**{f"i__default__x__{token:016d}": again})
    assert pen.broken() == ["on record once"]
