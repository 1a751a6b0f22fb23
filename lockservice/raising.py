"""`python -m lockservice raise-epoch`: after a restore of etcd, or whenever its data went back in time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from lockservice.core.document import Unreadable, decode, encode
from lockservice.core.keys import Keys
from lockservice.core.record import Record, State
from lockservice.core.stored import Epoch, Log
from lockservice.epoch import RAISE_EPOCH, least_lead, look, write
from lockservice.etcd.client import Etcd
from lockservice.etcd.errors import EtcdError, NotSent
from lockservice.etcd.txn import mod_is, put, txn
from lockservice.settings import LockSettings
from servicekit.settings import load
from tenure.token import MAX_EPOCH

# A call's: an etcd that has just been restored is slow, and pages are large.
_PATIENCE_S = 10.0


class RaiseSettings(LockSettings):
    """Raises the epoch, the high part of every fencing token, so that no token is ever issued twice.

    For when etcd's data went back in time: restored from a snapshot, a data directory or disk put back as it
    was earlier, a member begun with --force-new-cluster. First end the old members for good; restore with a
    new --initial-cluster-token, and with --bump-revision=1000000000 --mark-compacted where etcdutl has them;
    start etcd; then run this with the replicas' --etcd and --etcd-prefix. Replicas may run meanwhile: they
    refuse to serve a restored store, and say so. But data that were put back without a restore look untouched
    to a replica that starts afterwards: raise the epoch before any does. Afterwards every hold in the store
    is suspect (RESTORED) and goes to recovery, which leaves it to a person; free profiles and queues go on.
    Holds that were granted after the backup are on no record: hosts cut their workers off within seconds,
    because no replica vouches for them.
    """

    above: int = Field(
        default=0,
        ge=0,
        le=MAX_EPOCH,
        description="the highest epoch that was ever raised: a backup older than that has forgotten it",
        examples=["3"],
    )


@dataclass
class Counted:
    """Of the profiles read: all, those held, and those that this version cannot read."""

    profiles: int = 0
    held: int = 0
    unreadable: int = 0
    highest_epoch: int = 0

    def add(self, value: bytes) -> None:
        self.profiles += 1
        try:
            record = decode(Record, value)
        except Unreadable:
            self.unreadable += 1
            return
        self.held += record.state is State.HELD
        self.highest_epoch = max(self.highest_epoch, record.epoch)


async def raise_epoch(
    etcd: Etcd, keys: Keys, above: int = 0, report: Callable[[Counted], None] = lambda _: None
) -> int:
    """Raise the epoch above `above` and every one that is stored, and bind it to the store as it is. Returns
    it.

    Reads the profiles in pages, and tells `report` after each. Raises EtcdError; ValueError
    when there is none left or somebody else raises it. Run it again after an unclear outcome: higher is never
    wrong.
    """
    found, mod = await look(etcd, keys, _PATIENCE_S)
    counted = await _count(etcd, keys, report)
    if found.epoch is None and counted.unreadable and not above:
        raise ValueError(
            f"the store has no epoch, and {counted.unreadable} profiles of a newer version: take that version"
        )
    highest = max(above, counted.highest_epoch, found.epoch.number if found.epoch else 0)
    if highest >= MAX_EPOCH:
        raise ValueError(f"epoch {highest} is the last one")
    epoch = Epoch(number=highest + 1, cluster=found.cluster)
    log = Log(lead=await least_lead(etcd, keys, _PATIENCE_S))
    raised = [put(keys.epoch, encode(epoch)), put(keys.log, encode(log))]
    if not await write(etcd, txn([mod_is(keys.epoch, mod)], raised), _PATIENCE_S):
        raise ValueError("somebody else raised it at the same time; look at it before you raise it again")
    return epoch.number


async def _count(etcd: Etcd, keys: Keys, report: Callable[[Counted], None]) -> Counted:
    counted = Counted()
    async for _, kvs in etcd.kv.pages((keys.records(),), _PATIENCE_S):
        for kv in kvs:
            counted.add(kv.value)
        report(counted)
    return counted


def main(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Raise it, say so, and exit: 0 done, 1 not done for certain, 2 wrong settings."""
    settings = load(RaiseSettings, argv, environ, program=f"python -m lockservice {RAISE_EPOCH}")
    try:
        number = asyncio.run(_raise(settings))
    except (EtcdError, ValueError, Unreadable) as error:
        unchanged = isinstance(error, NotSent | ValueError | Unreadable)
        sys.exit(f"The epoch was not raised{'' if unchanged else ' for certain'}: {error}")
    print(
        f"The epoch is {number}; keep the number with your backups. Every hold of before becomes suspect, "
        "and all later tokens are above all earlier ones."
    )


async def _raise(settings: RaiseSettings) -> int:
    async with Etcd(settings.endpoints, settings.tls) as etcd:
        return await raise_epoch(etcd, Keys(settings.etcd_prefix), settings.above, _report)


def _report(counted: Counted) -> None:
    unreadable = f", {counted.unreadable} of another version" if counted.unreadable else ""
    print(f"read {counted.profiles} profiles, {counted.held} held{unreadable}", file=sys.stderr, flush=True)
