"""Workers of requests that name none: one a request, for as long as a copy of it may come.

An Acquire's id is consumed under its worker (PROTOCOL, rule 3). A caller who names no worker leaves that to
us: were each copy of its request given a new one, a copy that comes after the first was granted, used and
released would be granted again, to nobody (trace 1). So which worker a request has is stored, created once,
and outlives the worker.
"""

from __future__ import annotations

import asyncio

from lockservice.core.document import decode, encode
from lockservice.core.stored import Asker, Worker
from lockservice.etcd.txn import absent, created_at, delete, get, mod_is, put, txn
from lockservice.granter import now_ms
from lockservice.leases import LeaseKeys
from lockservice.replica import Replica
from lockservice.workers import Workers
from tenure import request_id as request_ids
from tenure.errors import RequestEnded
from tenure.names import ProfileName

OLDEST_S = 24 * 3600
"""No call waits longer. A request id that was made earlier and is not remembered is over, or never came."""

REMEMBERED_S = OLDEST_S + 300
"""From the worker's end on: until its request id is too old by all clocks that are not minutes apart."""


class ImplicitWorkers:
    """Registers and forgets them. `deadline` is the loop's time.

    Methods raise StoreUnavailable, or OutcomeUnknown: call again.
    """

    def __init__(self, replica: Replica, workers: Workers) -> None:
        self._replica = replica
        self._workers = workers
        self._leases = LeaseKeys(replica.etcd, replica.keys, replica.committer, replica.mirror)

    async def register(
        self, profile: ProfileName, request_id: str, ttl_s: int, deadline: float
    ) -> tuple[str, bool]:
        """The request's worker, and whether this call registered it. It may be dead, if not.

        Raises RequestEnded for one that is too old to be remembered.
        """
        keys, committer = self._replica.keys, self._replica.committer
        await committer.until_loaded(deadline)
        asker = keys.asker(profile, request_id)
        found = await committer.look_up([get(asker)], deadline)
        if found[0].response_range.kvs:
            return decode(Asker, found[0].response_range.kvs[0].value).worker, False
        if request_ids.time_ms(request_id) < now_ms() - OLDEST_S * 1000:
            raise RequestEnded(
                f"request_id '{request_id}' was made more than {OLDEST_S // 3600} h ago: it is over, or came "
                "too late. Send a new request_id for a new hold.",
                request_id=request_id,
            )
        sent = asyncio.get_running_loop().time()
        lease, granted_s = await self._leases.grant(ttl_s, deadline)
        memory, _ = await self._leases.grant(granted_s + REMEMBERED_S, deadline)
        worker = request_ids.mint()
        stored = Worker(
            tenant=profile.tenant,
            lease=lease,
            ttl_s=granted_s,
            registered_ms=now_ms(),
            labels={"implicit": "true"},
        )
        ops = [
            put(asker, encode(Asker(worker=worker)), memory),
            put(keys.worker(worker), encode(stored), lease),
        ]
        epoch = self._replica.mirror.epoch.mod
        while True:
            guards = [mod_is(keys.epoch, epoch), absent(asker), absent(keys.worker(worker))]
            reads = [get(keys.epoch), get(asker)]
            answer = await committer.commit(txn(guards, ops, reads), deadline, profile)
            if answer.succeeded:
                self._workers.remember(worker, sent + granted_s)
                return worker, True
            now, there = (list(each.response_range.kvs) for each in answer.responses)
            if there:
                # Another copy was faster, or an earlier copy of this very Txn was applied.
                first = decode(Asker, there[0].value).worker
                if first != worker:
                    await self._leases.revoke(lease, deadline)
                    await self._leases.revoke(memory, deadline)
                return first, first == worker
            epoch = now[0].mod_revision if now else 0

    async def forget(self, profile: ProfileName, request_id: str, worker: str, deadline: float) -> bool:
        """End a request's worker and forget it, if nothing was consumed under it; whether it is forgotten."""
        keys, committer = self._replica.keys, self._replica.committer
        await committer.until_loaded(deadline)
        asker = keys.asker(profile, request_id)
        looked = await committer.look_up([get(asker), get(keys.worker(worker))], deadline)
        found, alive = (list(each.response_range.kvs) for each in looked)
        if not found:
            return True
        if not alive or decode(Asker, found[0].value).worker != worker:
            return False
        # Safe beside a copy's Acquire under it: that compares the worker's key, which this Txn deletes, and
        # writes what this one compares to be absent.
        guards = [
            mod_is(asker, found[0].mod_revision),
            created_at(keys.worker(worker), alive[0].create_revision),
            absent(keys.consumed(worker, profile)),
        ]
        answer = await committer.commit(
            txn(guards, [delete(asker), delete(keys.worker(worker))], [get(asker)]), deadline, profile
        )
        if answer.succeeded:
            await self._leases.revoke(alive[0].lease, deadline)
            await self._leases.revoke(found[0].lease, deadline)
            return True
        return not answer.responses[0].response_range.kvs
