from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from servicekit import call
from tenure import errors, request_id
from tenure.internal.v1.browser_host_service_pb2 import CloseHoldRequest, OpenBrowserRequest
from tenure.internal.v1.lock_service_pb2 import (
    AcquireForSessionRequest,
    LocateProfileRequest,
    ReleaseDrainedRequest,
)
from tenure.v1.hold_pb2 import Checkpoint, Hold, HoldOrigin, RunResult
from tenure.v1.hold_service_pb2 import CancelWaitRequest
from tenure.v1.session_pb2 import Proxy
from tenure.v1.session_service_pb2 import CloseSessionRequest, OpenSessionRequest, OpenSessionResponse
from tenure.v1.worker_service_pb2 import EndWorkerRequest
from tests.gateway.conftest import System
from tests.gateway.fakes import Record, forever, raising

ALICE = "tenants/default/profiles/alice_linkedin"


async def open_(system: System, timeout: float | None = 10, **fields: object) -> OpenSessionResponse:
    request = OpenSessionRequest(**{"profile": "alice:linkedin", **fields})  # type: ignore[arg-type]
    return await system.sessions.OpenSession(request, timeout=timeout)


async def refused(system: System, timeout: float | None = 10, **fields: object) -> errors.TenureError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await open_(system, timeout, **fields)
    return errors.from_rpc_error(caught.value)


async def test_a_session_is_opened_at_the_host_under_a_hold_of_an_implicit_worker(
    system: System,
) -> None:
    opened = await open_(system, start_url="https://example.org/", proxy=Proxy(city="Miami", state="FL"))
    assert opened.session.name == f"{ALICE}/sessions/{opened.hold.fencing_token}"
    assert opened.session.cdp_url
    assert (opened.hold.as_sent, opened.hold.worker) == ("alice:linkedin", "workers/w1")
    assert [timing.phase for timing in opened.timings] == ["acquire", "navigate"]
    assert opened.timings[0].duration.ToNanoseconds() > 0
    [asked] = system.host.record.of(OpenBrowserRequest)
    assert (asked.profile, asked.start_url, asked.proxy_key) == (
        ALICE,
        "https://example.org/",
        "miami__fl",
    )
    assert not asked.HasField("reuse_session")


async def test_the_lock_service_is_asked_once_for_a_hold_and_where_it_is(system: System) -> None:
    await open_(system, worker="workers/mine")
    assert [type(each) for each in system.lock.record.asked] == [AcquireForSessionRequest]


async def test_a_call_without_a_deadline_is_served(system: System) -> None:
    assert (await open_(system, timeout=None)).session.name


async def test_the_request_goes_to_the_lock_service_as_it_was_typed(system: System) -> None:
    await open_(
        system,
        worker="workers/mine",
        run_id="r1",
        workflow_id="w:1",
        wait={"seconds": 3},
        resume_state=True,
        restartable=True,
        plan="buy v2",
        proxy=Proxy(city="Miami", state="FL"),
    )
    [asked] = system.lock.record.of(AcquireForSessionRequest)
    acquire = asked.acquire
    assert (acquire.profile, acquire.worker, acquire.run_id) == ("alice:linkedin", "workers/mine", "r1")
    assert (acquire.workflow_id, acquire.wait.seconds, acquire.resume_state) == ("w_1", 3, True)
    assert (acquire.restartable, acquire.plan, acquire.proxy_key) == (True, "buy v2", "miami__fl")
    assert len(acquire.request_id) == 32
    assert asked.choose_home
    assert not system.lock.askers


async def test_a_full_name_is_passed_as_one_so_that_it_counts_as_no_spelling(system: System) -> None:
    await open_(system, profile="tenants/-/profiles/alice_linkedin")
    [asked] = system.lock.record.of(AcquireForSessionRequest)
    assert asked.acquire.profile == "tenants/-/profiles/alice_linkedin"


async def test_the_callers_identity_and_request_id_reach_every_service(system: System) -> None:
    seen: list[tuple[str, str]] = []

    async def look() -> None:
        seen.append((call.current_request_id(), call.current_identity().subject))

    system.lock.record.hooks["AcquireForSessionRequest"] = look
    system.host.record.hooks["OpenBrowserRequest"] = look
    await system.sessions.OpenSession(
        OpenSessionRequest(profile="p"), metadata=((call.REQUEST_ID_KEY, "trace-7"),)
    )
    assert seen == [("trace-7", "dev")] * 2


