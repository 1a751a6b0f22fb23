"""A free profile's browser launched ahead of its next hold, which no token stands for (rule 18)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from browserhost import retirement
from browserhost.config import Look
from browserhost.premises import Premises
from browserhost.slot import OnEnd
from browserhost.tasks import in_thread
from browserhost.workshop import Wanted
from tenure.errors import HostUnreachable, NoRoom, ProfileBusy

_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Prewarmed:
    """Whether a browser is warm now, and was before. Timings in seconds by phase."""

    warm: bool
    before: bool
    timings: dict[str, float] = field(default_factory=dict)


class Prewarming:
    """One profile's. Where the host's setting forbids it nothing is launched, and the answer says so."""

    def __init__(self, premises: Premises, on_end: OnEnd, refuse_when_stopping: Callable[[], None]) -> None:
        self._premises = premises
        self._on_end = on_end
        self._refuse_when_stopping = refuse_when_stopping

    async def prewarm(self, proxy_key: str, look: Look) -> Prewarmed:
        """Have a browser for the key ready; one that fits stays. Goes on without its caller. Idempotent.

        An open that comes meanwhile waits for this launch and uses it. At a home that was retired for a move
        nothing is launched before the profile's next hold. Raises what PrewarmBrowser documents.
        """
        self._refuse_when_stopping()
        return await self._premises.tasks.whole(self._prewarm(proxy_key, look))

    async def _prewarm(self, proxy_key: str, look: Look) -> Prewarmed:
        here = self._premises
        if not here.workshop.prewarm:
            return Prewarmed(warm=False, before=False)
        found = await here.locks.locate(here.name)
        if found.home != here.host:
            raise HostUnreachable(f"host '{here.host}' is not the home of '{here.name}'.", host=here.host)
        if (problem := found.why_not_retired(here.name, here.host, found.revision)) is not None:
            raise problem
        if here.workshop.cache.draining:
            raise NoRoom("The profile's host is being emptied.", retry_after_s=_RETRY_S)
        async with here.fence.queue:
            # Whoever is granted the profile from here on is above the floor, and waits for the browser lock.
            await here.fence.retire(found)
            self._refuse_when_busy(found.revision)
            floor = here.fence.state.floor
        async with here.browser_lock:
            self._refuse_when_stopping()
            if here.fence.state.floor != floor:
                raise self._busy()
            if await in_thread(retirement.is_at, here.paths.retired, found.revision):
                # Rule 20: nothing writes to the directory between its copy and the change of home.
                raise self._busy("it may be on its way to another host", "AVAILABLE")
            wanted = Wanted(floor - 1, "", proxy_key, reuse=True, used_elsewhere=found.used, look=look)
            timings: dict[str, float] = {}
            before = await here.slot.prewarm(wanted, self._on_end, timings)
        return Prewarmed(warm=True, before=before, timings=timings)

    def _refuse_when_busy(self, revision: int) -> None:
        marker = self._premises.slot.record.marker
        later = marker is not None and marker.held and marker.token > self._premises.token(revision)
        if later or self._premises.underway.busy:
            raise self._busy()

    def _busy(self, why: str = "a hold of it has just begun", state: str = "HELD") -> ProfileBusy:
        profile = self._premises.name.profile
        return ProfileBusy(
            f"profile_id '{profile}' is busy: {why}.",
            profile=profile,
            holder_run_id="",
            state=state,
            retry_after_s=1.0,
        )
