"""How holds become incidents, and resumptions reviews, as calls that end when etcd has agreed."""

from __future__ import annotations

from lockservice.committer import Committer
from lockservice.core import revoke, suspect, unclaimed
from lockservice.core.decision import Decision, also
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.suspect import Suspected
from lockservice.granter import now_ms
from lockservice.metrics import Metrics
from tenure.names import IncidentName, ProfileName


class Suspects:
    """`deadline` is the event loop's time, and every method may raise StoreUnavailable (nothing was changed)
    or OutcomeUnknown at it.
    """

    def __init__(self, committer: Committer, keys: Keys, metrics: Metrics) -> None:
        self._committer = committer
        self._keys = keys
        self._metrics = metrics

    async def suspect(
        self, profile: ProfileName, token: int, cause: str, detail: str, deadline: float
    ) -> Suspected:
        """Rule 10. Raises NotFound."""
        sight = Sight(keys=self._keys, profile=profile, token=token)

        def decide(snapshot: Snapshot) -> Decision[Suspected]:
            decision = suspect.decide(
                self._keys,
                profile,
                snapshot,
                token=token,
                cause=cause,
                detail=detail,
                now_ms=now_ms(),
            )
            return also(decision, lambda _: self._metrics.suspected(cause))

        return await self._committer.settle(sight, decide, deadline)

    async def revoke(self, profile: ProfileName, token: int, detail: str, deadline: float) -> IncidentName:
        """Rule 10, by an operator; token 0 is the current hold. Raises NotFound, TokenSuperseded."""
        if not token:
            # Named before anything is done: asked again after an unclear outcome, "the current one" would be
            # another, or none.
            here = Sight(keys=self._keys, profile=profile)
            token = await self._committer.settle(here, lambda seen: revoke.current(profile, seen), deadline)
        sight = Sight(keys=self._keys, profile=profile, token=token)

        def decide(snapshot: Snapshot) -> Decision[IncidentName]:
            decision = revoke.decide(
                self._keys, profile, snapshot, token=token, detail=detail, now_ms=now_ms()
            )
            return also(decision, lambda _: self._metrics.suspected(revoke.REVOKED))

        return await self._committer.settle(sight, decide, deadline)

    async def unclaimed(self, profile: ProfileName, now_ms: int, deadline: float) -> bool:
        """Rule 5, its end, by the clock of who let the workflow go on; answers whether this call moved the
        profile to MANUAL_REVIEW.
        """

        def decide(snapshot: Snapshot) -> Decision[bool]:
            return unclaimed.decide(self._keys, profile, snapshot, now_ms)

        return await self._committer.settle(Sight(keys=self._keys, profile=profile), decide, deadline)
