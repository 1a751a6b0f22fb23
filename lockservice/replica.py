"""One replica of the lock service, without its gRPC face: etcd, mirror, committer, and the tasks that keep
them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import structlog

from lockservice.arrivals import Arrivals
from lockservice.committer import Committer
from lockservice.core.caps import DEFAULT, Caps, Room
from lockservice.core.document import Unreadable
from lockservice.core.keeping import FOR_EVER, Keeps
from lockservice.core.keys import Keys
from lockservice.epoch import EpochNeeded, Lineage
from lockservice.etcd.client import Etcd
from lockservice.etcd.connection import Tls
from lockservice.etcd.errors import EtcdError
from lockservice.etcd.watch import Changes, Item, Lost, Page, Resumed, Snapshot
from lockservice.granter import Granter
from lockservice.incident_feed import IncidentFeed
from lockservice.leases import LeaseKeys
from lockservice.loops import kept
from lockservice.metrics import Metrics
from lockservice.mirror import Mirror, Touched
from lockservice.overseer import Overseer
from lockservice.parking import Parking
from lockservice.retention import Retention
from lockservice.rounds import SWEEP_S
from lockservice.suspects import Suspects
from lockservice.watching import Watching
from tenure.names import ProfileName

_PAUSE_S = 0.2
# So many of a million keys are taken in before others get a turn: some milliseconds.
_AT_ONCE = 1000

# Told None when etcd is there, else why not.
Tell = Callable[[str | None], Awaitable[None]]

_log = structlog.get_logger("replica")


class Replica:
    """Use it as `async with`. It is there at once and becomes useful when etcd is: calls wait for that."""

    def __init__(
        self,
        endpoints: Sequence[str],
        root: str,
        tell: Tell,
        tls: Tls | None = None,
        sweep_s: float = SWEEP_S,
        caps: Caps = DEFAULT,
        keeps: Keeps = FOR_EVER,
    ) -> None:
        self.keys = Keys(root)
        self.etcd = Etcd(endpoints, tls)
        self.mirror = Mirror(self.keys)
        self._filling = Mirror(self.keys)
        self.parking = Parking(self.mirror)
        self.watching = Watching(self.mirror, caps)
        self.metrics = Metrics(self.mirror, self.parking, self.watching)
        self.committer = Committer(self.etcd.kv, self.keys, self.mirror, self._touched)
        self.committer.batcher.observe = self.metrics
        self.etcd.leases.ended = self.metrics.loop_ended
        self.granter = Granter(self.committer, self.mirror, self.parking, self.metrics, sweep_s)
        self.suspects = Suspects(self.committer, self.keys, self.metrics)
        self.overseer = Overseer(self.suspects, self.mirror, sweep_s)
        self.feed = IncidentFeed(self.mirror)
        leases = LeaseKeys(self.etcd, self.keys, self.committer, self.mirror)
        self.retention = Retention(self.etcd, self.keys, self.committer, leases, keeps)
        self._caps = caps
        self._lineage = Lineage(self.etcd, self.keys, ",".join(endpoints))
        self._tell = tell
        self._tasks: list[asyncio.Task[None]] = []
        self._advanced = asyncio.Event()
        self._arrivals = Arrivals(lambda: self.mirror.revision, lambda: self.etcd.connection.seen)

    async def catch_up(self, revision: int) -> None:
        """Wait until the mirror has what was written up to `revision`, or until nothing has come for a
        moment.
        """
        await self._arrivals.until(revision)

    def room(self, profile: ProfileName) -> Room:
        """What a profile's tenant has, and may have."""
        mirror, tenant = self.mirror, profile.tenant
        return Room(
            self._caps,
            mirror.tenant_holds[tenant],
            mirror.tenant_waiters[tenant],
            len(mirror.queue(profile)),
        )

    def part(self) -> None:
        """End what callers wait for and follow: the service stops. They find the same at another replica."""
        self.parking.close()
        self.feed.close()
        self.watching.close()

    async def __aenter__(self) -> Self:
        loops = {
            "follow etcd": self._follow,
            "granter": self.granter.run,
            "overseer": self.overseer.run,
            "retention": self.retention.run,
        }
        self._tasks = [
            asyncio.create_task(kept(name, run, self.metrics.loop_ended), name=name)
            for name, run in loops.items()
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.committer.aclose()
        await self.etcd.aclose()

    async def _follow(self) -> None:
        while True:
            try:
                await self._watch()
            except (EtcdError, EpochNeeded, Unreadable) as error:
                await self._not_heard(str(error))
            except Exception as error:
                # What is known grows old until the loop is begun again.
                await self._not_heard(f"following etcd failed: {error!r}")
                raise
            await asyncio.sleep(_PAUSE_S)

    async def _not_heard(self, why: str) -> None:
        self.committer.not_loaded = why
        self.watching.hear(False)
        await self._tell(why)

    async def _watch(self) -> None:
        """Feed the mirror until another store answers than the one that was served."""
        items = aiter(self.etcd.watch(self.keys.watched, self.keys.listed, self._lineage.establish))
        async with contextlib.aclosing(items):
            async for item in items:
                await self._take(item)

    async def _take(self, item: Item) -> None:
        match item:
            case Page():
                await self._fill(item)
            case Snapshot():
                touched = self.mirror.adopt(self._filling, item.revision)
                self._filling = Mirror(self.keys)
                self.overseer.take_stock()
                self._touched(touched)
                if self.watching.total():
                    # What is at rest concerns only those who are told of everything.
                    self.watching.look_at(self.mirror.everything())
                self.parking.wake_all()
                self.committer.loaded()
            case Changes():
                self._touched(self.mirror.apply(item.events))
            case Resumed():
                self.watching.hear(True)
                await self._tell(None)
            case Lost():
                self.watching.hear(False)
                await self._tell(item.error)
        self._arrivals.came()
        self._advanced.set()
        self._advanced = asyncio.Event()
        for key, problem in self.mirror.take_unreadable():
            _log.error("cannot read what is stored", key=key.decode(errors="replace"), why=problem)

    async def _fill(self, page: Page) -> None:
        """Take a page of a snapshot to come, giving way to others: until it is whole they see the old one."""
        if page.first:
            self._filling = Mirror(self.keys)
        for start in range(0, len(page.kvs), _AT_ONCE):
            self._filling.fill(page.kvs[start : start + _AT_ONCE])
            await asyncio.sleep(0)

    def _touched(self, touched: list[Touched]) -> None:
        self.parking.wake(touched)
        self.granter.look_at(touched)
        self.overseer.look_at(touched)
        self.feed.look_at(touched)
        self.watching.look_at(touched)
        self.metrics.look_at_watch()
