"""Waiting calls, parked: each waits for its own wake-up, and none holds anything that another call needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lockservice.core.grant import is_free
from lockservice.core.record import State
from lockservice.core.snapshot import Sight
from lockservice.mirror import Mirror, Touched
from tenure.names import ProfileName


class Parking:
    """Wakes those whom a change concerns: the head of a queue, the new holder, a place that is gone."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._parked: dict[ProfileName, dict[str, set[asyncio.Event]]] = {}
        self.closed = False
        self._calls = 0

    @contextmanager
    def park(self, profile: ProfileName, request_id: str) -> Iterator[asyncio.Event]:
        """The event is set at each change that concerns this place; clear it before looking."""
        wake = asyncio.Event()
        places = self._parked.setdefault(profile, {})
        places.setdefault(request_id, set()).add(wake)
        self._calls += 1
        try:
            yield wake
        finally:
            self._calls -= 1
            places[request_id].discard(wake)
            if not places[request_id]:
                del places[request_id]
            if not places and self._parked.get(profile) is places:
                del self._parked[profile]

    def count(self) -> int:
        """How many calls are parked."""
        return self._calls

    def is_parked(self, profile: ProfileName, request_id: str) -> bool:
        """Whether the caller of this place waits at this replica."""
        return request_id in self._parked.get(profile, {})

    def wake(self, touched: Iterable[Touched]) -> None:
        """Wake whom these changes concern."""
        for profile, request_id in touched:
            places = self._parked.get(profile)
            if places is None:
                continue
            for concerned in self._concerned(profile, request_id, places):
                for event in places.get(concerned, ()):
                    event.set()

    def wake_all(self) -> None:
        """After a gap in what is known everybody looks again."""
        for places in self._parked.values():
            for events in places.values():
                for event in events:
                    event.set()

    def close(self) -> None:
        """Nobody may wait here any more: the service stops."""
        self.closed = True
        self.wake_all()

    def _concerned(
        self, profile: ProfileName, request_id: str, places: dict[str, set[asyncio.Event]]
    ) -> Iterable[str]:
        """Of those parked, whom a change may have brought something: as few as can be, for all others slept
        on in vain. `request_id` is of the place that changed; "" when the record did.
        """
        snapshot = self._mirror.guess(Sight(keys=self._mirror.keys, profile=profile))
        record, head = snapshot.record, snapshot.head
        if is_free(record) and head is not None:
            return (request_id, head.request_id)
        if request_id or record is None:
            return (request_id,)
        if record.state is State.DISABLED:
            # They wait in vain.
            return list(places)
        if record.state is State.RESUME_PENDING:
            workflow = record.holding.workflow_id if record.holding else ""
            waiting = self._mirror.queue(profile)
            return [place.request_id for place in waiting if place.ask.workflow_id == workflow]
        return (record.holding.request_id,) if record.holding is not None else ()
