"""Hosts: where each is, that it lives, and whether it takes new profiles."""

from __future__ import annotations

import asyncio

import structlog
from google.protobuf import json_format

from lockservice.core import placement, schedule
from lockservice.core.decision import Refuse, Write
from lockservice.core.document import Unreadable
from lockservice.core.schedule import READY
from lockservice.core.stored import Schedule
from lockservice.etcd.txn import on_lease, txn
from lockservice.granter import now_ms
from lockservice.leases import LeaseKeys
from lockservice.replica import Replica
from tenure.errors import HostUnreachable, Internal, LeaseExpired, TenureError
from tenure.names import ProfileName, host_id
from tenure.v1.host_pb2 import Host, HostState

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
        """The hosts whose leases live, by name, as they are scheduled."""
        await self._replica.committer.until_loaded(deadline)
        return self._alive()

    def home(self, profile: ProfileName, current: str, proxy_key: str) -> str:
        """The id of the host that a profile is to be at: its `current` home, and where it has none ("") the
        one that is best now, as far as this replica has heard.

        Raises HostUnreachable when that home is not alive, or no host is; NoRoom.
        """
        if not current:
            return host_id(placement.place(self._alive(), str(profile), proxy_key))
        if current not in self._mirror.hosts:
            raise HostUnreachable(host=f"hosts/{current}")
        return current

    def one(self, name: str) -> Host | None:
        """A host by its full name; None when it is not alive, as far as this replica has heard."""
        found = self._mirror.hosts.get(name.removeprefix("hosts/"))
        return self._told(name.removeprefix("hosts/"), found.value) if found is not None else None

    def state(self, name: str) -> HostState.ValueType:
        """How a host was last scheduled, as far as this replica has heard; READY when nobody ever did, and
        UNSPECIFIED when a newer replica said what this one cannot read.
        """
        known = self._mirror.schedules.get(name)
        return HostState.Value(f"HOST_STATE_{known.state if known else READY}")

    async def schedule(self, name: str, state: str, by: str, deadline: float) -> Host:
        """Cordon a host, drain it, or take that back; one that is not alive is told by its name and state.

        Durable, and idempotent: whoever said it first stays on record. Raises NotFound, StoreUnavailable,
        OutcomeUnknown, and Internal for what a newer replica stored, which is left alone.
        """
        committer, keys = self._replica.committer, self._replica.keys
        await committer.until_loaded(deadline)
        wanted = Schedule(state=state, by=by, since_ms=now_ms())
        while True:
            answer = await committer.look_up(schedule.reads(keys, name), deadline)
            try:
                found = schedule.seen(answer)
            except Unreadable as error:
                raise Internal(str(error)) from None
            decision = schedule.decide(keys, name, found, wanted)
            if isinstance(decision, Refuse):
                raise decision.error
            if not isinstance(decision, Write):
                break
            if (await committer.commit(txn(decision.compares, decision.ops), deadline)).succeeded:
                _log.info("host scheduled", host=name, state=state, by=by)
                break
        known = self._mirror.hosts.get(name)
        host = self._told(name, known.value if known else None)
        # Decided just now, which this replica's watch may not have shown yet.
        host.state = HostState.Value(f"HOST_STATE_{state}")
        return host

    def _alive(self) -> list[Host]:
        return [self._told(name, kv.value) for name, kv in sorted(self._mirror.hosts.items())]

    def _told(self, name: str, facts: bytes | None) -> Host:
        host = Host(name=f"hosts/{name}")
        if facts is not None:
            # What a newer host tells beyond this is not asked for here.
            json_format.Parse(facts, host, ignore_unknown_fields=True)
        host.state = self.state(name)
        return host


def _stored(host: Host) -> bytes:
    return json_format.MessageToJson(host, indent=None).encode()
