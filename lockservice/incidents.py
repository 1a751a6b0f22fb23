"""What becomes of incidents, as calls that end when etcd has agreed; and reading them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from lockservice.core import decided, evidence, inspected, quarantine, verdict
from lockservice.core.decided import Settled
from lockservice.core.decision import Decision
from lockservice.core.document import decode
from lockservice.core.inspected import Finding, Inspected
from lockservice.core.keys import Keys
from lockservice.core.outcome import Choice, no_incident
from lockservice.core.record import IN_INCIDENT, Record, State
from lockservice.core.snapshot import Snapshot
from lockservice.core.stored import Acknowledgement, Decided, Incident, Quarantine, Verdict
from lockservice.etcd.txn import Op, get, get_all, last_by_key
from lockservice.granter import now_ms
from lockservice.replica import Replica
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import IncidentName, ProfileName

# Reads of one incident that make the others of `IncidentSeen`.
_READS = 5
# etcd takes 128 operations a Txn by default, and a look-up has one of its own.
_AT_ONCE = 120 // _READS

KeyValue = wire.KeyValue


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentSeen:
    """An incident and what became of it so far. `record` is the profile's now, whoever has it."""

    name: IncidentName
    incident: Incident
    record: Record
    mod: int
    quarantine: Quarantine | None
    acknowledgement: Acknowledgement | None
    decided: Decided | None
    verdict: Verdict | None

    @property
    def at_work(self) -> bool:
        """Whether the profile is in one of the incident's states."""
        return self.record.incident == self.name.fencing_token

    @property
    def open(self) -> bool:
        """Whether the profile waits for recovery, or for a person, because of it."""
        return self.at_work and (self.record.state in IN_INCIDENT or self.record.state is State.MANUAL_REVIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """All that is stored of an incident."""

    seen: IncidentSeen
    evidence: bytes
    checkpoint: KeyValue | None
    steps: Sequence[KeyValue]
    host_items: Sequence[KeyValue]


class Incidents:
    """The incident operations of one replica. `deadline` is the event loop's time, and every method may raise
    NotFound, StoreUnavailable (nothing was changed) or, where it writes, OutcomeUnknown at it.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._keys = replica.keys
        self._committer = replica.committer

    async def quarantine(self, incident: IncidentName, acknowledged: bool, deadline: float) -> State:
        """Rule 22."""

        def decide(snapshot: Snapshot) -> Decision[State]:
            return quarantine.decide(
                self._keys, incident, snapshot, acknowledged=acknowledged, now_ms=now_ms()
            )

        return await self._committer.settle(quarantine.sight(self._keys, incident), decide, deadline)

    async def add_evidence(
        self, incident: IncidentName, items: Sequence[tuple[str, bytes]], deadline: float
    ) -> int:
        """Rule 9: store what is not stored yet, unless it was decided without; answers how many were added.

        After an unclear outcome the copy that is sent again counts none of what the first one stored.
        """
        answer = await self._committer.commit(
            evidence.add(self._keys, incident, items), deadline, incident.profile
        )
        if answer.succeeded:
            return sum(response.response_txn.succeeded for response in answer.responses)
        if not answer.responses[0].response_range.kvs:
            raise no_incident(incident)
        return 0

    async def how_it_began(
        self, incident: IncidentName, deadline: float
    ) -> tuple[Incident, Quarantine | None]:
        """The incident, and how the old worker was cut off: what never changes once it is there."""
        profile, token = incident.profile, incident.fencing_token
        ops = [get(self._keys.incident(profile, token)), get(self._keys.quarantined(profile, token))]
        known, cut = (_first(row) for row in await self._committer.look_up(ops, deadline))
        if known is None:
            raise no_incident(incident)
        return decode(Incident, known.value), decode(Quarantine, cut.value) if cut else None

    async def inspect(self, incident: IncidentName, finding: Finding, deadline: float) -> Inspected:
        """Rule 23."""

        def decide(snapshot: Snapshot) -> Decision[Inspected]:
            return inspected.decide(self._keys, incident, snapshot, finding=finding, now_ms=now_ms())

        return await self._committer.settle(inspected.sight(self._keys, incident), decide, deadline)

    async def decide(self, incident: IncidentName, revision: int, choice: Choice, deadline: float) -> Settled:
        """Rule 24. Raises InvalidField."""

        def decide(snapshot: Snapshot) -> Decision[Settled]:
            return decided.decide(
                self._keys, incident, snapshot, revision=revision, choice=choice, now_ms=now_ms()
            )

        return await self._committer.settle(decided.sight(self._keys, incident), decide, deadline)

    async def resolve(
        self,
        incident: IncidentName,
        revision: int,
        choice: Choice,
        *,
        reviewer: str,
        attested: bool,
        deadline: float,
    ) -> Verdict:
        """Rule 25. Raises InvalidField."""

        def decide(snapshot: Snapshot) -> Decision[Verdict]:
            return verdict.decide(
                self._keys,
                incident,
                snapshot,
                revision=revision,
                choice=choice,
                reviewer=reviewer,
                attested=attested,
                now_ms=now_ms(),
            )

        return await self._committer.settle(verdict.sight(self._keys, incident), decide, deadline)

    async def read(self, incident: IncidentName, deadline: float) -> Everything:
        """All that is stored, in order with all writes."""
        profile, token = incident.profile, incident.fencing_token
        keys = self._keys
        began, _ = await self.how_it_began(incident, deadline)
        more = [
            get(keys.inspected(profile, token)),
            get(keys.checkpoint(profile, began.holding.workflow_id)),
            get_all(keys.steps(profile, token)),
            get_all(keys.host_items(profile, token)),
        ]
        rows = await self._committer.look_up([*_reads(keys, incident), *more], deadline)
        return Everything(
            seen=_seen(incident, began, rows[:_READS]),
            evidence=_value(rows[_READS]),
            checkpoint=_first(rows[_READS + 1]),
            steps=rows[_READS + 2].response_range.kvs,
            host_items=rows[_READS + 3].response_range.kvs,
        )

    async def page(
        self, tenant: str, *, open_only: bool, size: int, before: int, deadline: float
    ) -> tuple[list[IncidentSeen], int]:
        """A tenant's incidents, newest first, those that began before revision `before` (0: all); and where
        the next page begins, 0 on the last one. Which are open is this replica's latest knowledge.
        """
        await self._committer.until_loaded(deadline)
        if open_only:
            kvs = await self._open(tenant, deadline)
            kvs = [kv for kv in kvs if not before or kv.create_revision < before]
            kvs.sort(key=lambda kv: kv.create_revision, reverse=True)
            kvs, more = kvs[:size], len(kvs) > size
        else:
            left = max(deadline - asyncio.get_running_loop().time(), 0.001)
            read = self._replica.etcd.kv.newest(
                self._keys.incidents(tenant), left, limit=size, created_before=before
            )
            page = await self._committer.read(read)
            kvs, more = list(page.kvs), page.more
        found = [seen for seen in await self._see(kvs, deadline) if seen.open or not open_only]
        return found, kvs[-1].create_revision if more else 0

    async def _open(self, tenant: str, deadline: float) -> list[KeyValue]:
        ops = []
        for profile in self._replica.mirror.bound():
            record = self._replica.mirror.record(profile)
            if profile.tenant == tenant and record is not None and record.incident:
                ops.append(get(self._keys.incident(profile, record.incident)))
        found: list[KeyValue] = []
        for start in range(0, len(ops), _AT_ONCE * _READS):
            rows = await self._committer.look_up(ops[start : start + _AT_ONCE * _READS], deadline)
            found += [kv for row in rows for kv in row.response_range.kvs]
        return found

    async def _see(self, kvs: Sequence[KeyValue], deadline: float) -> list[IncidentSeen]:
        found = []
        for start in range(0, len(kvs), _AT_ONCE):
            some = kvs[start : start + _AT_ONCE]
            names = [_name(self._keys, kv.key) for kv in some]
            ops = [op for name in names for op in _reads(self._keys, name)]
            rows = await self._committer.look_up(ops, deadline)
            for i, (name, kv) in enumerate(zip(names, some, strict=True)):
                found.append(_seen(name, decode(Incident, kv.value), rows[i * _READS : (i + 1) * _READS]))
        return found


def _reads(keys: Keys, incident: IncidentName) -> list[Op]:
    profile, token = incident.profile, incident.fencing_token
    return [
        get(keys.record(profile)),
        get(keys.quarantined(profile, token)),
        get(keys.acknowledged(profile, token)),
        get(keys.decision(profile, token)),
        last_by_key(keys.verdicts(profile, token)),
    ]


def _seen(name: IncidentName, incident: Incident, rows: Sequence[wire.ResponseOp]) -> IncidentSeen:
    """What `_reads` answered."""
    record, cut, acknowledged, decision, verdict = (_first(row) for row in rows)
    if record is None:
        raise no_incident(name)
    return IncidentSeen(
        name=name,
        incident=incident,
        record=decode(Record, record.value),
        mod=record.mod_revision,
        quarantine=decode(Quarantine, cut.value) if cut else None,
        acknowledgement=decode(Acknowledgement, acknowledged.value) if acknowledged else None,
        decided=decode(Decided, decision.value) if decision else None,
        verdict=decode(Verdict, verdict.value) if verdict else None,
    )


def _name(keys: Keys, key: bytes) -> IncidentName:
    _, tenant, profile, token = keys.split(key)
    return IncidentName(ProfileName(tenant, profile), int(token))


def _first(response: wire.ResponseOp) -> KeyValue | None:
    kvs = response.response_range.kvs
    return kvs[0] if kvs else None


def _value(response: wire.ResponseOp) -> bytes:
    found = _first(response)
    return found.value if found else b""