async def test_a_profile_stays_with_its_home(system: System) -> None:
    system.lock.profiles[ALICE] = Record(home="hosts/b")
    opened = await open_(system)
    assert opened.session.host == "hosts/b"
    assert not system.hosts[0].record.asked


async def test_a_home_that_is_away_is_told_before_anything_is_held(system: System) -> None:
    system.lock.profiles[ALICE] = Record(home="hosts/gone")
    error = await refused(system)
    assert isinstance(error, errors.HostUnreachable)
    assert error.host == "hosts/gone"
    assert not system.lock.profiles[ALICE].held
    assert system.lock.ended == ["workers/w1"]


async def test_without_any_host_or_room_nothing_is_held(system: System) -> None:
    for host in system.lock.hosts:
        host.capacity = 0
        host.ClearField("warm")
    full = await refused(system)
    assert isinstance(full, errors.NoRoom)
    assert full.retry_after_s
    system.lock.hosts.clear()
    assert isinstance(await refused(system), errors.HostUnreachable)
    assert not system.lock.profiles


async def test_a_busy_profile_is_told_in_the_documented_words(system: System) -> None:
    await open_(system, run_id="first")
    error = await refused(system, run_id="second")
    assert isinstance(error, errors.ProfileBusy)
    assert str(error) == (
        "profile_id 'alice:linkedin' is busy; held by run_id='first'. "
        "Use a different profile_id or wait for the existing run to finish."
    )
    # The refused call's implicit worker does not linger, the holder's does.
    assert system.lock.ended == ["workers/w2"]


async def test_the_same_request_gives_the_same_session_of_the_same_worker(system: System) -> None:
    id_ = request_id.mint()
    first = await open_(system, request_id=id_)
    second = await open_(system, request_id=id_)
    assert second.session.name == first.session.name
    assert len(set(system.lock.askers.values())) == 1


async def test_copies_of_a_request_side_by_side_are_one_worker_and_one_session(system: System) -> None:
    id_ = request_id.mint()
    first, second = await asyncio.gather(*(open_(system, request_id=id_) for _ in range(2)))
    assert second.session.name == first.session.name
    assert second.hold.worker == first.hold.worker
    assert len(set(system.lock.askers.values())) == 1


async def test_a_copy_that_fails_does_not_end_the_worker_of_one_under_way(system: System) -> None:
    """Else the other's hold would end with the lease, as an incident."""
    id_, go_on, browser = request_id.mint(), asyncio.Event(), asyncio.Event()

    async def the_first_fails_once_the_second_came() -> None:
        if len(system.lock.record.of(AcquireForSessionRequest)) == 1:
            await go_on.wait()
            raise errors.StoreUnavailable

    system.lock.record.hooks["AcquireForSessionRequest"] = the_first_fails_once_the_second_came

    async def the_browser_takes_its_time() -> None:
        await browser.wait()

    system.host.record.hooks["OpenBrowserRequest"] = the_browser_takes_its_time
    first = asyncio.create_task(refused(system, request_id=id_))
    await system.lock.record.event(AcquireForSessionRequest).wait()
    second = asyncio.create_task(open_(system, request_id=id_))
    await system.host.record.event(OpenBrowserRequest).wait()
    go_on.set()
    assert isinstance(await first, errors.StoreUnavailable)
    browser.set()
    assert (await second).hold.worker == "workers/w1"
    assert system.lock.ended == []


async def test_a_request_repeated_at_another_gateway_finds_its_worker(system: System) -> None:
    id_ = request_id.mint()
    system.lock.askers[ALICE, id_] = "workers/old"
    held = Hold(fencing_token=7, worker="workers/old", request_id=id_, profile=ALICE, home="hosts/a")
    system.lock.profiles[ALICE] = Record(home="hosts/a", holds=[held], held=True)
    opened = await open_(system, request_id=id_)
    assert opened.hold.worker == "workers/old"


async def test_a_request_whose_worker_is_dead_is_over(system: System) -> None:
    id_ = request_id.mint()
    system.lock.askers[ALICE, id_] = "workers/old"
    system.lock.ended.append("workers/old")
    error = await refused(system, request_id=id_)
    assert isinstance(error, errors.RequestEnded)
    assert error.request_id == id_
    assert not system.lock.profiles


async def test_a_request_that_got_nothing_may_come_again(system: System) -> None:
    first = await open_(system)
    id_ = request_id.mint()
    assert isinstance(await refused(system, request_id=id_), errors.ProfileBusy)
    await system.sessions.CloseSession(
        CloseSessionRequest(session=first.session.name, fencing_token=first.hold.fencing_token)
    )
    assert (await open_(system, request_id=id_)).hold.request_id == id_


