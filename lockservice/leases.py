"""Leases of workers and hosts, granted and renewed within a call's deadline."""

from __future__ import annotations

import asyncio

from lockservice.committer import Committer
from lockservice.core.keys import Keys
from lockservice.etcd.client import Etcd
from lockservice.etcd.errors import EtcdError, NotSent, OutcomeUnknown
from lockservice.etcd.kv import ATTEMPT_S
from lockservice.etcd.lease import Renewal
from lockservice.etcd.txn import Compare, get, mod_is, put, txn
from lockservice.mirror import Mirror
from tenure.errors import StoreUnavailable

_PAUSE_S = 0.05


class LeaseKeys:
    """Keys that live and die with a lease of their own. Methods raise StoreUnavailable at `deadline` (the
    loop's time).
    """

    def __init__(self, etcd: Etcd, keys: Keys, committer: Committer, mirror: Mirror) -> None:
        self._etcd = etcd
        self._keys = keys
        self._committer = committer
        self._mirror = mirror

    async def grant(self, ttl_s: int, deadline: float) -> tuple[int, int]:
        """Start a lease; returns it with its ttl. After an unclear outcome another is started: the unused one
        ends.
        """
        while True:
            try:
                lease = await self._etcd.leases.grant(ttl_s, _attempt(deadline))
            except (NotSent, OutcomeUnknown) as error:
                await _pause(deadline, error)
            except EtcdError as error:
                raise StoreUnavailable(str(error), retry_after_s=1.0) from None
            else:
                return lease.id, lease.ttl

    async def put(self, key: bytes, value: bytes, lease: int, deadline: float, *guards: Compare) -> bool:
        """Write a key on its lease; False when a guard does not hold. Raises OutcomeUnknown too."""
        epoch = self._mirror.epoch.mod
        while True:
            answer = await self._committer.commit(
                txn(
                    [mod_is(self._keys.epoch, epoch), *guards],
                    [put(key, value, lease)],
                    [get(self._keys.epoch), get(key)],
                ),
                deadline,
            )
            if answer.succeeded:
                return True
            now, there = (list(r.response_range.kvs) for r in answer.responses)
            if there and (there[0].value, there[0].lease) == (value, lease):
                # An earlier copy of this very Txn was applied.
                return True
            found = now[0].mod_revision if now else 0
            if found == epoch:
                return False
            epoch = found

    async def renew(self, lease: int, deadline: float) -> Renewal:
        """Renew; ttl 0 when the lease is gone."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                return await self._etcd.leases.keep_alive(lease, max(deadline - clock(), 0.001))
            except EtcdError as error:
                await _pause(deadline, error)

    async def revoke(self, lease: int, deadline: float) -> None:
        """End a lease with its keys. Idempotent."""
        while True:
            try:
                return await self._etcd.leases.revoke(lease, _attempt(deadline))
            except (NotSent, OutcomeUnknown) as error:
                await _pause(deadline, error)
            except EtcdError as error:
                raise StoreUnavailable(str(error), retry_after_s=1.0) from None


def _attempt(deadline: float) -> float:
    return max(min(ATTEMPT_S, deadline - asyncio.get_running_loop().time()), 0.001)


async def _pause(deadline: float, error: EtcdError) -> None:
    if asyncio.get_running_loop().time() + _PAUSE_S >= deadline:
        raise StoreUnavailable(
            f"The store (etcd) does not answer. Try again shortly. ({error})", retry_after_s=1.0
        ) from None
    await asyncio.sleep(_PAUSE_S)
