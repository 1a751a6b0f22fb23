"""Hosts: where each is, and that it lives."""

from __future__ import annotations

import asyncio

import structlog
from google.protobuf import json_format

from lockservice.etcd.txn import on_lease
from lockservice.leases import LeaseKeys
from lockservice.replica import Replica
from tenure.errors import LeaseExpired, TenureError
from tenure.names import host_id
from tenure.v1.host_pb2 import Host

TTL_S = 10
_REVOKE_S = 2.0

_log = structlog.get_logger("hosts")


class Hosts:
    """The host operations of one replica. `deadline` is the event loop's time."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._mirror = replica.mirror
        self._leases = LeaseKeys(replica.etcd, replica.keys, replica.committer, replica.mirror)

    async def register(self, host: Host, deadline: float) -> tuple[int, int]:
        """Start a host's lease, or take an older registration over, which ends; returns registration and ttl.

        Raises StoreUnavailable or OutcomeUnknown (register again).
        """
        await self._replica.committer.until_loaded(deadline)
        name = host_id(host.name)
        before = self._mirror.hosts.get(name)
        lease, ttl_s = await self._leases.grant(TTL_S, deadline)
        await self._leases.put(self._replica.keys.host(name), _stored(host), lease, deadline)
        if before is not None and before.lease != lease:
            try:
                end = asyncio.get_running_loop().time() + _REVOKE_S
                await self._leases.revoke(before.lease, min(end, deadline))
            except TenureError as error:
                # It ends by itself: nobody renews it, unless two processes take themselves for one host.
                _log.warning("an older registration lives on", host=name, why=str(error))
        return lease, ttl_s

    async def renew(self, registration: int, host: Host, deadline: float) -> int:
        """Renew the lease, store the facts if they changed; returns the ttl. Raises LeaseExpired,
        StoreUnavailable.
        """
        await self._replica.committer.until_loaded(deadline)
        name = host_id(host.name)
        renewal = await self._leases.renew(registration, deadline)
        known = self._mirror.hosts.get(name)
        value = _stored(host)
        if renewal.ttl and (known is None or (known.value, known.lease) != (value, registration)):
            key = self._replica.keys.host(name)
            mine = on_lease(key, registration)
            if not await self._leases.put(key, value, registration, deadline, mine):
                raise LeaseExpired(f"Another process registered as {host.name}.", worker=host.name)
        if not renewal.ttl:
            raise LeaseExpired(
                f"The registration of {host.name} has ended. Register again.", worker=host.name
            )
        return renewal.ttl

    async def alive(self, deadline: float) -> list[Host]:
        """The hosts whose leases live, by name."""
        await self._replica.committer.until_loaded(deadline)
        return [json_format.Parse(kv.value, Host()) for _, kv in sorted(self._mirror.hosts.items())]


def _stored(host: Host) -> bytes:
    return json_format.MessageToJson(host, indent=None).encode()