async def test_a_copy_whose_worker_another_copy_gave_up_asks_by_the_new_one(system: System) -> None:
    id_, looked = request_id.mint(), 0

    async def given_up_at_another_gateway() -> None:
        nonlocal looked
        looked += 1
        if looked == 1:
            system.lock.askers[ALICE, id_] = "workers/gone"
            system.lock.ended.append("workers/gone")
        elif looked == 2:
            del system.lock.askers[ALICE, id_]

    system.lock.record.hooks["RegisterImplicitWorkerRequest"] = given_up_at_another_gateway
    assert (await open_(system, request_id=id_)).hold.worker == "workers/w1"


async def test_a_given_token_is_verified_and_not_acquired(system: System) -> None:
    first = await open_(system)
    again = await open_(system, fencing_token=first.hold.fencing_token)
    assert again.session.name == first.session.name
    assert again.reused_session
    assert again.timings[0].phase == "verify"
    assert len(system.lock.record.of(AcquireForSessionRequest)) == 1


async def test_an_old_token_is_refused_and_changes_nothing(system: System) -> None:
    await open_(system)
    error = await refused(system, fencing_token=5)
    assert isinstance(error, errors.TokenSuperseded)
    assert len(system.host.record.of(OpenBrowserRequest)) == 1


async def test_a_hold_without_a_host_cannot_be_opened_under(system: System) -> None:
    system.lock.profiles[ALICE] = Record(holds=[Hold(fencing_token=9, profile=ALICE)], held=True)
    error = await refused(system, fencing_token=9)
    assert isinstance(error, errors.InvalidField)
    assert error.field == "fencing_token"
    assert system.lock.profiles[ALICE].held


async def test_the_checkpoint_is_answered_where_there_is_one(system: System) -> None:
    system.lock.checkpoint = Checkpoint(workflow_id="w", step="cart")
    first = await open_(system, workflow_id="w", resume_state=True)
    assert first.checkpoint.step == "cart"
    again = await open_(system, fencing_token=first.hold.fencing_token, resume_state=True)
    assert again.checkpoint.step == "cart"
    system.lock.profiles[ALICE].holds[-1].origin = HoldOrigin.HOLD_ORIGIN_RESUMED
    resumed = await open_(system, fencing_token=first.hold.fencing_token)
    assert resumed.checkpoint.step == "cart"
    system.lock.checkpoint = None
    none = await open_(system, fencing_token=first.hold.fencing_token, resume_state=True)
    assert not none.HasField("checkpoint")


async def test_after_a_failed_open_nothing_stays_held(system: System) -> None:
    system.host.record.hooks["OpenBrowserRequest"] = raising(
        errors.NavigationFailed(url="https://x.invalid/", error="net::ERR_NAME_NOT_RESOLVED")
    )
    error = await refused(system, start_url="https://x.invalid/")
    assert isinstance(error, errors.NavigationFailed)
    assert not system.lock.profiles[ALICE].held
    [drained] = system.lock.record.of(ReleaseDrainedRequest)
    assert drained.release.result == RunResult.RUN_RESULT_FAILED_UNTOUCHED
    # Through the host, and the worker goes last: its end would make a hold suspect.
    assert system.host.record.of(CloseHoldRequest)
    assert system.lock.ended == ["workers/w1"]


async def test_a_failed_open_under_a_given_token_leaves_its_hold(system: System) -> None:
    first = await open_(system)
    system.host.record.hooks["OpenBrowserRequest"] = raising(errors.BrowserCrashed(profile=ALICE))
    assert isinstance(await refused(system, fencing_token=first.hold.fencing_token), errors.BrowserCrashed)
    assert system.lock.profiles[ALICE].held


async def test_a_repeat_that_fails_does_not_take_the_first_ones_hold(system: System) -> None:
    id_ = request_id.mint()
    await open_(system, request_id=id_)
    system.host.record.hooks["OpenBrowserRequest"] = raising(errors.StoreUnavailable())
    assert isinstance(await refused(system, request_id=id_), errors.StoreUnavailable)
    assert system.lock.profiles[ALICE].held
    assert not system.lock.ended


async def test_what_cannot_be_an_earlier_copys_hold_is_released_though_the_grants_reply_was_lost(
    system: System,
) -> None:
    """Nobody else can have the id that was minted for this very call."""
    system.lock.unsure = True
    system.host.record.hooks["OpenBrowserRequest"] = raising(errors.NoRoom())
    assert isinstance(await refused(system), errors.NoRoom)
    assert not system.lock.profiles[ALICE].held
    assert system.lock.ended == ["workers/w1"]


