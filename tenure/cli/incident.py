"""An incident on a terminal: what happened when, what is known, what a person can decide."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tenure.cli.layout import WIDTH, folded, grid, moment, state_text
from tenure.v1 import hold_pb2
from tenure.v1.hold_pb2 import Step
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence, EvidenceItem, Incident, Outcome, SuspicionCause

_LATEST = 12
_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_UNSOUND = ("CORRUPT", "MISSING", "UNKNOWN")


def facts(message: Message) -> dict[str, Any]:
    """A message for programs: proto3's JSON with the API's names."""
    return MessageToDict(message, preserving_proto_field_name=True)


def state_of(incident: Incident) -> str:
    return hold_pb2.ProfileState.Name(incident.state).removeprefix("PROFILE_STATE_")


def summary(incident: Incident) -> tuple[str, str, str, str, str]:
    """A row of the list: since, profile, token, state, cause."""
    _, _, _, profile, _, token = incident.name.split("/")
    since = f"{moment(incident.suspect_time):%F %T}Z"
    return since, profile, token, state_of(incident), _cause(incident)


def file_name(item: EvidenceItem) -> str:
    """A name for a picture's file that tells it from all others: profile, token, item."""
    _, _, _, profile, _, token, _, number = item.name.split("/")
    number = re.sub(r"[^A-Za-z0-9_.-]", "_", number)
    return f"{profile}-{token}-{number}.{_SUFFIXES.get(item.media_type, 'bin')}"


def story(
    incident: Incident, items: Sequence[EvidenceItem], saved: Mapping[str, str], console: Console
) -> list[RenderableType]:
    """What happened and what is known."""
    headline = Text.assemble(("Incident ", "bold"), incident.name, ": ", state_text(state_of(incident)))
    hold = incident.hold
    evidence = incident.evidence
    about: list[tuple[str, str | Text]] = [
        ("run", f"{hold.run_id}, token {hold.fencing_token}, of {hold.worker}"),
        ("workflow", hold.workflow_id),
        ("attempt", f"{hold.attempt}, may start over" if hold.restartable else ""),
        ("cause", _cause(incident)),
    ]
    shown: list[RenderableType] = [headline, grid(about, console), Text("What happened", style="bold")]
    shown.append(_timeline(incident, items, console))
    if incident.HasField("evidence"):
        shown += [Text("What is known", style="bold"), grid(_known(evidence, saved), console)]
    return shown


def choices(incident: Incident, console: Console) -> list[RenderableType]:
    """What a person can decide now; nothing unless it waits for one."""
    if state_of(incident) != "MANUAL_REVIEW":
        return []
    rows: list[tuple[str, str | Text]] = [
        ("available", "frees the profile"),
        ("retry", "frees it for its task to start over"),
    ]
    if workflow := incident.hold.workflow_id:
        rows.append(("resume-pending", f"keeps it for workflow {workflow} to go on from its checkpoint"))
    rows.append(("disabled", "takes it out of use"))
    outcome = "available"
    finding = _finding(incident.evidence)
    if finding in _UNSOUND:
        outcome = "disabled"
        note = f"The directory is {finding}: a start on it will be refused, so that only disabled is of use"
        rows.append(("!", Text(f"{note}, or a restore of the directory first.", style="bold red")))
    attest = ""
    if not (incident.acknowledged or incident.HasField("late_acknowledge_time")):
        attest = " --attest-destroyed"
        note = "The host never said that the old worker is cut off: make sure that its browser is destroyed"
        rows.append(("!", Text(f"{note}, and vouch for it with --attest-destroyed.", style="bold red")))
    name, etag = shlex.quote(incident.name), shlex.quote(incident.etag)
    line = f"tenure review resolve {name} --etag {etag} --outcome {outcome}{attest} --reason 'WHY'"
    return [Text("What you can decide", style="bold"), grid(rows, console), Text(folded(line))]


