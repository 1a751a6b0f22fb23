"""A backup that is restored under the replicas: no token is issued twice, no hold is kept for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.explore import Model, Move

FREE, HELD, SUSPECTED = "AVAILABLE", "HELD", "SUSPECTED_STALE"
Token = tuple[int, int]
NONE: Token = (0, 0)


class Store(NamedTuple):
    """etcd: p with its revision, and the epoch key, which says for which cluster it is good."""

    state: str = FREE
    revision: int = 1
    token_epoch: int = 0
    epoch: int = 0
    epoch_of: int = 0


class Txn(NamedTuple):
    """A grant on its way: what its replica had seen, and which cluster it speaks to."""

    revision: int
    epoch: int
    cluster: int


class World(NamedTuple):
    store: Store = Store()
    cluster: int = 0
    backup: Store | None = None
    seen: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    """The epoch and the cluster that each replica goes by."""
    flying: tuple[Txn | None, ...] = (None, None)
    highest: Token = NONE
    """The highest token that anybody was told."""
    owner: Token = NONE
    """The token of the last owner that was told one."""
    grants: int = 2
    restores: int = 1


class Epoch(Model[World]):
    """The rules of tokens."""

    NAME = "epoch"

    def start(self) -> World:
        return World(grants=4) if self.large else World(grants=3)

    def moves(self, s: World) -> Iterator[Move[World]]:
        for index in range(2):
            yield from self.replica_moves(s, index)
        store = s.store
        if s.backup is None:
            yield Move("a backup of the store is taken", s._replace(backup=store), must=False)
        elif s.restores:
            # Connections end with the old cluster, and what was on them.
            restored = s._replace(
                store=s.backup, cluster=s.cluster + 1, flying=(None, None), restores=s.restores - 1
            )
            yield Move("the backup is restored as a new cluster", restored, must=False)
        if store.epoch_of != s.cluster:
            raised = store._replace(epoch=store.epoch + 1, epoch_of=s.cluster)
            yield Move(f"a person raises the epoch to {raised.epoch}", s._replace(store=raised))
        if store.state == HELD and self._told(s) == s.owner:
            freed = s._replace(store=store._replace(state=FREE, revision=store.revision + 1))
            yield Move("the owner releases", freed)
        if store.state == SUSPECTED:
            freed = s._replace(store=store._replace(state=FREE, revision=store.revision + 1))
            yield Move("recovery frees the profile", freed)

    def _told(self, s: World) -> Token:
        return (s.store.token_epoch, s.store.revision)

    def replica_moves(self, s: World, index: int) -> Iterator[Move[World]]:
        (epoch, cluster), store, name = s.seen[index], s.store, f"replica {index}"
        txn = s.flying[index]
        serves = cluster == s.cluster == store.epoch_of or not self.keeps("tokens-cluster-is-checked")
        if (epoch, cluster) != (store.epoch, s.cluster) and store.epoch_of == s.cluster:
            learnt = _at(s.seen, index, (store.epoch, s.cluster))
            yield Move(f"{name} learns of epoch {store.epoch}", s._replace(seen=learnt))
        if store.state == FREE and s.grants and txn is None:
            decided = Txn(store.revision, epoch, cluster)
            sent = s._replace(flying=_at(s.flying, index, decided), grants=s.grants - 1)
            yield Move(
                f"{name} decides a grant at revision {store.revision} in epoch {epoch}", sent, must=False
            )
        if txn is not None:
            yield self._arrives(s._replace(flying=_at(s.flying, index, None)), txn, name, serves=serves)
        stale = store.state == HELD and store.token_epoch != store.epoch and epoch == store.epoch
        if stale and serves and self.keeps("tokens-old-holds-are-suspected"):
            suspect = store._replace(state=SUSPECTED, revision=store.revision + 1)
            yield Move(
                f"{name} finds a hold of an earlier epoch: suspected, RESTORED", s._replace(store=suspect)
            )

    def _arrives(self, s: World, txn: Txn, name: str, *, serves: bool) -> Move[World]:
        store = s.store
        same_epoch = txn.epoch == store.epoch or not self.keeps("tokens-epoch-is-compared")
        if store.state != FREE or store.revision != txn.revision or not same_epoch:
            return Move(f"the grant of {name} fails its compares", s)
        token = (txn.epoch, store.revision + 1)
        after = s._replace(store=store._replace(state=HELD, revision=token[1], token_epoch=txn.epoch))
        if not serves:
            return Move(f"{name} is answered by a cluster that it does not know, and tells nobody", after)
        wrong = "an old token is issued again" if token <= s.highest else ""
        told = after._replace(highest=max(s.highest, token), owner=token)
        return Move(f"{name} grants token {token[1]} of epoch {token[0]}", told, wrong=wrong)

    def wrong_at_rest(self, s: World) -> str:
        return "held for ever by nobody" if s.store.state == HELD else ""


def _at(items: tuple[object, ...], index: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:index], value, *items[index + 1 :])
