from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock

import grpc.aio
import pytest

from gateway.holds import Releases
from gateway.release import Releaser
from servicekit import call
from tenure import errors
from tenure.internal.v1.browser_host_service_pb2 import CloseHoldRequest
from tenure.internal.v1.lock_service_pb2 import ReleaseDrainedRequest, SuspectHoldRequest
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold, ProfileState, RunResult
from tenure.v1.hold_service_pb2 import (
    CancelOutcome,
    CancelWaitRequest,
    ReleaseHoldRequest,
    ReleaseHoldsRequest,
)
from tenure.v1.incident_pb2 import SuspicionCause
from tests.gateway.conftest import System
from tests.gateway.fakes import Record, raising

P = ProfileName("default", "p")
SUCCEEDED = RunResult.RUN_RESULT_SUCCEEDED


def hold(system: System, token: int, home: str = "", profile: ProfileName = P) -> None:
    held = Hold(fencing_token=token, profile=str(profile), home=home)
    system.lock.profiles[str(profile)] = Record(home=home, holds=[held], held=True)


async def release_as_in_a_call(system: System, token: int, patience_s: float = 0) -> Any:
    call.identify(call.DEV_IDENTITY)
    call.limit(30)
    return await Releaser(system.backends, patience_s).release(P, token, SUCCEEDED)


async def test_a_hold_with_a_home_is_drained_there_before_it_is_released(system: System) -> None:
    hold(system, 5, "hosts/b")
    answer = await system.holds.ReleaseHold(ReleaseHoldRequest(profile="p", fencing_token=5))
    assert answer.state == ProfileState.PROFILE_STATE_AVAILABLE
    [closed] = system.hosts[1].record.of(CloseHoldRequest)
    assert (closed.profile, closed.fencing_token) == (str(P), 5)
    [drained] = system.lock.record.of(ReleaseDrainedRequest)
    assert drained.release.result == SUCCEEDED
    assert drained.HasField("flushed_at")


async def test_a_hold_without_a_home_is_released_at_the_lock_service(system: System) -> None:
    hold(system, 5)
    await system.holds.ReleaseHold(ReleaseHoldRequest(profile="p", fencing_token=5))
    assert not system.lock.record.of(ReleaseDrainedRequest)
    assert not system.lock.profiles[str(P)].held


async def test_a_home_that_the_replica_asked_had_not_heard_of_is_drained_too(system: System) -> None:
    hold(system, 5)
    lives = errors.DrainRequired(profile=str(P), home="hosts/b", token=5)
    system.lock.record.hooks["ReleaseHoldRequest"] = raising(lives)
    await system.holds.ReleaseHold(ReleaseHoldRequest(profile="p", fencing_token=5))
    [closed] = system.hosts[1].record.of(CloseHoldRequest)
    assert closed.fencing_token == 5
    assert len(system.lock.record.of(ReleaseDrainedRequest)) == 1


async def test_a_cancel_that_finds_a_grant_releases_it_through_its_host(system: System) -> None:
    hold(system, 5, "hosts/a")
    system.lock.profiles[str(P)].holds[0].request_id = "r1"
    cancel = CancelWaitRequest(profile=str(P), worker="workers/w", request_id="r1")
    answer = await system.holds.CancelWait(cancel)
    assert answer.outcome == CancelOutcome.CANCEL_OUTCOME_RELEASED
    [closed] = system.hosts[0].record.of(CloseHoldRequest)
    assert closed.fencing_token == 5
    assert not system.lock.profiles[str(P)].held


async def test_releasing_twice_is_told_and_harmless(system: System) -> None:
    hold(system, 5, "hosts/a")
    request = ReleaseHoldRequest(profile="p", fencing_token=5)
    assert not (await system.holds.ReleaseHold(request)).already_released
    assert (await system.holds.ReleaseHold(request)).already_released


async def test_a_host_that_is_away_makes_the_hold_suspect_not_free(system: System) -> None:
    hold(system, 5, "hosts/a")
    await system.host_servers[0].drain()
    with pytest.raises(errors.HostUnreachable) as caught:
        await release_as_in_a_call(system, 5)
    assert "became suspect" in str(caught.value)
    [suspect] = system.lock.record.of(SuspectHoldRequest)
    assert suspect.cause == SuspicionCause.SUSPICION_CAUSE_HOST_UNREACHABLE
    assert system.lock.profiles[str(P)].suspect == {5}
    assert not system.lock.record.of(ReleaseDrainedRequest)


async def test_a_hold_already_released_stays_so_when_its_host_is_away(system: System) -> None:
    system.lock.profiles[str(P)] = Record(home="hosts/gone", released={5})
    released, _ = await release_as_in_a_call(system, 5)
    assert released.already_released


