"""The etcd client whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from lockservice.etcd.connection import Connection, Tls
from lockservice.etcd.kv import Kv
from lockservice.etcd.lease import Leases
from lockservice.etcd.txn import KeyRange
from lockservice.etcd.watch import Watch


class Etcd:
    """Reads, Txns, leases and watches over one connection. Use it as `async with`."""

    def __init__(self, endpoints: Sequence[str], tls: Tls | None = None) -> None:
        self.connection = Connection(endpoints, tls)
        self.kv = Kv(self.connection)
        self.leases = Leases(self.connection)

    def watch(
        self,
        watched: KeyRange,
        listed: tuple[KeyRange, ...] = (),
        vouch: Callable[[], Awaitable[None]] | None = None,
    ) -> Watch:
        """Return a watch, to be iterated once. See Watch."""
        return Watch(self.connection, self.kv, watched, listed, vouch)

    async def aclose(self) -> None:
        """Close streams, then channels. Idempotent."""
        await self.leases.aclose()
        await self.connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
