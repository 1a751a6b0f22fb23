"""Reads and Txns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from lockservice.etcd.connection import Connection
from lockservice.etcd.errors import NotSent, OutcomeUnknown, Rejected
from lockservice.etcd.txn import KeyRange, Txn
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

# One attempt of an idempotent call. Shorter than a frozen member takes to be noticed by pings, longer than a
# change of leader's usual second.
ATTEMPT_S = 2.0
_PAUSE_S = 0.05
# etcd counts all that is left of a range for each page of it (server/mvcc `rangeKeys`), so few and large.
_PAGE = 10_000


class Kv:
    """etcd's KV service."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def txn(self, request: Txn, timeout: float) -> wire.TxnResponse:
        """Send a Txn once. Raises NotSent, Rejected, OutcomeUnknown or ClusterChanged.

        After OutcomeUnknown only the identical, guarded Txn may be sent again: whoever decides knows whether
        it is guarded, so nothing is repeated here.
        """
        return await self._connection.unary("/etcdserverpb.KV/Txn", request, wire.TxnResponse, timeout)

    async def range(self, request: wire.RangeRequest, timeout: float) -> wire.RangeResponse:
        """Read, again and again until `timeout` (seconds). Raises NotSent, Rejected or ClusterChanged."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            attempt = max(min(ATTEMPT_S, end - loop.time()), 0.001)
            try:
                return await self._connection.unary(
                    "/etcdserverpb.KV/Range", request, wire.RangeResponse, attempt
                )
            except (NotSent, OutcomeUnknown) as error:
                if loop.time() >= end:
                    raise NotSent(f"no answer to a read: {error}") from None
            except Rejected as error:
                if not error.no_leader or loop.time() >= end:
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def get(self, key: bytes, timeout: float) -> wire.KeyValue | None:
        """Read one key, linearizably. Raises as `range`."""
        answer = await self.range(wire.RangeRequest(key=key), timeout)
        return answer.kvs[0] if answer.kvs else None

    async def read(
        self, keys: KeyRange, timeout: float, *, limit: int = 0, revision: int = 0
    ) -> wire.RangeResponse:
        """Read a range by key. Raises as `range`."""
        return await self.range(
            wire.RangeRequest(key=keys.start, range_end=keys.end, limit=limit, revision=revision), timeout
        )

    async def newest(
        self, keys: KeyRange, timeout: float, *, limit: int, created_before: int = 0
    ) -> wire.RangeResponse:
        """Read a range, what was created last first. Raises as `range`.

        etcd sorts the whole range for each page of it (etcd server/etcdserver/txn `executeRange`).
        """
        return await self.range(
            wire.RangeRequest(
                key=keys.start,
                range_end=keys.end,
                limit=limit,
                sort_order=wire.RangeRequest.SORT_ORDER_DESCEND,
                sort_target=wire.RangeRequest.SORT_TARGET_CREATE,
                max_create_revision=created_before - 1 if created_before else 0,
            ),
            timeout,
        )

    async def pages(
        self, ranges: tuple[KeyRange, ...], timeout: float
    ) -> AsyncGenerator[tuple[int, Sequence[wire.KeyValue]], None]:
        """Read ranges whole, in pages, each told with the one revision that all are of.

        `timeout` (seconds) is a page's. Raises as `range`; Rejected also when the revision is compacted
        meanwhile.
        """
        revision = 0
        for keys in ranges:
            start, more = keys.start, True
            while more:
                page = await self.read(KeyRange(start, keys.end), timeout, limit=_PAGE, revision=revision)
                revision = revision or page.header.revision
                yield revision, page.kvs
                more = page.more
                if page.kvs:
                    start = page.kvs[-1].key + b"\0"