async def test_what_may_be_an_earlier_copys_hold_stays(system: System) -> None:
    system.lock.unsure = True
    system.host.record.hooks["OpenBrowserRequest"] = raising(errors.NoRoom())
    assert isinstance(await refused(system, request_id=request_id.mint()), errors.NoRoom)
    assert system.lock.profiles[ALICE].held


async def test_a_repeat_that_an_older_lock_service_answers_does_not_take_the_first_ones_hold(
    system: System,
) -> None:
    id_ = request_id.mint()
    await open_(system, request_id=id_)
    system.lock.older = True
    assert isinstance(await refused(system, request_id=id_), errors.HostUnreachable)
    assert system.lock.profiles[ALICE].held
    assert not system.lock.ended


async def test_an_unclear_outcome_leaves_the_hold_and_says_how_to_ask_again(system: System) -> None:
    system.host.record.hooks["OpenBrowserRequest"] = raising(errors.OutcomeUnknown())
    error = await refused(system)
    assert isinstance(error, errors.OutcomeUnknown)
    assert system.lock.profiles[ALICE].held
    del system.host.record.hooks["OpenBrowserRequest"]
    again = await open_(system, request_id=error.request_id)
    assert again.hold.fencing_token == system.lock.profiles[ALICE].token


async def test_a_caller_who_leaves_before_the_browser_is_open_leaves_nothing_held(
    system: System,
) -> None:
    system.host.record.hooks["OpenBrowserRequest"] = forever
    opening = asyncio.create_task(open_(system))
    await asyncio.wait_for(system.host.record.event(OpenBrowserRequest).wait(), 30)
    opening.cancel()
    await asyncio.wait_for(system.lock.record.event(ReleaseDrainedRequest).wait(), 30)
    await asyncio.wait_for(system.lock.record.event(EndWorkerRequest).wait(), 30)
    assert system.lock.ended == ["workers/w1"]
    assert not system.lock.profiles[ALICE].held


async def test_a_caller_who_leaves_while_acquiring_gives_up_the_wait(system: System) -> None:
    system.lock.record.hooks["AcquireForSessionRequest"] = forever
    opening = asyncio.create_task(open_(system))
    await asyncio.wait_for(system.lock.record.event(AcquireForSessionRequest).wait(), 30)
    opening.cancel()
    await asyncio.wait_for(system.lock.record.event(CancelWaitRequest).wait(), 30)
    await asyncio.wait_for(system.lock.record.event(EndWorkerRequest).wait(), 30)
    assert system.lock.ended == ["workers/w1"]
    assert not system.lock.profiles[ALICE].held


async def test_a_deadline_that_passes_leaves_nothing_held(system: System) -> None:
    system.host.record.hooks["OpenBrowserRequest"] = forever
    with pytest.raises(grpc.aio.AioRpcError):
        await open_(system, timeout=5)
    await asyncio.wait_for(system.lock.record.event(ReleaseDrainedRequest).wait(), 30)
    await asyncio.wait_for(system.lock.record.event(EndWorkerRequest).wait(), 30)
    assert system.lock.ended == ["workers/w1"]
    assert not system.lock.profiles[ALICE].held


async def test_a_caller_who_can_ask_again_keeps_the_place_when_it_leaves(system: System) -> None:
    id_ = request_id.mint()
    system.lock.record.hooks["AcquireForSessionRequest"] = forever
    opening = asyncio.create_task(open_(system, request_id=id_))
    await asyncio.wait_for(system.lock.record.event(AcquireForSessionRequest).wait(), 30)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    del system.lock.record.hooks["AcquireForSessionRequest"]
    again = await open_(system, request_id=id_)
    assert again.hold.worker == "workers/w1"
    assert not system.lock.record.of(CancelWaitRequest)


async def test_bad_input_is_refused_before_anything_is_asked(system: System) -> None:
    bad_ones = ({"profile": ".."}, {"start_url": "file:///etc/passwd"}, {"request_id": "x"})
    for bad in bad_ones:
        assert (await refused(system, 10, **bad)).code is grpc.StatusCode.INVALID_ARGUMENT
    denied = await refused(system, profile="tenants/other/profiles/alice")
    assert isinstance(denied, errors.PermissionDenied)
    assert not system.lock.record.of(LocateProfileRequest)
