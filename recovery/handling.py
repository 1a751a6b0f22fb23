"""One incident on its way: suspected → quarantined → inspected → decided.

Every step is a compare-and-write at the lock service that may run twice or late, so nothing is kept here that
a replica must not lose, and any number of replicas may be at the same incident. What is read decides what is
done next; whatever fails is read and tried again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from recovery.backends import Backends
from recovery.decide import decide
from recovery.evidence import gather, storable
from recovery.policy import Policy
from recovery.times import Times
from tenure.duration import to_duration
from tenure.errors import InvalidArgument, NotFound, TenureError
from tenure.internal.v1.browser_host_service_pb2 import (
    InspectProfileRequest,
    InspectProfileResponse,
    QuarantineHoldRequest,
)
from tenure.internal.v1.lock_service_pb2 import (
    AddHostEvidenceRequest,
    QuarantineIncidentRequest,
    ReadIncidentResponse,
    RecordDecisionRequest,
    RecordInspectionRequest,
)
from tenure.v1.hold_pb2 import ProfileState
from tenure.v1.incident_pb2 import Evidence, EvidenceItem, Outcome

ITEMS_AT_ONCE = 120

_log = structlog.get_logger("recovery")


def boottime() -> float:
    """Seconds since the machine started, also those it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Handling:
    """Recovery's work on one incident. `run` it; tell it with `see` whenever the incident was heard of.

    `inspections` bounds how many profiles are inspected at once.
    """

    def __init__(
        self, name: str, backends: Backends, policy: Policy, times: Times, inspections: asyncio.Semaphore
    ) -> None:
        self.name = name
        self._profile, _, token = name.rpartition("/incidents/")
        self._token = int(token)
        self._backends = backends
        self._policy = policy
        self._times = times
        self._inspections = inspections
        self._moved = asyncio.Event()
        self._seen_at = boottime()
        self._asked_since: float | None = None
        self._late = False
        self._told = ""
        self._log = _log.bind(incident=name)

    def see(self) -> None:
        """The incident got into another state, perhaps by another replica: look now."""
        self._moved.set()

    async def run(self) -> None:
        """Work until the incident is decided, by whomever; and on, while only the acknowledgement is missing.

        Ends when nothing is left to do here. May be cancelled at any moment: all is in the store.
        """
        times = self._times
        pause, before = times.first_pause_s, (0, 0)
        while True:
            self._moved.clear()
            try:
                stored = await self._read()
                if stored is None or not await self._advance(stored):
                    return
                here = (stored.incident.state, stored.revision)
                if here != before:
                    before, pause = here, times.first_pause_s
                    continue
            except TenureError as error:
                self._tell(str(error))
            except Exception:
                # A fault of ours must not make the incident forgotten while this replica lives.
                self._log.exception("failed")
                pause = times.longest_pause_s
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._moved.wait()
            pause = min(pause * 2, times.late_pause_s if self._late else times.longest_pause_s)

    async def _read(self) -> ReadIncidentResponse | None:
        """What is stored; None when there is no such incident (any more: a backup was restored)."""
        try:
            return await self._backends.read(self.name, self._times.answer_s)
        except NotFound:
            return None

    async def _advance(self, stored: ReadIncidentResponse) -> bool:
        """Do what the incident's state asks for. False when nothing is left to do."""
        if not stored.revision:
            return False
        match stored.incident.state:
            case ProfileState.PROFILE_STATE_SUSPECTED_STALE:
                await self._quarantine(stored)
            case ProfileState.PROFILE_STATE_QUARANTINED:
                await self._inspect(stored)
            case ProfileState.PROFILE_STATE_INSPECTED:
                await self._decide(stored.incident.evidence, stored.revision)
            case ProfileState.PROFILE_STATE_MANUAL_REVIEW if _wants_acknowledgement(stored):
                self._late = True
                await self._cut_off(stored, self._times.answer_s)
                await self._record_quarantine(acknowledged=True)
            case _:
                return False
        return True

    # --- quarantine --------------------------------------------------------------------

    async def _quarantine(self, stored: ReadIncidentResponse) -> None:
        """Have the host cut the worker off; without its word only once it cannot serve the token any more."""
        left = self._seen_at + self._times.cut_off_s - boottime()
        try:
            await self._cut_off(stored, max(left, 1.0))
        except TenureError:
            if boottime() < self._seen_at + self._times.cut_off_s:
                raise
            await self._record_quarantine(acknowledged=False)
        else:
            await self._record_quarantine(acknowledged=True)

    async def _cut_off(self, stored: ReadIncidentResponse, timeout: float) -> None:
        """Return when the host has acknowledged. Raises TenureError when it did not."""
        host = self._backends.home(stored)
        request = QuarantineHoldRequest(profile=self._profile, fencing_token=self._token)
        answer = await self._backends.invoke(host.QuarantineHold, request, timeout=timeout)
        self._log.info("cut off", floor=answer.floor, browser_alive=answer.browser_alive)

    async def _record_quarantine(self, *, acknowledged: bool) -> None:
        request = QuarantineIncidentRequest(incident=self.name, acknowledged=acknowledged)
        lock = self._backends.lock
        answer = await self._backends.invoke(lock.QuarantineIncident, request, timeout=self._times.answer_s)
        self._log.info("quarantined", acknowledged=acknowledged, state=_state(answer.state))

    # --- inspection --------------------------------------------------------------------

    async def _inspect(self, stored: ReadIncidentResponse) -> None:
        """Gather the evidence, with what the host says or without it."""
        answer, why = None, ""
        async with self._inspections:
            if self._asked_since is None:
                self._asked_since = boottime()
            try:
                answer = await self._ask_host(stored)
            except TenureError as error:
                if boottime() < self._asked_since + self._times.patience_s:
                    raise
                why = str(error)
        answered = datetime.now(UTC)
        if answer is not None:
            try:
                await self._add_evidence(storable(answer.items))
            except InvalidArgument as error:
                # Asked again it would say the same. What cannot be on record cannot be decided on.
                answer, why = None, f"What the host answered cannot be stored: {error}"
        evidence = gather(stored, answer, why, answered)
        recorded = await self._backends.invoke(
            self._backends.lock.RecordInspection,
            RecordInspectionRequest(incident=self.name, evidence=evidence),
            timeout=self._times.answer_s,
        )
        self._log.info("inspected", missing=recorded.evidence.missing, state=_state(recorded.state))

    async def _ask_host(self, stored: ReadIncidentResponse) -> InspectProfileResponse:
        request = InspectProfileRequest(profile=self._profile, fencing_token=self._token)
        host = self._backends.home(stored)
        return await self._backends.invoke(host.InspectProfile, request, timeout=self._times.inspect_s)

    async def _add_evidence(self, items: Sequence[EvidenceItem]) -> None:
        for start in range(0, len(items), ITEMS_AT_ONCE):
            request = AddHostEvidenceRequest(incident=self.name, items=items[start : start + ITEMS_AT_ONCE])
            lock = self._backends.lock
            await self._backends.invoke(lock.AddHostEvidence, request, timeout=self._times.answer_s)

    # --- decision ----------------------------------------------------------------------

    async def _decide(self, evidence: Evidence, revision: int) -> None:
        """Decide on evidence as it is stored, which is the first one's, whoever gathered it."""
        ours = decide(evidence, self._policy, datetime.now(UTC))
        answer = await self._backends.invoke(
            self._backends.lock.RecordDecision,
            RecordDecisionRequest(
                incident=self.name,
                revision=revision,
                outcome=ours.outcome,
                reason=ours.reason,
                resume_for=to_duration(self._policy.resume_for_s),
            ),
            timeout=self._times.answer_s,
        )
        self._log.info(
            "decided",
            outcome=Outcome.Name(answer.decision.outcome).removeprefix("OUTCOME_"),
            reason=answer.decision.reason,
            state=_state(answer.state),
            after_s=round(boottime() - self._seen_at, 3),
        )

    def _tell(self, why: str) -> None:
        """Log why it does not go on, once."""
        if why != self._told:
            self._told = why
            self._log.warning("not yet", why=why)


def _wants_acknowledgement(stored: ReadIncidentResponse) -> bool:
    incident = stored.incident
    acknowledged = incident.acknowledged or incident.HasField("late_acknowledge_time")
    return bool(stored.home) and not acknowledged


def _state(state: ProfileState.ValueType) -> str:
    return ProfileState.Name(state).removeprefix("PROFILE_STATE_")
