"""Where a profile is at home, and whether its host may do there what no token stands for. Pure.

Rule 18: what has no token (eviction, retirement) needs: home = me, free, and the floor above mod(p) first.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenure.errors import (
    InvalidField,
    ProfileBusy,
    ProfileDisabled,
    ProfileInReview,
    ProfileQuarantined,
    ResumePending,
    TenureError,
    TokenSuperseded,
)
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import ProfileState

FREE = frozenset({ProfileState.PROFILE_STATE_AVAILABLE, ProfileState.PROFILE_STATE_RETRY})
RESTORABLE = frozenset({ProfileState.PROFILE_STATE_DISABLED, ProfileState.PROFILE_STATE_MANUAL_REVIEW})
"""A person has it: nothing is granted before that one says so, and then at a later revision."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A profile's record as the lock service told it. `home` is `hosts/{host}`, or empty; `revision` is
    mod(p), 0 when it was never stored; `used`: a browser was opened on it in an earlier hold. No token of it
    that was issued up to `revision` is of a higher epoch than `epoch`.
    """

    home: str
    state: ProfileState.ValueType
    revision: int
    used: bool = False
    epoch: int = 0

    def closable_by(self, host: str) -> bool:
        """Whether a browser of it that runs at `host` may be closed, once the floor is above `revision`.

        At home there it must be free. One whose home is elsewhere is nobody's: whoever holds the profile
        drives another, and no token up to `revision` will ever be served here again.
        """
        return self.home not in ("", host) or (self.home == host and self.state in FREE)

    def why_not_retired(self, name: ProfileName, host: str, revision: int) -> TenureError | None:
        """What keeps `host` from being retired as its home, as of `revision`; None when nothing does."""
        if self.home == host and self.state not in FREE:
            return _not_free(name, self.state)
        if self.home != host or self.revision != revision:
            return changed(name, revision)
        return None

    def why_not_received(self, name: ProfileName, host: str, revision: int) -> TenureError | None:
        """What keeps `host` from taking the directory as it was at `revision`; None when nothing does.

        What is at home here has a directory of its own, which nobody may put aside.
        """
        return changed(name, revision) if self.home == host or self.revision != revision else None

    def why_not_restored(self, name: ProfileName, host: str, revision: int) -> TenureError | None:
        """What keeps `host` from putting another directory in the place of that which a person found wanting
        as of `revision`; None when nothing does.
        """
        if self.home != host or self.revision != revision:
            return changed(name, revision)
        if self.state in RESTORABLE:
            return None
        if self.state not in FREE:
            return _not_free(name, self.state)
        return InvalidField(
            field="profile",
            value=name.profile,
            problem="is in use: a directory is replaced only while nobody can be let in",
            remedy="take it out of use first, which DISABLED does, and back afterwards",
        )


def changed(name: ProfileName, revision: int) -> TenureError:
    """What was asked for was begun on what the profile is no longer."""
    return TokenSuperseded(
        f"The profile '{name.profile}' has changed since revision {revision}. Begin anew.",
        profile=str(name),
        token=revision,
    )


def _not_free(name: ProfileName, state: ProfileState.ValueType) -> TenureError:
    profile, word = name.profile, ProfileState.Name(state).removeprefix("PROFILE_STATE_")
    match state:
        case ProfileState.PROFILE_STATE_HELD:
            return ProfileBusy(
                f"profile_id '{profile}' is busy: somebody holds it.",
                profile=profile,
                holder_run_id="",
                state=word,
                retry_after_s=1.0,
            )
        case ProfileState.PROFILE_STATE_MANUAL_REVIEW:
            return ProfileInReview(profile=profile)
        case ProfileState.PROFILE_STATE_RESUME_PENDING:
            return ResumePending(f"profile_id '{profile}' is kept for its workflow.", profile=profile)
        case ProfileState.PROFILE_STATE_DISABLED:
            return ProfileDisabled(profile=profile)
        case _:
            return ProfileQuarantined(profile=profile, state=word)
