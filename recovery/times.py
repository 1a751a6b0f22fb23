"""How long recovery waits for whom. Seconds."""

from __future__ import annotations

from dataclasses import dataclass

from tenure.fencing import SERVE_S

# Two machines' clocks may run this much apart, and a reading may be off by so much.
_DRIFT, _MARGIN_S = 0.02, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Only tests have others than these."""

    cut_off_s: float = SERVE_S * (1 + _DRIFT) + _MARGIN_S
    """From this replica's own sight of the suspicion until a host that gave no acknowledgement cannot serve
    the token any more (PROTOCOL.md 22). Never shorter: no stop of a replica before counts."""
    patience_s: float = 5.0
    """How long a host may be away before the evidence counts as missing."""
    answer_s: float = 4.0
    """Deadline of a call to the lock service."""
    inspect_s: float = 15.0
    """Deadline of an inspection. A large profile takes a second."""
    first_pause_s: float = 0.05
    longest_pause_s: float = 0.5
    """Between two tries; each pause is twice the one before."""
    late_pause_s: float = 5.0
    """Longest pause between two tries to get a late acknowledgement, for which nobody waits in a hurry."""
