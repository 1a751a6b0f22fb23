"""What ExplainProfile reads, and how it says what `core.explain` makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from lockservice.core.document import decode
from lockservice.core.explain import Explanation
from lockservice.core.facts import DAMAGE, Facts
from lockservice.core.hold import Hold
from lockservice.core.keys import Keys
from lockservice.core.record import State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.steps import Stored
from lockservice.core.stored import Decided, Move, Step
from lockservice.encode import (
    hold_message,
    host_name,
    profile_message,
    step_message,
    timestamp,
    waiter_message,
)
from lockservice.etcd.txn import get, last_by_key
from lockservice.replica import Replica
from lockservice.workers import Workers
from tenure.errors import NotFound
from tenure.names import ProfileName
from tenure.v1 import profile_pb2
from tenure.v1 import profile_service_pb2 as pb
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence


@dataclass(frozen=True, slots=True)
class _Subject:
    """What the reads hang on: the token of the current hold or of the incident at work, and who had it."""

    token: int = 0
    worker: str = ""


async def gather(replica: Replica, workers: Workers, profile: ProfileName, deadline: float) -> Facts:
    """Everything that explains a profile, at one revision, ordered with all writes; the queue is this
    replica's latest knowledge. Raises NotFound, StoreUnavailable.
    """
    keys, committer = replica.keys, replica.committer
    await committer.until_loaded(deadline)
    snapshot = replica.mirror.guess(Sight(keys=keys, profile=profile))
    while True:
        subject = _subject(snapshot)
        sight = Sight(
            keys=keys,
            profile=profile,
            worker=subject.worker,
            token=subject.token,
            extra=(
                last_by_key(keys.steps(profile, subject.token)),
                get(keys.decision(profile, subject.token)),
                get(keys.inspected(profile, subject.token)),
                get(keys.acknowledged(profile, subject.token)),
                last_by_key(keys.moves(profile)),
            ),
        )
        snapshot = sight.snapshot(await committer.look_up(sight.ops(), deadline))
        if _subject(snapshot) == subject:
            break
    if snapshot.record is None:
        raise NotFound(name=str(profile))
    record = snapshot.record
    holding, held = record.holding, record.state is State.HELD
    decision, evidence = snapshot.found(1), snapshot.found(2)
    decided = decode(Decided, decision.value) if decision else None
    moved = snapshot.found(4)
    return Facts(
        profile=profile,
        record=record,
        mod=snapshot.mod,
        token=subject.token,
        alive=snapshot.alive(holding.worker, holding.worker_create) if holding else None,
        lease_s=workers.remaining_s(subject.worker) if held else None,
        step=_going_on(keys, snapshot),
        queue=tuple(replica.mirror.queue(profile)),
        incident=snapshot.incident,
        acknowledged=record.acknowledged or snapshot.found(3) is not None,
        finding=_finding(Evidence.FromString(evidence.value), record.used) if evidence else "",
        decided=decided.outcome if decided else "",
        reason=decided.reason if decided else "",
        last_move=decode(Move, moved.value) if moved else None,
        settings=replica.mirror.settings(profile),
    )


def message(facts: Facts, explained: Explanation) -> pb.ExplainProfileResponse:
    """The answer."""
    answer = pb.ExplainProfileResponse(
        profile=profile_message(facts.profile, facts.record, facts.mod, len(facts.queue), facts.settings),
        queue=[waiter_message(position, waiter) for position, waiter in enumerate(facts.queue, 1)],
        next=explained.next,
        next_time=timestamp(explained.next_ms),
        advice=[profile_pb2.Advice(text=each.text, command=each.command) for each in explained.advice],
        step=None if facts.step is None else step_message(facts.step),
        cause=explained.cause,
    )
    if (move := facts.last_move) is not None:
        answer.last_move.CopyFrom(
            pb.HomeMove(
                from_home=host_name(move.source),
                to_home=host_name(move.to),
                move_time=timestamp(move.move_ms),
                reason=move.reason,
                by=move.by,
                attested_destroyed=move.attested,
            )
        )
    if facts.alive is not None:
        answer.worker_alive = facts.alive
    if facts.record.holding is not None:
        hold = Hold(facts.profile, facts.record, facts.token)
        answer.hold.CopyFrom(hold_message(hold, facts.lease_s))
    return answer


def _subject(snapshot: Snapshot) -> _Subject:
    record = snapshot.record
    if record is None:
        return _Subject()
    token = snapshot.token() if record.state is State.HELD else record.incident
    return _Subject(token, record.holding.worker if record.holding else "")


def _going_on(keys: Keys, snapshot: Snapshot) -> Stored | None:
    """The step that goes on; None when there is none, or the last one has ended."""
    last = snapshot.found(0)
    if last is None or last.key.endswith(b"/end"):
        return None
    return Stored(int(keys.split(last.key)[4]), decode(Step, last.value))


def _finding(evidence: Evidence, used: bool) -> str:
    """What inspection found for which a start is refused; "" when nothing is known that would be."""
    finding = DirectoryFinding.Name(evidence.directory).removeprefix("DIRECTORY_FINDING_")
    if finding == "LIVE" and evidence.browser_alive:
        # The host's own browser, left as it was for whoever reviews.
        return ""
    if finding == "MISSING" and not used:
        # Nothing was there to lose: its first browser makes it.
        return ""
    return finding if finding in DAMAGE else ""
