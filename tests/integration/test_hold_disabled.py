"""A profile out of use: an administrator's switch, guarded by what was read, on a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenure import errors
from tenure.v1 import profile_service_pb2 as pb
from tenure.v1.hold_pb2 import PROFILE_STATE_AVAILABLE, PROFILE_STATE_DISABLED, ProfileState
from tenure.v1.profile_pb2 import Profile
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running

ALICE = "alice:linkedin"


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


async def switch(a: Running, etag: str, state: ProfileState.ValueType, *mask: str) -> Profile:
    request = pb.UpdateProfileRequest(profile=Profile(name=ALICE, etag=etag, state=state))
    request.update_mask.paths.extend(mask or ("state",))
    answer = await a.call(a.profiles.UpdateProfile, request)
    assert isinstance(answer.profile, Profile)
    return answer.profile


async def free(a: Running) -> Profile:
    """A profile that was held and released."""
    hold = await a.acquire(ALICE, await a.worker())
    await a.release(hold)
    answer = await a.call(a.profiles.GetProfile, pb.GetProfileRequest(profile=ALICE))
    assert isinstance(answer.profile, Profile)
    return answer.profile


async def test_a_disabled_profile_is_refused_until_it_is_taken_back_into_use(a: Running) -> None:
    worker = await a.worker()
    off = await switch(a, (await free(a)).etag, PROFILE_STATE_DISABLED)
    assert off.state == PROFILE_STATE_DISABLED
    with pytest.raises(errors.ProfileDisabled):
        await a.acquire(ALICE, worker)

    on = await switch(a, off.etag, PROFILE_STATE_AVAILABLE)
    assert on.state == PROFILE_STATE_AVAILABLE
    assert (await a.acquire(ALICE, worker)).fencing_token


async def test_a_switch_on_old_news_changes_nothing_and_one_repeated_is_answered(a: Running) -> None:
    before = await free(a)
    off = await switch(a, before.etag, PROFILE_STATE_DISABLED)
    with pytest.raises(errors.InvalidField) as refusal:
        await switch(a, before.etag, PROFILE_STATE_AVAILABLE)
    assert refusal.value.field == "profile.etag"
    assert await switch(a, before.etag, PROFILE_STATE_DISABLED) == off


async def test_two_switches_on_the_same_news_are_one(a: Running) -> None:
    off = await switch(a, (await free(a)).etag, PROFILE_STATE_DISABLED)
    both = await asyncio.gather(*(switch(a, off.etag, PROFILE_STATE_AVAILABLE) for _ in range(2)))
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("etag", "state", "mask", "field"),
    [
        ("x", PROFILE_STATE_DISABLED, "state", "profile.etag"),
        ("1", ProfileState.PROFILE_STATE_HELD, "state", "profile.state"),
        ("1", PROFILE_STATE_DISABLED, "holder", "update_mask"),
        ("1", PROFILE_STATE_DISABLED, "state", "profile.state"),
    ],
)
async def test_what_cannot_be_switched_is_named(
    a: Running, etag: str, state: ProfileState.ValueType, mask: str, field: str
) -> None:
    hold = await a.acquire(ALICE, await a.worker())
    with pytest.raises(errors.InvalidField) as refusal:
        await switch(a, etag, state, mask)
    assert refusal.value.field == field
    assert (await a.verify(hold)).fencing_token == hold.fencing_token