async def test_an_old_token_is_told_as_such_when_its_host_is_away(system: System) -> None:
    hold(system, 8, "hosts/gone")
    with pytest.raises(errors.TokenSuperseded):
        await release_as_in_a_call(system, 5)
    assert system.lock.profiles[str(P)].held


async def test_a_host_that_comes_back_in_time_is_waited_for(system: System) -> None:
    hold(system, 5, "hosts/a")
    broken = raising(errors.OutcomeUnknown())

    async def recover() -> None:
        system.host.record.hooks.clear()
        await broken()

    system.host.record.hooks["CloseHoldRequest"] = recover
    await release_as_in_a_call(system, 5, patience_s=10)
    assert len(system.host.record.of(CloseHoldRequest)) == 2
    assert not system.lock.record.of(SuspectHoldRequest)


async def test_a_host_that_cannot_drain_keeps_the_hold(system: System) -> None:
    hold(system, 5, "hosts/a")
    system.host.record.hooks["CloseHoldRequest"] = raising(errors.DiskFull(path="/data"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.holds.ReleaseHold(ReleaseHoldRequest(profile="p", fencing_token=5))
    assert isinstance(errors.from_rpc_error(caught.value), errors.DiskFull)
    assert system.lock.profiles[str(P)].held


async def test_releases_in_bulk_answer_each_for_itself(system: System) -> None:
    hold(system, 5, "hosts/a")
    hold(system, 6, profile=ProfileName("default", "q"))
    hold(system, 7, profile=ProfileName("default", "r"))
    answer = await system.holds.ReleaseHolds(
        ReleaseHoldsRequest(
            requests=[
                ReleaseHoldRequest(profile="r", fencing_token=7),
                ReleaseHoldRequest(profile="p", fencing_token=5),
                ReleaseHoldRequest(profile="q", fencing_token=1),
                ReleaseHoldRequest(profile="..", fencing_token=1),
            ]
        )
    )
    without_host, through_host, old, bad = answer.results
    assert without_host.response.state == ProfileState.PROFILE_STATE_AVAILABLE
    assert through_host.response.state == ProfileState.PROFILE_STATE_AVAILABLE
    assert isinstance(errors.from_status(old.error), errors.TokenSuperseded)
    assert isinstance(errors.from_status(bad.error), errors.InvalidId)


async def test_releases_in_bulk_drain_what_has_a_home_and_send_the_rest_in_one_message(
    system: System,
) -> None:
    hold(system, 5, "hosts/b")
    rest = [f"q{number}" for number in range(5)]
    for profile in rest:
        hold(system, 6, profile=ProfileName("default", profile))
    requests = [ReleaseHoldRequest(profile=profile, fencing_token=6) for profile in rest]
    requests.insert(2, ReleaseHoldRequest(profile="p", fencing_token=5))
    answer = await system.holds.ReleaseHolds(ReleaseHoldsRequest(requests=requests))
    assert [each.response.state for each in answer.results] == 6 * [ProfileState.PROFILE_STATE_AVAILABLE]
    [closed] = system.hosts[1].record.of(CloseHoldRequest)
    assert (closed.profile, closed.fencing_token) == (str(P), 5)
    assert [drained.release.profile for drained in system.lock.record.of(ReleaseDrainedRequest)] == [str(P)]
    assert len(system.lock.record.of(ReleaseHoldsRequest)) == 1
    assert not system.lock.record.of(ReleaseHoldRequest)


async def test_one_host_away_makes_only_its_own_holds_of_a_bulk_release_suspect(system: System) -> None:
    hold(system, 5, "hosts/gone")
    hold(system, 6, profile=ProfileName("default", "q"))
    releases = Releases(system.backends, Releaser(system.backends, host_patience_s=0))
    call.identify(call.DEV_IDENTITY)
    call.limit(30)
    request = ReleaseHoldsRequest(
        requests=[
            ReleaseHoldRequest(profile="p", fencing_token=5),
            ReleaseHoldRequest(profile="q", fencing_token=6),
        ]
    )
    answer = await releases.ReleaseHolds(request, AsyncMock())
    away, released = answer.results
    assert isinstance(errors.from_status(away.error), errors.HostUnreachable)
    assert released.response.state == ProfileState.PROFILE_STATE_AVAILABLE
    assert system.lock.profiles[str(P)].suspect == {5}


@pytest.mark.parametrize(
    "bad",
    [
        ReleaseHoldRequest(profile="p"),
        ReleaseHoldRequest(profile="p", fencing_token=-1),
        ReleaseHoldRequest(profile="p", fencing_token=1 << 53),
        ReleaseHoldRequest(profile="p", fencing_token=5, result=99),  # type: ignore[arg-type]
    ],
)
async def test_wrong_tokens_and_unknown_results_are_refused(system: System, bad: ReleaseHoldRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.holds.ReleaseHold(bad)
    assert isinstance(errors.from_rpc_error(caught.value), errors.InvalidField)
    assert not system.lock.record.asked
