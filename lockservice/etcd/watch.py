"""A watch that outlives its streams: it resumes exactly, and says when it had to begin anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf.message import Message

from lockservice.etcd.connection import REQUIRE_LEADER, Connection, cancelled_by_caller
from lockservice.etcd.errors import ClusterChanged, Compacted, EtcdError, OutcomeUnknown, Refused, classify
from lockservice.etcd.kv import ATTEMPT_S, Kv
from lockservice.etcd.txn import KeyRange
from tenure.etcdwire.v1 import etcdwire_pb2 as wire

_PAUSE_S = 0.1
_Stream = grpc.aio.StreamStreamCall[Message, wire.WatchResponse]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of all there is; the `first` one of a Snapshot to come. One that began earlier will not come."""

    kvs: Sequence[wire.KeyValue]
    first: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All there is as of `revision` came in the Pages before. First of all, and again whenever history was
    lost: forget what was known before.
    """

    revision: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Events in order, those of one revision never torn apart; `revision` is the last one's."""

    revision: int
    events: list[wire.Event]


@dataclass(frozen=True, slots=True)
class Lost:
    """etcd cannot be heard: what is known grows old. Resumed or a Snapshot follows."""

    error: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """etcd is heard (again); nothing was missed."""


Item = Page | Snapshot | Changes | Lost | Resumed


class Watch:
    """Iterate it to follow `watched`. `listed` (default: the same) is what a Snapshot reads: a watch has one
    range only, which may contain keys that are not worth listing.

    `vouch` is awaited before each stream, since what answers now may have been replaced while nothing was
    heard, and again once the stream has begun: it may have been replaced just before that, and from then on
    the stream breaks when it is. Raises ClusterChanged or Refused, and what `vouch` raises but for other
    EtcdErrors: what was seen of another store says nothing of this one.
    """

    def __init__(
        self,
        connection: Connection,
        kv: Kv,
        watched: KeyRange,
        listed: tuple[KeyRange, ...] = (),
        vouch: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._connection = connection
        self._kv = kv
        self._watched = watched
        self._listed = listed or (watched,)
        self._vouch = vouch
        # First revision not yet delivered. None: list first.
        self._position: int | None = None

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        while True:
            try:
                if self._vouch is not None:
                    await self._vouch()
                if self._position is None:
                    revision = 0
                    async for at, kvs in self._kv.pages(self._listed, ATTEMPT_S):
                        yield Page(kvs, first=not revision)
                        revision = at
                    self._position = revision + 1
                    yield Snapshot(revision)
                async for item in self._stream(self._position):
                    yield item
            except Compacted:
                self._position = None
            except (ClusterChanged, Refused):
                raise
            except EtcdError as error:
                yield Lost(str(error))
                await asyncio.sleep(_PAUSE_S)

    async def _stream(self, start: int) -> AsyncIterator[Item]:
        """One stream, until it breaks (EtcdError)."""
        channel = await self._connection.ready(ATTEMPT_S)
        stream: _Stream = channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=wire.WatchRequest.SerializeToString,
            response_deserializer=wire.WatchResponse.FromString,
        )(metadata=REQUIRE_LEADER)
        try:
            await stream.write(
                wire.WatchRequest(
                    create_request=wire.WatchCreateRequest(
                        key=self._watched.start,
                        range_end=self._watched.end,
                        start_revision=start,
                        progress_notify=True,
                        fragment=True,
                    )
                )
            )
            torn: list[wire.Event] = []
            async for response in stream:
                self._connection.check(response.header)
                if response.created:
                    if response.header.revision < start - 1:
                        # The store is younger than what was seen of it: it would be silent until it caught
                        # up.
                        raise Compacted(response.header.revision)
                    if self._vouch is not None:
                        await self._vouch()
                    yield Resumed()
                elif response.canceled:
                    raise _end_of(response)
                else:
                    torn.extend(response.events)
                    if not response.fragment:
                        changes, torn = torn, []
                        if (item := self._advance(response, changes)) is not None:
                            yield item
            raise OutcomeUnknown("etcd ended the watch stream")
        except grpc.aio.AioRpcError as error:
            raise classify(error) from None
        except asyncio.InvalidStateError as error:
            raise OutcomeUnknown(f"the watch stream broke: {error}") from None
        except asyncio.CancelledError:
            if cancelled_by_caller():
                raise
            raise OutcomeUnknown("the channel was closed under the watch") from None
        finally:
            stream.cancel()

    def _advance(self, response: wire.WatchResponse, events: list[wire.Event]) -> Changes | None:
        """Move on past what was received whole.

        At the last event's revision, not the header's: a watcher that catches up gets its history in batches
        whose header is already ahead of them. An answer without events is a progress notice, and there the
        header counts.
        """
        if not events:
            self._position = max(self._position or 0, response.header.revision + 1)
            return None
        revision = events[-1].kv.mod_revision
        self._position = revision + 1
        return Changes(revision, events)


def _end_of(response: wire.WatchResponse) -> EtcdError:
    if response.compact_revision:
        return Compacted(response.compact_revision)
    return OutcomeUnknown(f"etcd cancelled the watch: {response.cancel_reason or 'no reason given'}")
