"""The epoch in etcd: begun once, raised by hand after a restore, and good for one cluster.

A restored backup has forgotten grants, and would issue their tokens again. It has another cluster id than the
one that is stored beside the epoch; so a replica that finds them differ serves nothing until the epoch was
raised, which puts every later token above every earlier one.
"""

from __future__ import annotations

from lockservice.core.document import decode, encode
from lockservice.core.keys import Keys
from lockservice.core.record import Record
from lockservice.core.stored import Epoch
from lockservice.etcd.client import Etcd
from lockservice.etcd.kv import ATTEMPT_S
from lockservice.etcd.txn import get, mod_is, put, txn
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.token import MAX_EPOCH


class EpochNeeded(Exception):
    """This cluster must not be served before somebody raised the epoch."""

    def __init__(self, why: str, endpoints: str) -> None:
        super().__init__(
            f"{why}. If it was restored from a backup, run "
            f"`python -m lockservice raise-epoch --etcd={endpoints}`: every hold becomes suspect, "
            "and no token is ever issued twice"
        )


async def establish(etcd: Etcd, keys: Keys, endpoints: str) -> None:
    """Begin the epoch in an empty store, or check that the store is the one it was begun or raised in.

    From then on the connection refuses answers of any other cluster. Raises EpochNeeded or EtcdError.
    """
    answer, epoch, mod = await _read(etcd, keys)
    cluster = f"{answer.header.cluster_id:x}"
    if epoch is None:
        records = keys.records()
        if (await etcd.kv.read(records, ATTEMPT_S, limit=1)).kvs:
            raise EpochNeeded("the store has profiles but no epoch", endpoints)
        fresh = Epoch(number=0, cluster=cluster)
        # Guarded, so of several replicas that start at once one begins it and the others read it.
        await etcd.kv.txn(txn([mod_is(keys.epoch, mod)], [put(keys.epoch, encode(fresh))]), ATTEMPT_S)
        _, epoch, _ = await _read(etcd, keys)
    if epoch is None or epoch.cluster != cluster:
        was = epoch.cluster if epoch else "none"
        raise EpochNeeded(f"etcd cluster {cluster} answers, but the epoch is of cluster {was}", endpoints)
    etcd.connection.cluster_id = answer.header.cluster_id


async def raise_epoch(etcd: Etcd, keys: Keys) -> int:
    """Raise the epoch above every one that is stored, and bind it to this cluster. Returns it.

    Raises EtcdError; ValueError when there is none left; run it again after an unclear outcome: higher is
    never wrong.
    """
    answer, epoch, mod = await _read(etcd, keys)
    highest = epoch.number if epoch else 0
    records = keys.records()
    _, kvs = await etcd.kv.list((records,), ATTEMPT_S)
    highest = max([highest, *(decode(Record, kv.value).epoch for kv in kvs)])
    if highest >= MAX_EPOCH:
        raise ValueError(f"epoch {highest} is the last one")
    raised = Epoch(number=highest + 1, cluster=f"{answer.header.cluster_id:x}")
    done = await etcd.kv.txn(
        txn([mod_is(keys.epoch, mod)], [put(keys.epoch, encode(raised))], [get(keys.epoch)]), ATTEMPT_S
    )
    if not done.succeeded:
        raise ValueError("somebody else raised it at the same time; look at it before you raise it again")
    return raised.number


async def _read(etcd: Etcd, keys: Keys) -> tuple[wire.RangeResponse, Epoch | None, int]:
    answer = await etcd.connection.unary(
        "/etcdserverpb.KV/Range",
        wire.RangeRequest(key=keys.epoch),
        wire.RangeResponse,
        ATTEMPT_S,
        checked=False,
    )
    if not answer.kvs:
        return answer, None, 0
    return answer, decode(Epoch, answer.kvs[0].value), answer.kvs[0].mod_revision
