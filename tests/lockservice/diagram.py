"""docs/states.md, made from the table of transitions: `python -m tests.lockservice.diagram` writes it."""

from __future__ import annotations

from pathlib import Path

from lockservice.core.record import State
from lockservice.core.states import ALLOWED

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

S = State
BY = {
    (None, S.HELD): "acquire",
    (S.AVAILABLE, S.HELD): "acquire, or grant to the head of the queue",
    (S.AVAILABLE, S.DISABLED): "an administrator",
    (S.RETRY, S.HELD): "acquire, or grant to the head of the queue",
    (S.RESUME_PENDING, S.HELD): "its workflow acquires",
    (S.RESUME_PENDING, S.MANUAL_REVIEW): "its workflow does not come in time",
    (S.HELD, S.AVAILABLE): "trusted release, nobody waits",
    (S.HELD, S.HELD): "trusted release, handed over to the head of the queue",
    (S.HELD, S.SUSPECTED_STALE): "suspicion",
    (S.SUSPECTED_STALE, S.QUARANTINED): "the old worker is cut off, or has been waited for",
    (S.QUARANTINED, S.INSPECTED): "evidence, or that it is missing",
    (S.INSPECTED, S.AVAILABLE): "decision",
    (S.INSPECTED, S.RESUME_PENDING): "decision",
    (S.INSPECTED, S.RETRY): "decision",
    (S.INSPECTED, S.MANUAL_REVIEW): "decision",
    (S.MANUAL_REVIEW, S.AVAILABLE): "verdict",
    (S.MANUAL_REVIEW, S.RETRY): "verdict",
    (S.MANUAL_REVIEW, S.RESUME_PENDING): "verdict",
    (S.MANUAL_REVIEW, S.DISABLED): "verdict",
    (S.DISABLED, S.AVAILABLE): "an administrator",
}

_ABOVE = """\
# The states of a profile

Made from the table in `lockservice/core/states.py` by `python -m tests.lockservice.diagram`; a test compares.
Each arrow is one etcd transaction that compares the record as it was seen. There are no others: what a move
to another host changes is the record's home, in AVAILABLE or RETRY, and the state stays.

"""
_BELOW = """
HELD is the only state with an owner; the revision at which it was written is the fencing token. From
SUSPECTED_STALE to INSPECTED the incident is recovery's, in MANUAL_REVIEW a person's. Waiters keep their
places through all of it, and whoever frees the profile frees it for the head of the queue.
"""


def page() -> str:
    """The page as it ought to be. Raises KeyError for a transition that nobody has named."""
    lines = ["```mermaid", "stateDiagram-v2"]
    for before, targets in ALLOWED.items():
        for after in sorted(targets, key=list(State).index):
            name = before.value if before else "[*]"
            lines.append(f"    {name} --> {after.value} : {BY[before, after]}")
    return _ABOVE + "\n".join([*lines, "```", ""]) + _BELOW


if __name__ == "__main__":
    PAGE.write_text(page())
