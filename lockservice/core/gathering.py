"""Who goes into the next batch, and what a batch's answer says to each.

A batch is one Txn without conditions whose operations are its members' Txns. All their conditions see the
state before the batch, so two that could falsify each other's must not meet in one: were a release that saw
an empty queue and a join that saw a busy profile applied together, nobody would ever be granted to the one
who joined. Transitions only write, and only compare of what transitions write, keys of their own profile. So
one a profile is enough; it is the *lane*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from lockservice.etcd.txn import Txn, nested, txn
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

MAX_MEMBERS = 64
# etcd refuses requests above 1.5 MiB by default (server/embed `DefaultMaxRequestBytes`).
MAX_BYTES = 1024 * 1024
# etcd takes 128 operations a Txn by default, and of a Txn within another what the outer one has left of them
# (server/etcdserver/api/v3rpc `checkTxnRequest`).
MAX_OPS = 128
# So many come, at least, before those who left are looked for.
_SOME = 1000


class Waiting(Protocol):
    """One that waits for its batch. `size` in bytes; not `wanted` any more: it is left out and forgotten."""

    @property
    def tenant(self) -> str: ...
    @property
    def lane(self) -> Hashable: ...
    @property
    def size(self) -> int: ...
    @property
    def wanted(self) -> bool: ...


M = TypeVar("M", bound=Waiting)


class _Tenant(Generic[M]):
    """Lanes with somebody in them, those first whose turn it is; each in the order of arrival."""

    def __init__(self) -> None:
        self.turns: deque[Hashable] = deque()
        self.lanes: dict[Hashable, deque[M]] = {}
        self.count = 0

    def add(self, member: M) -> None:
        self.count += 1
        lane = self.lanes.get(member.lane)
        if lane is None:
            self.lanes[member.lane] = deque((member,))
            self.turns.append(member.lane)
        else:
            lane.append(member)

    def first(self) -> M | None:
        """The one whose turn it is; None when there is none, or only in lanes that had theirs."""
        while self.turns:
            lane = self.lanes[self.turns[0]]
            while lane and not lane[0].wanted:
                lane.popleft()
                self.count -= 1
            if lane:
                return lane[0]
            del self.lanes[self.turns.popleft()]
        return None

    def take(self) -> Hashable | None:
        """Take it out; returns its lane when somebody else waits in that."""
        name = self.turns.popleft()
        lane = self.lanes[name]
        lane.popleft()
        self.count -= 1
        if lane:
            return name
        del self.lanes[name]
        return None


class Gatherer(Generic[M]):
    """Those who wait. Tenants take turns, and within a tenant its lanes: neither a loud tenant nor a busy
    profile makes the others wait for all that it has.
    """

    def __init__(self, members: int = MAX_MEMBERS, size: int = MAX_BYTES) -> None:
        self._members = members
        self._size = size
        self._tenants: dict[str, _Tenant[M]] = {}
        self._turns: deque[str] = deque()
        # So many more may come before those who left are forgotten.
        self._patience = _SOME

    def __bool__(self) -> bool:
        return bool(self._tenants)

    @property
    def fills_a_batch(self) -> bool:
        """Whether as many wait as a batch takes."""
        return self.count >= self._members

    @property
    def count(self) -> int:
        """How many wait, some of them perhaps not wanted any more."""
        return sum(tenant.count for tenant in self._tenants.values())

    def add(self, member: M) -> None:
        """Let one more wait."""
        self._patience -= 1
        if self._patience < 0:
            self._forget()
        self._insert(member)

    def take(self) -> list[M]:
        """The next batch: at most one of a lane, within both limits; one that is too large by itself goes
        alone. Empty when nobody waits.
        """
        batch: list[M] = []
        room = self._size
        held_back: list[tuple[str, Hashable]] = []
        while self._turns and len(batch) < self._members:
            name = self._turns[0]
            tenant = self._tenants[name]
            member = tenant.first()
            if member is not None:
                if batch and member.size > room:
                    # It is the first of the next one, so large ones come through.
                    break
                if (lane := tenant.take()) is not None:
                    held_back.append((name, lane))
                batch.append(member)
                room -= member.size
            self._turns.popleft()
            if tenant.turns:
                self._turns.append(name)
            elif not tenant.lanes:
                del self._tenants[name]
        for name, lane in held_back:
            tenant = self._tenants[name]
            if not tenant.turns:
                self._turns.append(name)
            tenant.turns.append(lane)
        return batch

    def _insert(self, member: M) -> None:
        tenant = self._tenants.get(member.tenant)
        if tenant is None:
            tenant = self._tenants[member.tenant] = _Tenant()
            self._turns.append(member.tenant)
        tenant.add(member)

    def _forget(self) -> None:
        """Forget those who left: while etcd is away nothing is taken, and they would be ever more."""
        tenants, turns = self._tenants, self._turns
        self._tenants, self._turns = {}, deque()
        stayed = 0
        for tenant in (tenants[name] for name in turns):
            for member in (member for lane in tenant.turns for member in tenant.lanes[lane]):
                if member.wanted:
                    self._insert(member)
                    stayed += 1
        self._patience = max(_SOME, stayed)


def weight(request: Txn) -> int:
    """The size of a Txn in bytes; of one with more operations than a full batch has left, all that a batch
    may have, so that it goes alone.
    """
    return len(request.data) if request.width <= MAX_OPS - MAX_MEMBERS else MAX_BYTES


def outer(requests: Sequence[Txn]) -> Txn:
    """The Txn that does all of these, each by its own conditions; a single one stays what it is."""
    if len(requests) == 1:
        return requests[0]
    return txn([], [nested(request) for request in requests])


def split(answer: wire.TxnResponse, count: int) -> list[wire.TxnResponse]:
    """What `outer` of `count` Txns was answered, as each of them would have been by itself.

    Only the header's revision is given to each: that of whatever the batch wrote.
    """
    if count == 1:
        return [answer]
    parts = [response.response_txn for response in answer.responses]
    for part in parts:
        part.header.revision = answer.header.revision
    return parts
