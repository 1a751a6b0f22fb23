"""Whether a store is the one that was served before, or one that has forgotten writes.

A restored backup has forgotten grants and would issue their tokens again. Three things tell:

- The cluster id, which stands beside the epoch. It is made of the members' peer addresses and the cluster's
  token (etcd `server/etcdserver/api/membership`), so a restore at the same address has the *same* one.
- The lead, by which etcd's raft log is ahead of its revision. Every revision takes an entry of the log and
  some entries make none, so it never falls while a cluster lives. A restore begins a new log near 1 and keeps
  the revision: the lead falls by about as many writes as the backup has.
- What this very process has seen: a revision that goes down, or an epoch that does.

What nothing here can tell to a process that has just started: a data directory that was put back as it was
earlier, log and all. It *is* the store of then.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockservice.core.stored import Epoch, Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a store says of itself. `lead` is now's, `profiles`: whether it has any record."""

    cluster: str
    revision: int
    lead: int
    epoch: Epoch | None
    log: Log | None
    profiles: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What this process has served: the epoch with its cluster, the highest revision seen, and, once it saw
    that the store had gone back, how: it may since have come as far again, on another way.
    """

    epoch: Epoch
    revision: int
    went_back: str | None = None


def problem(found: Found, known: Known | None) -> str | None:
    """Why a store must not be served before somebody raised the epoch; None when it may be."""
    if known is not None and (why := went_back(found, known)) is not None:
        return why
    if found.epoch is None:
        return "the store has profiles but no epoch" if found.profiles else None
    if found.epoch.cluster != found.cluster:
        return f"etcd cluster {found.cluster} answers, but the epoch is of cluster {found.epoch.cluster}"
    # A version that knew of no leads may have begun the epoch: then this tells only that there was a restore.
    least = found.log.lead if found.log else 0
    if found.lead < least:
        return (
            f"etcd's log is younger than its data: it was at least {least} entries ahead of the revision, "
            f"and is {found.lead} ahead of revision {found.revision}, so they come from a backup"
        )
    return None


def went_back(found: Found, known: Known) -> str | None:
    """What of the store this process knows better; None when nothing."""
    number = known.epoch.number
    if found.epoch is not None and found.epoch.number > number:
        return None
    if known.went_back is not None:
        return known.went_back
    if found.epoch is None:
        return f"the store has no epoch, and this replica has served it in epoch {number}"
    if found.epoch.number < number:
        return f"the store is in epoch {found.epoch.number}, and this replica has served it in epoch {number}"
    if found.cluster != known.epoch.cluster:
        return f"etcd cluster {found.cluster} answers, and this replica has served {known.epoch.cluster}"
    if found.revision < known.revision:
        return f"the store is at revision {found.revision}, and this replica has seen {known.revision}"
    return None
