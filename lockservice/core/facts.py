"""What is known of a profile when somebody asks why it is as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lockservice.core.record import Holding, Record, State
from lockservice.core.snapshot import Waiter
from lockservice.core.steps import Stored
from lockservice.core.stored import Incident, Move, Settings
from tenure.names import ProfileName

CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "LEASE_ENDED": "the lease of its worker ended",
        "MAX_RUNTIME": "the run took longer than it may",
        "BROWSER_LOST": "its host lost the browser",
        "HOST_RESTARTED": "its host restarted",
        "REVOKED": "an operator revoked it",
        "UNTRUSTED_RELEASE": "its worker gave it back without vouching for the account",
        "RESTORED": "the store was restored from a backup",
        "PROFILE_MISSING": "its host found no directory of the profile",
        "PROFILE_UNSOUND": "its host would not start a browser on the directory as it found it",
        "HOST_UNREACHABLE": "its host did not answer when the hold was to end",
    }
)

# What keeps a start from succeeding, whatever a person decides.
DAMAGE: Mapping[str, str] = MappingProxyType(
    {
        "CORRUPT": "its directory is damaged",
        "MISSING": "its directory is missing",
        "UNKNOWN": "nobody can tell whether its directory is sound",
        "LIVE": "a process that is not the host's has its directory open",
    }
)
_DAMAGING = MappingProxyType({"PROFILE_MISSING": "MISSING", "PROFILE_UNSOUND": "UNKNOWN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A profile at one revision.

    `token` is the current hold's, or that of the incident at work. `alive`: whether the holder has its lease;
    None when there is no holder. `step` is the one that goes on, or went on when the hold ended. `finding` is
    what inspection said of the directory, "" when a start would not be refused for it. `decided` and `reason`
    are recovery's decision.
    """

    profile: ProfileName
    record: Record
    mod: int
    token: int = 0
    alive: bool | None = None
    lease_s: float | None = None
    step: Stored | None = None
    queue: Sequence[Waiter] = ()
    incident: Incident | None = None
    acknowledged: bool = True
    finding: str = ""
    decided: str = ""
    reason: str = ""
    last_move: Move | None = None
    settings: Settings | None = None

    @property
    def incident_name(self) -> str:
        return f"{self.profile}/incidents/{self.record.incident}"

    @property
    def holding(self) -> Holding:
        """Who holds the profile, or held it when the incident began."""
        holding = self.record.holding or (self.incident.holding if self.incident else None)
        assert holding is not None, f"{self.record.state.value} says who holds or held it"
        return holding

    @property
    def damage(self) -> str:
        """Why a start would be refused, in words; "" when nothing is known that would."""
        cause = self.incident.cause if self.incident else ""
        return DAMAGE.get(self.finding or _DAMAGING.get(cause, ""), "")

    def history(self) -> str:
        """How it came to this: whose hold ended, where it stood, why, and what recovery made of it."""
        if self.incident is None:
            return ""
        incident = self.incident
        at = f" at step {self.step.step.name}" if self.step is not None else ""
        detail = f" ({incident.detail.rstrip('.')})" if incident.detail else ""
        words = CAUSES.get(incident.cause, incident.cause)
        text = f"Run {incident.holding.run_id} lost its hold{at}: {words}{detail}."
        if self.reason:
            text += f" Recovery decided {self.decided}: {_sentence(self.reason)}"
        if self.record.state is State.MANUAL_REVIEW and self.decided not in ("", State.MANUAL_REVIEW.value):
            text += " Its workflow did not come in time."
        return text


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
