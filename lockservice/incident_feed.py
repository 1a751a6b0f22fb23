"""Incidents at work, told to whoever works on them: those there are, then each change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from lockservice.core.record import IN_INCIDENT, Record, State
from lockservice.mirror import Mirror, Touched
from tenure.names import IncidentName, ProfileName


class IncidentFeed:
    """What the mirror knows of incidents in SUSPECTED_STALE, QUARANTINED and INSPECTED, and of those in
    MANUAL_REVIEW whose host did not acknowledge the cut: a level.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._followers: set[_Follower] = set()
        self._closed = False

    async def follow(self) -> AsyncGenerator[tuple[IncidentName, State] | None, None]:
        """Each incident there is, None once, and each that changes, until the feed is closed."""
        follower = _Follower()
        self._followers.add(follower)
        try:
            follower.note(self._mirror.bound())
            for found in self._take(follower):
                yield found
            yield None
            while not self._closed:
                for found in self._take(follower):
                    yield found
                if not follower.changed and not self._closed:
                    await follower.woken.wait()
                follower.woken.clear()
        finally:
            self._followers.discard(follower)

    def look_at(self, touched: Iterable[Touched]) -> None:
        """Note what changed."""
        profiles = [profile for profile, request_id in touched if not request_id]
        for follower in self._followers:
            follower.note(profiles)

    def close(self) -> None:
        """End every stream: the service stops."""
        self._closed = True
        for follower in self._followers:
            follower.woken.set()

    def _take(self, follower: _Follower) -> list[tuple[IncidentName, State]]:
        changed, follower.changed = follower.changed, set()
        taken = []
        for profile in changed:
            record = self._mirror.record(profile)
            if record is None or not _needs_work(record):
                follower.told.pop(profile, None)
                continue
            now = (record.incident, record.state)
            # A replica hears of its own writes twice.
            if follower.told.get(profile) != now:
                follower.told[profile] = now
                taken.append((IncidentName(profile, record.incident), record.state))
        return taken


def _needs_work(record: Record) -> bool:
    """A review without an acknowledgement too: it may come as late as it likes, and spares a person from
    attesting what only a host can know. Whether it came already is beside the record, and not known here.
    """
    return record.state in IN_INCIDENT or (record.state is State.MANUAL_REVIEW and not record.acknowledged)


class _Follower:
    """One stream: what it has not been told of yet, and what it was told last."""

    def __init__(self) -> None:
        self.changed: set[ProfileName] = set()
        self.told: dict[ProfileName, tuple[int, State]] = {}
        self.woken = asyncio.Event()

    def note(self, profiles: Iterable[ProfileName]) -> None:
        self.changed.update(profiles)
        if self.changed:
            self.woken.set()