def _timeline(incident: Incident, items: Sequence[EvidenceItem], console: Console) -> Table:
    events: list[tuple[datetime, str, str]] = [
        (moment(item.record_time), item.kind, item.text) for item in items if item.text
    ]
    left_out = len(events) - _LATEST
    events = sorted(events, key=lambda event: event[0])[-_LATEST:]
    acknowledged = "the host says that the old worker is cut off"
    cut = acknowledged if incident.acknowledged else "no host answered: taken to be cut off"
    told: list[tuple[Timestamp, str, str]] = [
        (incident.suspect_time, "SUSPECTED_STALE", _cause(incident)),
        (incident.quarantine_time, "QUARANTINED", cut),
        (incident.late_acknowledge_time, "late", acknowledged),
        (incident.inspect_time, "INSPECTED", "the evidence is gathered"),
        (incident.decision.decide_time, _outcome(incident.decision.outcome), incident.decision.reason),
        (
            incident.verdict.resolve_time,
            _outcome(incident.verdict.outcome),
            f"{incident.verdict.reviewer}: {incident.verdict.reason}",
        ),
    ]
    # By what comes after what, not by clocks alone: several machines wrote them.
    events += [(moment(at), what, text) for at, what, text in told if at.ByteSize()]
    table = Table.grid(padding=(0, 2))
    table.width = min(WIDTH, console.width)
    for ratio in (None, None, 1):
        table.add_column(overflow="fold", no_wrap=ratio is None, ratio=ratio)
    if left_out > 0:
        table.add_row(
            "", Text("  …", style="dim"), Text(f"{left_out} earlier ones are left out", style="dim")
        )
    for at, what, text in events:
        table.add_row(f"  {at:%T}.{at.microsecond // 1000:03d}Z", state_text(what), Text(text))
    return table


def _known(evidence: Evidence, saved: Mapping[str, str]) -> list[tuple[str, str | Text]]:
    finding = _finding(evidence)
    directory = "; ".join([finding, *evidence.findings])
    picture = evidence.last_screenshot
    missing = Text("no host could be asked: the rest is what was on record", style="bold red")
    checkpoint = ""
    if evidence.HasField("checkpoint"):
        saved_at = evidence.checkpoint
        vouched = "safe" if saved_at.safe else "not vouched for as safe"
        checkpoint = (
            f"{saved_at.step} of workflow {saved_at.workflow_id}, {vouched}, token {saved_at.fencing_token}"
        )
    return [
        ("missing", missing if evidence.missing else ""),
        ("last URL", evidence.last_url or "none"),
        ("step", _step(evidence.last_step) if evidence.HasField("last_step") else "none declared"),
        ("screenshot", picture or "none"),
        ("saved as", saved.get(picture, "")),
        ("other pictures", "\n".join(path for name, path in saved.items() if name != picture)),
        ("proxy", evidence.proxy_key or "none"),
        ("directory", directory),
        ("browser", _said(evidence, "browser_alive", "alive", "not alive")),
        ("account", _said(evidence, "account_touched", "touched", "not touched")),
        ("form", _said(evidence, "form_in_flight", "being submitted", "none being submitted")),
        ("cookies", str(evidence.cookies) if evidence.HasField("cookies") else ""),
        ("checkpoint", checkpoint or "none"),
    ]


def _cause(incident: Incident) -> str:
    words = SuspicionCause.Name(incident.cause).removeprefix("SUSPICION_CAUSE_").replace("_", " ").lower()
    return f"{words}: {incident.detail}" if incident.detail else words


def _outcome(outcome: Outcome.ValueType) -> str:
    return Outcome.Name(outcome).removeprefix("OUTCOME_")


def _finding(evidence: Evidence) -> str:
    return DirectoryFinding.Name(evidence.directory).removeprefix("DIRECTORY_FINDING_")


def _step(step: Step) -> str:
    declared = "sensitivity undeclared"
    if step.HasField("sensitive"):
        declared = "sensitive" if step.sensitive else "not sensitive"
    return f"{step.seq}. {step.name} ({declared})"


def _said(evidence: Evidence, field: str, yes: str, no: str) -> str:
    """An optional bool in words; nobody knows when it is absent."""
    if not evidence.HasField(field):  # type: ignore[arg-type]
        return "unknown"
    return yes if getattr(evidence, field) else no
