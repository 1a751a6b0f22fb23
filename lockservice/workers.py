"""Workers: a lease each, and what its renewal tells."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lockservice.core.document import encode
from lockservice.core.hold import Hold
from lockservice.core.snapshot import WorkerSeen, worker_seen
from lockservice.core.stored import Worker
from lockservice.etcd.kv import ATTEMPT_S
from lockservice.etcd.lease import Renewal
from lockservice.etcd.txn import absent
from lockservice.granter import now_ms
from lockservice.leases import LeaseKeys
from lockservice.replica import Replica
from tenure import request_id
from tenure.errors import Internal, LeaseExpired
from tenure.names import worker_id


@dataclass(frozen=True, slots=True)
class Renewed:
    """`ttl_s` counts from when the request was sent. `holds` are the worker's, `lost` went to incidents."""

    ttl_s: int
    holds: list[Hold]
    lost: list[Hold]


class Workers:
    """The worker operations of one replica. `deadline` is the event loop's time."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._mirror = replica.mirror
        self._leases = LeaseKeys(replica.etcd, replica.keys, replica.committer, replica.mirror)
        self._alive_until: dict[str, float] = {}

    async def register(
        self, tenant: str, ttl_s: int, labels: dict[str, str], deadline: float
    ) -> tuple[str, int]:
        """Mint a worker, never used before nor again; returns its id and ttl (seconds).

        Raises StoreUnavailable; OutcomeUnknown when a worker may exist that nobody knows: its lease ends by
        itself.
        """
        await self._replica.committer.until_loaded(deadline)
        sent = asyncio.get_running_loop().time()
        lease, granted_s = await self._leases.grant(ttl_s, deadline)
        worker = request_id.mint()
        key = self._replica.keys.worker(worker)
        stored = Worker(tenant=tenant, lease=lease, ttl_s=granted_s, registered_ms=now_ms(), labels=labels)
        if not await self._leases.put(key, encode(stored), lease, deadline, absent(key)):
            raise Internal("A freshly minted worker id exists already.")
        self.remember(worker, sent + granted_s)
        return worker, granted_s

    async def renew(self, worker: str, tenant: str, deadline: float) -> Renewed:
        """Renew the lease and list the holds. Raises LeaseExpired, StoreUnavailable.

        Every hold that was granted, anywhere, before this was sent is listed: etcd's answer says which
        revision the store had reached, and the mirror is given time to get there. Should it be slower than it
        ever is, the hold comes with the next renewal; so one that is not listed proves nothing.
        """
        lease = await self._lease(worker, tenant, deadline)
        sent = asyncio.get_running_loop().time()
        return await self.renewed(worker, sent, await self._leases.renew(lease, deadline))

    async def renewal(self, name: str, tenant: str, deadline: float) -> tuple[str, asyncio.Future[Renewal]]:
        """Begin a renewal of the worker called `name`, for `renewed` to end; returns its id too.

        Raises InvalidId, LeaseExpired, StoreUnavailable.
        """
        worker = name.removeprefix("workers/")
        if worker not in self._mirror.workers:
            worker = worker_id(name)
        lease = await self._lease(worker, tenant, deadline)
        return worker, self._replica.etcd.leases.renewal(lease)

    async def renewed(self, worker: str, sent: float, renewal: Renewal) -> Renewed:
        """What a renewal asked for at `sent` (the loop's time) tells, as `renew`. Raises LeaseExpired."""
        if renewal.ttl == 0:
            raise self._expired(worker)
        self.remember(worker, sent + renewal.ttl)
        if renewal.revision > self._mirror.revision:
            await self._replica.catch_up(renewal.revision)
        return Renewed(renewal.ttl, self._mirror.holds(worker), self._mirror.take_lost(worker))

    async def end(self, worker: str, tenant: str, deadline: float) -> None:
        """End the lease; what it holds becomes suspect. Idempotent. Raises StoreUnavailable."""
        seen = await self._find(worker, tenant, deadline)
        self._alive_until.pop(worker, None)
        if seen is not None:
            await self._leases.revoke(seen.worker.lease, deadline)

    def remaining_s(self, worker: str) -> float | None:
        """How long the worker's lease lives at least, as far as this replica renewed it."""
        until = self._alive_until.get(worker)
        return None if until is None else max(0.0, until - asyncio.get_running_loop().time())

    def _expired(self, worker: str) -> LeaseExpired:
        self._alive_until.pop(worker, None)
        return LeaseExpired(worker=f"workers/{worker}")

    async def _lease(self, worker: str, tenant: str, deadline: float) -> int:
        seen = await self._find(worker, tenant, deadline)
        if seen is None:
            raise self._expired(worker)
        return seen.worker.lease

    async def _find(self, worker: str, tenant: str, deadline: float) -> WorkerSeen | None:
        """The worker as stored; None also when it is another tenant's."""
        await self._replica.committer.until_loaded(deadline)
        seen = self._mirror.workers.get(worker)
        if seen is None:
            # Registered elsewhere a moment ago, or gone.
            left = max(deadline - asyncio.get_running_loop().time(), ATTEMPT_S / 100)
            key = self._replica.keys.worker(worker)
            seen = worker_seen(await self._replica.committer.read(self._replica.etcd.kv.get(key, left)))
        return seen if seen is not None and seen.worker.tenant == tenant else None

    def remember(self, worker: str, until: float) -> None:
        """Note that a worker lives at least until the loop's time `until`."""
        self._alive_until[worker] = until
        if len(self._alive_until) > 2 * len(self._mirror.workers) + 100:
            self._alive_until = {w: t for w, t in self._alive_until.items() if w in self._mirror.workers}
