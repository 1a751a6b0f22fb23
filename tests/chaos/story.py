"""A short story of what went wrong: the store's writes and the calls that have to do with it, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lockservice.core.document import decode
from lockservice.core.record import Record
from lockservice.core.stored import Ask, Incident
from tests.chaos.call import Call
from tests.chaos.violation import Violation
from tests.fixtures.history import Written

_WRITES = 10
_CALLS = 14


def tell(violation: Violation, history: Sequence[Written], calls: Sequence[Call]) -> list[str]:
    """At most two dozen lines: the profile's last writes up to the violation, and the calls about them."""
    ours = [written for written in history if _profile(written.key) == violation.profile]
    end = violation.revision or _last(ours, violation.token)
    ours = [written for written in ours if written.revision <= end][-_WRITES:]
    if not ours:
        return [call.line() for call in calls if call.profile == violation.profile][-_CALLS:]
    lines = [(written.at, f"etcd {written.revision}: {line(written)}") for written in ours]
    since, until = ours[0].at - 1.0, ours[-1].at + 0.5
    names = {part for written in ours for part in _names(written)}
    about = [
        call
        for call in calls
        if call.profile == violation.profile
        and call.start <= until
        and call.end >= since
        and (names & {str(value) for value in (*call.args.values(), *call.answer.values())})
    ]
    lines += [(call.start, call.line()) for call in about[-_CALLS:]]
    return [text for _, text in sorted(lines)]


def _last(history: Sequence[Written], token: int) -> int:
    """The revision at which the token is mentioned last, or the end."""
    about = [written.revision for written in history if str(token) in _names(written)]
    return about[-1] if token and about else (history[-1].revision if history else 0)


def line(written: Written) -> str:
    """One write in words."""
    kind = written.key.split("/")[0]
    if written.value is None:
        return f"{_short(written.key)} deleted"
    if kind == "p":
        record = decode(Record, written.value)
        holder = record.holding
        by = f" by …{holder.worker[-6:]} for …{holder.request_id[-6:]}" if holder else ""
        incident = f" incident {record.incident}" if record.incident else ""
        return f"{_short(written.key)} is {record.state.value}{by}{incident}"
    if kind == "q":
        return f"{_short(written.key)} waits for …{decode(Ask, written.value).worker[-6:]}"
    if kind == "i":
        return f"{_short(written.key)} begins: {decode(Incident, written.value).cause}"
    rewritten = f" (version {written.version})" if written.version > 1 else ""
    return f"{_short(written.key)} written{rewritten}"


def _names(written: Written) -> Iterable[str]:
    parts = written.key.split("/")
    names = {part.lstrip("0") or part if part.isdigit() else part for part in parts[3:]}
    if parts[0] == "k":
        names.add(parts[1])
    if parts[0] == "p":
        names.add(str(written.revision))
        if written.value is not None:
            record = decode(Record, written.value)
            names.add(str(record.epoch << 43 | written.revision))
            if record.holding is not None:
                names |= {record.holding.request_id, record.holding.worker}
    return names


def _profile(key: str) -> str:
    parts = key.split("/")
    return parts[2] if len(parts) > 2 else ""


def _short(key: str) -> str:
    return "/".join(f"…{part[-6:]}" if len(part) == 32 else part for part in key.split("/"))
