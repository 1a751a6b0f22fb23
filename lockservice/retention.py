"""Forgetting what is over: incidents that were decided long ago, steps of holds that were released.

One replica at a time does it, by a claim that is a hint: each deletion is a Txn of its own that compares what
it was decided on, so two that do it at once, or one that was stopped in the middle, harm nothing. What a run
did not get to, the next one finds. etcd's own history is not ours to compact: it has flags for that, and
watches need it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import groupby

import structlog

from lockservice.committer import Committer
from lockservice.core import keeping
from lockservice.core.document import Unreadable, decode
from lockservice.core.keeping import Keeps
from lockservice.core.keys import Keys
from lockservice.core.snapshot import KeyValue
from lockservice.core.stored import Incident, Step
from lockservice.etcd.client import Etcd
from lockservice.etcd.errors import EtcdError
from lockservice.etcd.txn import KeyRange, absent
from lockservice.leases import LeaseKeys
from tenure.errors import TenureError
from tenure.names import IncidentName, ProfileName

EVERY_S = 600
_TXN_S = 5.0
# Keys read at a time, and the rest between two deletions: nobody waits for this.
_PAGE = 200
_REST_S = 0.01

_log = structlog.get_logger("retention")


class Retention:
    """Forgets what `keeps` says, about every `every_s` seconds among all replicas."""

    def __init__(
        self,
        etcd: Etcd,
        keys: Keys,
        committer: Committer,
        leases: LeaseKeys,
        keeps: Keeps,
        *,
        every_s: int = EVERY_S,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._etcd = etcd
        self._keys = keys
        self._committer = committer
        self._leases = leases
        self._keeps = keeps
        self._every_s = every_s
        self._now_ms = now_ms

    async def run(self) -> None:
        """Forget until cancelled."""
        while True:
            # Never right at the start: that has better things to do.
            await asyncio.sleep(self._every_s * random.uniform(0.5, 1))
            try:
                if await self.claim():
                    incidents, holds = await self.forget()
                    _log.info("forgot what was over", incidents=incidents, holds=holds)
            except (EtcdError, TenureError) as error:
                # What is left is found by the next run.
                _log.warning("not all was forgotten", why=str(error))

    async def claim(self) -> bool:
        """Whether it is this replica's turn. The claim ends by itself when the next turn may begin.

        Raises StoreUnavailable or OutcomeUnknown.
        """
        key = self._keys.claim("retention")
        await self._committer.until_loaded(self._deadline())
        if await self._committer.read(self._etcd.kv.get(key, _TXN_S)) is not None:
            return False
        lease, _ = await self._leases.grant(self._every_s, self._deadline())
        return await self._leases.put(key, b"", lease, self._deadline(), absent(key))

    async def forget(self) -> tuple[int, int]:
        """Look at everything once; returns how many incidents, and steps of how many holds, were forgotten.

        Raises what the store raises; what was forgotten until then stays so.
        """
        incidents = holds = 0
        if self._keeps.incidents_ms:
            async for page in self._pages(self._keys.incidents()):
                for kv in page:
                    incidents += await self._apart(kv, self._incident)
        if self._keeps.steps_ms:
            last: object = None
            async for page in self._pages(self._keys.all_evidence):
                for hold, items in groupby(page, lambda kv: self._keys.split(kv.key)[:4]):
                    # One hold's may go on to the next page.
                    if hold != last:
                        holds += await self._apart(next(items), self._hold)
                    last = hold
        return incidents, holds

    async def _apart(self, kv: KeyValue, look: Callable[[KeyValue], Awaitable[bool]]) -> bool:
        """One that cannot be read keeps no other from being looked at."""
        try:
            return await look(kv)
        except Unreadable as error:
            _log.error("cannot read what is stored", key=kv.key.decode(errors="replace"), why=str(error))
            return False

    async def _incident(self, kv: KeyValue) -> bool:
        keys, keep_ms, now_ms = self._keys, self._keeps.incidents_ms, self._now_ms()
        if not keeping.may_be_over(decode(Incident, kv.value).suspect_ms, keep_ms, now_ms):
            return False
        name = self._named(kv)
        sight = keeping.incident_sight(keys, name)
        await asyncio.sleep(_REST_S)
        return await self._committer.settle(
            sight,
            lambda seen: keeping.forget_incident(keys, name, seen, keep_ms=keep_ms, now_ms=now_ms),
            self._deadline(),
            look_first=True,
        )

    async def _hold(self, kv: KeyValue) -> bool:
        """`kv` is its first: step 1, or nothing that steps are kept by."""
        keys, keep_ms, now_ms = self._keys, self._keeps.steps_ms, self._now_ms()
        name = self._named(kv)
        if kv.key != keys.step(name.profile, name.fencing_token, 1):
            return False
        if not keeping.may_be_over(decode(Step, kv.value).start_ms, keep_ms, now_ms):
            return False
        sight = keeping.steps_sight(keys, name)
        await asyncio.sleep(_REST_S)
        return await self._committer.settle(
            sight,
            lambda seen: keeping.forget_steps(keys, name, seen, keep_ms=keep_ms, now_ms=now_ms),
            self._deadline(),
            look_first=True,
        )

    async def _pages(self, keys: KeyRange) -> AsyncIterator[list[KeyValue]]:
        """A range in pages, each as it is then."""
        start, more = keys.start, True
        while more:
            page = await self._committer.read(
                self._etcd.kv.read(KeyRange(start, keys.end), _TXN_S, limit=_PAGE)
            )
            if page.kvs:
                yield list(page.kvs)
                start = page.kvs[-1].key + b"\0"
            more = page.more

    def _named(self, kv: KeyValue) -> IncidentName:
        _, tenant, profile, token, *_ = self._keys.split(kv.key)
        return IncidentName(ProfileName(tenant, profile), int(token))

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + _TXN_S
