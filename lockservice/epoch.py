"""The epoch in etcd: begun once, raised by hand after a restore, and good for one history of one cluster.

A replica that finds another history than the epoch was begun or raised in serves nothing until the epoch was
raised again, which puts every later token above every earlier one.
"""

from __future__ import annotations

import dataclasses

from lockservice.core.document import decode, encode
from lockservice.core.keys import Keys
from lockservice.core.lineage import Found, Known, problem, went_back
from lockservice.core.stored import Epoch, Log
from lockservice.etcd.client import Etcd
from lockservice.etcd.kv import ATTEMPT_S
from lockservice.etcd.txn import Txn, absent, mod_is, put, txn
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

RAISE_EPOCH = "raise-epoch"


class EpochNeeded(Exception):
    """This store must not be served before somebody raised the epoch."""

    def __init__(self, why: str, endpoints: str, above: int) -> None:
        at_least = f" --above={above}" if above else ""
        super().__init__(
            f"{why}. If it was restored from a backup, run "
            f"`python -m lockservice {RAISE_EPOCH} --etcd={endpoints}{at_least}`: every hold becomes "
            "suspect, and no token is ever issued twice"
        )


class Lineage:
    """Lets nothing be sent to a store whose history is not the one that the epoch is good for."""

    def __init__(self, etcd: Etcd, keys: Keys, endpoints: str) -> None:
        self._etcd = etcd
        self._keys = keys
        self._endpoints = endpoints
        self._known: Known | None = None
        etcd.connection.refuse("it is not known yet whether this is the store that was served before")

    async def establish(self) -> None:
        """Begin the epoch in an empty store, or prove that the store is the one it was begun or raised in.
        Idempotent; from then on the connection refuses answers of any other.

        Raises EpochNeeded or EtcdError.
        """
        found, mod = await self._prove()
        if found.epoch is None or found.log is None:
            # Guarded, so of several replicas that start at once one writes and the others read it.
            log = Log(lead=await least_lead(self._etcd, self._keys))
            begun = [put(self._keys.log, encode(log))]
            if found.epoch is None:
                begun.append(put(self._keys.epoch, encode(Epoch(number=0, cluster=found.cluster))))
            await write(self._etcd, txn([mod_is(self._keys.epoch, mod), absent(self._keys.log)], begun))
            found, _ = await self._prove()
        assert found.epoch is not None, "an epoch, once it is there, is never deleted"
        seen = found.revision
        if self._known is not None and self._known.epoch.number == found.epoch.number:
            seen = max(seen, self._etcd.connection.seen)
        self._known = Known(epoch=found.epoch, revision=seen)
        self._etcd.connection.trust(int(found.cluster, 16), seen)

    async def _prove(self) -> tuple[Found, int]:
        if self._known is not None:
            # Noted before the store is read: its answer cannot be older.
            self._known = dataclasses.replace(self._known, revision=self._etcd.connection.seen)
        found, mod = await look(self._etcd, self._keys)
        why = problem(found, self._known)
        if why is not None:
            stored = found.epoch.number if found.epoch else 0
            served = self._known.epoch.number if self._known else 0
            error = EpochNeeded(why, self._endpoints, served if served > stored else 0)
            if self._known is not None:
                self._known = dataclasses.replace(self._known, went_back=went_back(found, self._known))
            self._etcd.connection.refuse(str(error))
            raise error
        return found, mod


async def look(etcd: Etcd, keys: Keys, timeout: float = ATTEMPT_S) -> tuple[Found, int]:
    """What the store says of itself, and the mod_revision of its epoch (0: none). `timeout` (seconds) is each
    call's, here and below. Raises EtcdError.

    Only reads: what makes entries in etcd's log and no revisions would raise the lead of a restored store.
    """
    epoch = await _read(etcd, timeout, keys.epoch)
    log = await _read(etcd, timeout, keys.log)
    records = keys.records()
    record = await _read(etcd, timeout, records.start, records.end)
    # After the others: so the member that answers has applied what they showed.
    status = await _status(etcd, timeout)
    found = Found(
        cluster=f"{epoch.header.cluster_id:x}",
        revision=epoch.header.revision,
        lead=status.raft_index - status.header.revision,
        epoch=decode(Epoch, epoch.kvs[0].value) if epoch.kvs else None,
        log=decode(Log, log.kvs[0].value) if log.kvs else None,
        profiles=bool(record.kvs),
    )
    return found, epoch.kvs[0].mod_revision if epoch.kvs else 0


async def least_lead(etcd: Etcd, keys: Keys, timeout: float = ATTEMPT_S) -> int:
    """A lead that the store has reached, and will not fall below. Raises EtcdError."""
    status = await _status(etcd, timeout)
    # The revision is read later than the log, so the difference is rather too small.
    return status.raft_applied_index - (await _read(etcd, timeout, keys.epoch)).header.revision


async def write(etcd: Etcd, request: Txn, timeout: float = ATTEMPT_S) -> bool:
    """Send a Txn to whatever cluster answers; whether its conditions held. Raises EtcdError."""
    answer = await etcd.connection.unary(
        "/etcdserverpb.KV/Txn", request, wire.TxnResponse, timeout, checked=False
    )
    return answer.succeeded


async def _read(etcd: Etcd, timeout: float, key: bytes, end: bytes = b"") -> wire.RangeResponse:
    return await etcd.connection.unary(
        "/etcdserverpb.KV/Range",
        wire.RangeRequest(key=key, range_end=end, limit=1),
        wire.RangeResponse,
        timeout,
        checked=False,
    )


async def _status(etcd: Etcd, timeout: float) -> wire.StatusResponse:
    return await etcd.connection.unary(
        "/etcdserverpb.Maintenance/Status",
        wire.StatusRequest(),
        wire.StatusResponse,
        timeout,
        checked=False,
    )
