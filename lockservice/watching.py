"""Profiles as they are, then as they change, told to whoever watches.

A level, not a log: each stream keeps which profiles it has to tell of, and tells of each as it is when its
turn comes. So a slow reader holds nothing up and hears the latest only; what it has to be told of is never
more than there are profiles.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from lockservice.core.caps import DEFAULT, Caps, no_watch
from lockservice.core.cursor import Cursor, Origin, Scope
from lockservice.mirror import Mirror, Touched
from tenure.errors import StoreUnavailable
from tenure.names import ProfileName

# Bookmarks come at least so often; and so soon after something was told, that a break costs little.
BOOKMARK_S = 8.0
_SOON_S = 1.0
# Between so many profiles that need no telling, others get a turn.
_BREATH = 1000


@dataclass(frozen=True, slots=True)
class Shown:
    """A profile to tell of as it is now; `first`: as part of the snapshot."""

    profile: ProfileName
    first: bool


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to the cursor was told; "" before a snapshot that replaces what was told before."""

    cursor: str


class Watching:
    """The streams of one replica."""

    def __init__(self, mirror: Mirror, caps: Caps = DEFAULT) -> None:
        self._mirror = mirror
        self._caps = caps
        self._readers: defaultdict[str, set[_Reader]] = defaultdict(set)
        self._closed = False
        # Whether etcd is heard.
        self.heard = False

    def count(self, tenant: str) -> int:
        """How many streams a tenant has here."""
        return len(self._readers.get(tenant, ()))

    def total(self) -> int:
        """How many streams there are."""
        return sum(map(len, self._readers.values()))

    async def follow(self, scope: Scope, cursor: Cursor | None) -> AsyncGenerator[Shown | Bookmark, None]:
        """Tell of what changed after the cursor, or of all there is, and then of changes, until the watch
        is closed. Raises QuotaExceeded; and StoreUnavailable once etcd has not been heard for some seconds:
        another replica may know more.
        """
        if (full := no_watch(self._caps, self.count(scope.tenant))) is not None:
            raise full
        reader = _Reader(scope)
        self._readers[scope.tenant].add(reader)
        try:
            while not self._closed:
                async with aclosing(self._of_one_store(reader, cursor)) as items:
                    async for item in items:
                        yield item
                # Another store answers, or this one was restored: nothing that was told counts.
                cursor = None
                if not self._closed:
                    yield Bookmark("")
        finally:
            readers = self._readers[scope.tenant]
            readers.discard(reader)
            if not readers:
                del self._readers[scope.tenant]

    def look_at(self, touched: Iterable[Touched]) -> None:
        """Note what changed."""
        if not self._readers:
            return
        for profile, _ in touched:
            for reader in self._readers.get(profile.tenant, ()):
                if reader.scope.profile in (None, profile):
                    reader.changed[profile] = None
                    reader.woken.set()

    def hear(self, heard: bool) -> None:
        """Say whether etcd is heard: only then does a bookmark vouch for what was told."""
        self.heard = heard
        self._wake()

    def close(self) -> None:
        """End every stream: the service stops."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for readers in self._readers.values():
            for reader in readers:
                reader.woken.set()

    async def _of_one_store(
        self, reader: _Reader, cursor: Cursor | None
    ) -> AsyncGenerator[Shown | Bookmark, None]:
        """Until the watch is closed, or revisions count anew."""
        loop = asyncio.get_running_loop()
        mirror, scope, origin = self._mirror, reader.scope, self._origin()
        resumes = cursor is not None and (cursor.origin, cursor.scope) == (origin, scope)
        if cursor is not None and not resumes:
            yield Bookmark("")
        sent = cursor.revision if cursor is not None and resumes else -1
        reader.changed.clear()
        first, upto = not resumes, mirror.revision
        batch = mirror.profiles(scope.tenant) if scope.profile is None else [scope.profile]
        # Due at once.
        said_at, unsaid = loop.time() - _SOON_S, True
        while True:
            for i, profile in enumerate(batch):
                if self._closed or self._origin() != origin:
                    return
                if not i % _BREATH:
                    await asyncio.sleep(0)
                # It is told as it is now, whatever happened to it since it was noted.
                reader.changed.pop(profile, None)
                if first or mirror.changed_since(profile, sent):
                    unsaid = True
                    yield Shown(profile, first)
            first, sent = False, max(sent, upto)
            if loop.time() >= said_at + (_SOON_S if unsaid and self.heard else BOOKMARK_S):
                if not self.heard:
                    raise StoreUnavailable(retry_after_s=_SOON_S)
                yield Bookmark(str(Cursor(origin, scope, sent)))
                said_at, unsaid = loop.time(), False
            await reader.until_woken(said_at + (_SOON_S if unsaid and self.heard else BOOKMARK_S))
            if self._closed or self._origin() != origin:
                return
            batch, reader.changed, upto = list(reader.changed), {}, mirror.revision

    def _origin(self) -> Origin:
        return Origin(self._mirror.cluster, self._mirror.epoch.number)


class _Reader:
    """One stream: which profiles it is to tell of, in the order in which they changed."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.changed: dict[ProfileName, None] = {}
        self.woken = asyncio.Event()

    async def until_woken(self, due: float) -> None:
        """Return when it was woken since this returned last, or at `due`, on the loop's clock."""
        try:
            async with asyncio.timeout_at(due):
                await self.woken.wait()
        except TimeoutError:
            return
        self.woken.clear()
