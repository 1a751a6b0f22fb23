"""Which transition a Txn is, and what each of its conditions is about; read off the Txn itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lockservice.core.document import decode
from lockservice.core.record import Record, State
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

UNGUARDED = ""


@dataclass(slots=True)
class Transition:
    """A Txn read. `labels` has a name for each condition, those of Txns within it too, in order."""

    name: str
    txn: wire.TxnRequest
    labels: list[tuple[str, wire.Compare]]
    profile: str = ""
    workers: list[str] = field(default_factory=list)
    request: str = ""
    token: int = 0
    seq: int = 0
    item: str = ""

    def of(self, label: str) -> wire.Compare:
        """The condition of that name. Raises StopIteration."""
        return next(compare for found, compare in self.labels if found == label)


def read(request: wire.TxnRequest, root: str) -> Transition:
    """Read a Txn that is no batch."""
    puts = {_kind(op.request_put.key, root): op.request_put.value for op in _writes(request)}
    deletes = {_kind(op.request_delete_range.key, root) for op in request.success}
    labels = list(_labels(request, root))
    found = Transition(UNGUARDED, request, labels)
    for key in _keys(request):
        _take(found, key.decode().removeprefix(root).split("/"))
    names = [label for label, _ in labels]
    found.name = _name(puts, deletes, names) if names else UNGUARDED
    return found


def without(transition: Transition, label: str) -> wire.TxnRequest:
    """The same Txn without that condition, or those, where Txns within it have it too."""
    changed = wire.TxnRequest()
    changed.CopyFrom(transition.txn)
    dropped = [compare for found, compare in transition.labels if found == label]
    for each in (changed, *(op.request_txn for op in changed.success if op.HasField("request_txn"))):
        kept = [compare for compare in each.compare if compare not in dropped]
        del each.compare[:]
        each.compare.extend(kept)
    return changed


def _writes(request: wire.TxnRequest) -> Iterator[wire.RequestOp]:
    for op in request.success:
        if op.HasField("request_put"):
            yield op
        if op.HasField("request_txn"):
            yield from _writes(op.request_txn)


def _keys(request: wire.TxnRequest) -> Iterator[bytes]:
    for compare in request.compare:
        yield compare.key
    for op in request.success:
        if op.HasField("request_put"):
            yield op.request_put.key
        elif op.HasField("request_delete_range"):
            yield op.request_delete_range.key
        elif op.HasField("request_txn"):
            yield from _keys(op.request_txn)


def _kind(key: bytes, root: str) -> str:
    """The first part of a key; of what is written under a token, what it is."""
    parts = key.decode().removeprefix(root).split("/")
    if parts[0] != "e" or len(parts) < 5:
        return parts[0]
    if parts[4].isdigit():
        return "end" if parts[5:] else "seq"
    return "item" if parts[4] == "h" else parts[4]


def _labels(request: wire.TxnRequest, root: str) -> Iterator[tuple[str, wire.Compare]]:
    workers = places = 0
    for compare in request.compare:
        kind = _kind(compare.key, root)
        present = compare.result == wire.Compare.COMPARE_RESULT_NOT_EQUAL
        if kind == "q":
            ordered = compare.result == wire.Compare.COMPARE_RESULT_GREATER
            places += not compare.range_end
            place = "place of the head" if places > 1 else "place"
            kind = ("head" if ordered else "queue empty") if compare.range_end else place
        elif kind == "w":
            workers += 1
            kind = "w of the head" if workers > 1 else "w"
        elif kind == "seq" and present:
            kind = "step before"
        yield kind, compare
    for op in request.success:
        if op.HasField("request_txn"):
            yield from _labels(op.request_txn, root)


def _take(found: Transition, parts: list[str]) -> None:
    kind = parts[0]
    if kind == "w" and parts[1] not in found.workers:
        found.workers.append(parts[1])
    if kind in ("p", "q", "e", "c", "i", "d", "v", "a") and len(parts) > 2:
        found.profile = parts[2]
    if kind == "k":
        found.workers = found.workers or [parts[1]]
    if kind in ("q", "a") and len(parts) > 3 and parts[3]:
        found.request = parts[3]
    if kind in ("i", "d", "v", "e") and len(parts) > 3:
        found.token = int(parts[3])
    if kind == "e" and len(parts) > 4 and parts[4].isdigit():
        found.seq = max(found.seq, int(parts[4]))
    if kind == "e" and parts[4:5] == ["h"]:
        found.item = parts[5]


_MARKS = {
    "v": "verdict",
    "d": "decide",
    "quarantined": "quarantine",
    "inspected": "inspect",
    "acknowledged": "late acknowledgement",
    "m": "move",
}
_PLAIN = {
    "q": "join",
    "a": "implicit worker",
    "w": "register",
    "k": "burn",
    "c": "checkpoint",
    "end": "finish",
    "seq": "step",
    "item": "evidence",
}


def _name(puts: dict[str, bytes], deletes: set[str], labels: list[str]) -> str:
    if "i" in puts:
        return "suspect the dead" if "w" in labels else "suspect"
    for kind, name in _MARKS.items():
        if kind in puts:
            return name
    if "p" in puts:
        return _of_record(decode(Record, puts["p"]).state, puts, labels)
    for kind, name in _PLAIN.items():
        if kind in puts:
            return name
    if "a" in deletes:
        return "forget"
    if "q" in deletes:
        return "leave the disabled" if "p" in labels else "leave"
    return UNGUARDED


def _of_record(state: State, puts: dict[str, bytes], labels: list[str]) -> str:
    match state:
        case State.HELD if "k" in puts:
            return "grant" if "queue empty" in labels else "resume"
        case State.HELD if "w of the head" in labels:
            return "hand over"
        case State.HELD:
            return "grant the head" if "head" in labels else "resume from the queue"
        case State.AVAILABLE:
            return "release" if "w" in labels else "enable"
        case State.DISABLED:
            return "disable"
        case _:
            return "unclaimed"
