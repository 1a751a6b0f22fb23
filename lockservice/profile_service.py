"""tenure.v1.ProfileService: reads, explains and switches. What it leaves out answers UNIMPLEMENTED."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import islice
from typing import Any

import grpc.aio
import structlog

from lockservice import configs, explaining, fields, paging
from lockservice.calls import deadline
from lockservice.core import cursor, usage
from lockservice.core.cursor import Scope
from lockservice.core.decision import Decision
from lockservice.core.document import decode
from lockservice.core.explain import explain
from lockservice.core.record import Record, State
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Settings
from lockservice.encode import profile_message, waiter_message
from lockservice.etcd.txn import KeyRange
from lockservice.granter import now_ms
from lockservice.replica import Replica
from lockservice.watching import Bookmark, Shown
from lockservice.workers import Workers
from servicekit.call import current_identity, require_role
from tenure import names
from tenure.errors import InvalidField, InvalidId, NotFound
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName
from tenure.v1 import hold_pb2, profile_pb2
from tenure.v1 import profile_service_pb2 as pb
from tenure.v1.profile_service_pb2_grpc import ProfileServiceServicer

# Of a queue so many places are shown to those who watch.
MAX_SHOWN = 100

_log = structlog.get_logger("profiles")

_Context = grpc.aio.ServicerContext[Any, Any]


class ProfileServicer(ProfileServiceServicer):
    """Profiles, read from etcd; the number of waiters is this replica's latest knowledge."""

    def __init__(self, replica: Replica, workers: Workers) -> None:
        self._replica = replica
        self._workers = workers

    async def GetProfile(self, request: pb.GetProfileRequest, context: _Context) -> pb.GetProfileResponse:
        profile = fields.profile(request.profile, current_identity())
        return pb.GetProfileResponse(profile=await self._read(profile))

    async def ListProfiles(
        self, request: pb.ListProfilesRequest, context: _Context
    ) -> pb.ListProfilesResponse:
        tenant = names.check_parent(request.parent, current_identity().tenant)
        size = fields.number(request.page_size, "page_size", low=0, high=paging.MAX) or paging.DEFAULT
        if request.state not in hold_pb2.ProfileState.values():
            raise InvalidField(
                field="state",
                value=str(int(request.state)),
                problem="is not a ProfileState",
                remedy="send one of the API's states, or leave it out for all",
            )
        keys = self._replica.keys
        start, end = keys.records(tenant)
        if request.page_token:
            start = keys.record(ProfileName(tenant, _after(request.page_token))) + b"\0"
        profiles: list[profile_pb2.Profile] = []
        more = True
        # A page is filled, though the state that is asked for may be rare.
        while more and len(profiles) < size:
            read = self._replica.etcd.kv.read(KeyRange(start, end), _left(), limit=size)
            page = await self._replica.committer.read(read)
            more = page.more
            for kv in page.kvs:
                message = self._message(kv, self._replica.mirror.settings(self._named(kv)))
                start = kv.key + b"\0"
                if request.state in (hold_pb2.PROFILE_STATE_UNSPECIFIED, message.state):
                    profiles.append(message)
                if len(profiles) == size:
                    more = more or kv is not page.kvs[-1]
                    break
        next_token = paging.token(keys.split(start[:-1])[2]) if more and profiles else ""
        return pb.ListProfilesResponse(profiles=profiles, next_page_token=next_token)

    async def WatchProfiles(
        self, request: pb.WatchProfilesRequest, context: _Context
    ) -> AsyncIterator[pb.WatchProfilesResponse]:
        identity = current_identity()
        tenant = names.check_parent(request.parent, identity.tenant)
        profile = fields.profile(request.profile, identity) if request.profile else None
        reached = cursor.parse(request.resume_cursor)
        await self._replica.committer.until_loaded(deadline())
        if profile is not None:
            await self._until_known(profile)
        scope = Scope(profile.tenant if profile else tenant, profile, request.queues)
        async with aclosing(self._replica.watching.follow(scope, reached)) as items:
            async for item in items:
                if isinstance(item, Bookmark):
                    yield pb.WatchProfilesResponse(bookmark=item.cursor)
                elif (message := self._shown(item, request.queues)) is not None:
                    yield message

    async def _until_known(self, profile: ProfileName) -> None:
        """Return when the mirror has a profile. Raises NotFound, StoreUnavailable."""
        replica = self._replica
        if replica.mirror.seen(profile) is None:
            read = replica.etcd.kv.get(replica.keys.record(profile), _left())
            if (found := await replica.committer.read(read)) is None:
                raise NotFound(name=str(profile))
            await replica.catch_up(found.mod_revision)

    def _shown(self, item: Shown, queues: bool) -> pb.WatchProfilesResponse | None:
        """A profile as the mirror has it now; None for one that it has not yet."""
        mirror = self._replica.mirror
        if (seen := mirror.seen(item.profile)) is None:
            return None
        queue = mirror.queue(item.profile)
        message = profile_message(item.profile, *seen, len(queue), mirror.settings(item.profile))
        shown = islice(queue, MAX_SHOWN if queues else 0)
        return pb.WatchProfilesResponse(
            snapshot=message if item.first else None,
            change=None if item.first else message,
            queue=[waiter_message(position, waiter) for position, waiter in enumerate(shown, 1)],
        )

    async def UpdateProfile(
        self, request: pb.UpdateProfileRequest, context: _Context
    ) -> pb.UpdateProfileResponse:
        identity = require_role("admin")
        profile = fields.profile(request.profile.name, identity)
        seen = fields.revision(request.profile.etag, "profile.etag")
        match frozenset(request.update_mask.paths):
            case paths if paths == {"state"}:
                await self._switch(profile, _wanted(request.profile), seen, identity.subject)
            case paths if paths and paths <= {"labels", "browser_config"}:
                wanted = configs.wanted(request.profile, paths, seen, identity.subject)
                await configs.change(self._replica, profile, wanted, deadline())
            case _:
                raise InvalidField(
                    field="update_mask",
                    value=",".join(request.update_mask.paths),
                    problem="names what cannot be changed, or not together",
                    remedy="send 'state' alone; or 'labels', 'browser_config' or both",
                )
        return pb.UpdateProfileResponse(profile=await self._read(profile))

    async def _switch(self, profile: ProfileName, wanted: State, seen: int, by: str) -> None:
        """Take a profile out of use, or back into it."""
        replica = self._replica

        def decide(snapshot: Snapshot) -> Decision[State]:
            return usage.decide(
                replica.keys, profile, snapshot, revision=seen, wanted=wanted, now_ms=now_ms()
            )

        await replica.committer.settle(Sight(keys=replica.keys, profile=profile), decide, deadline())
        _log.info("profile switched", profile=str(profile), state=wanted.value, by=by)

    async def _read(self, profile: ProfileName) -> profile_pb2.Profile:
        """A profile as etcd has it. Raises NotFound, StoreUnavailable."""
        kv, keys, read = self._replica.etcd.kv, self._replica.keys, self._replica.committer.read
        found, settings = await asyncio.gather(
            read(kv.get(keys.record(profile), _left())), read(kv.get(keys.settings(profile), _left()))
        )
        if found is None:
            raise NotFound(name=str(profile))
        return self._message(found, decode(Settings, settings.value) if settings else None)

    async def ExplainProfile(
        self, request: pb.ExplainProfileRequest, context: _Context
    ) -> pb.ExplainProfileResponse:
        profile = fields.profile(request.profile, current_identity())
        facts = await explaining.gather(self._replica, self._workers, profile, deadline())
        return explaining.message(facts, explain(facts, now_ms()))

    def _message(self, kv: wire.KeyValue, settings: Settings | None) -> profile_pb2.Profile:
        profile, mirror = self._named(kv), self._replica.mirror
        record = decode(Record, kv.value)
        return profile_message(profile, record, kv.mod_revision, len(mirror.queue(profile)), settings)

    def _named(self, kv: wire.KeyValue) -> ProfileName:
        _, tenant, name = self._replica.keys.split(kv.key)
        return ProfileName(tenant, name)


def _wanted(profile: profile_pb2.Profile) -> State:
    """The state that an update asks for. Raises InvalidField."""
    named = {hold_pb2.ProfileState.Value(f"PROFILE_STATE_{each.value}"): each for each in usage.SWITCHED}
    if profile.state not in named:
        raise InvalidField(
            field="profile.state",
            value=str(int(profile.state)),
            problem="is not one that a profile can be switched to",
            remedy="send PROFILE_STATE_DISABLED or PROFILE_STATE_AVAILABLE",
        )
    return named[profile.state]


def _left() -> float:
    return max(deadline() - asyncio.get_running_loop().time(), 0.001)


def _after(page_token: str) -> str:
    """The profile that a page token leads past. Raises InvalidField."""
    try:
        return names.canonical_id(paging.place(page_token), "page_token")
    except InvalidId:
        raise paging.not_ours(page_token) from None
