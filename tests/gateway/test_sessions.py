from __future__ import annotations

import grpc.aio
import pytest

from tenure import errors
from tenure.internal.v1.browser_host_service_pb2 import CloseHoldRequest, EndSessionRequest
from tenure.internal.v1.lock_service_pb2 import ReleaseDrainedRequest
from tenure.v1.hold_pb2 import ProfileState, RunResult
from tenure.v1.profile_service_pb2 import CreateProfileRequest
from tenure.v1.session_service_pb2 import (
    CloseSessionRequest,
    GetSessionRequest,
    ListSessionsRequest,
    OpenSessionRequest,
    OpenSessionResponse,
    ShutdownBrowserRequest,
)
from tests.gateway.conftest import System


async def open_(system: System, profile: str = "alice:linkedin") -> OpenSessionResponse:
    return await system.sessions.OpenSession(OpenSessionRequest(profile=profile))


def reason(caught: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> errors.TenureError:
    return errors.from_rpc_error(caught.value)


async def test_closing_releases_the_hold_through_the_host(system: System) -> None:
    opened = await open_(system)
    closed = await system.sessions.CloseSession(
        CloseSessionRequest(session=opened.session.name, fencing_token=opened.hold.fencing_token)
    )
    assert closed.state == ProfileState.PROFILE_STATE_AVAILABLE
    assert closed.session.name == opened.session.name
    assert not closed.session.cdp_url
    assert system.host.record.of(CloseHoldRequest)
    [drained] = system.lock.record.of(ReleaseDrainedRequest)
    assert drained.used


async def test_closing_may_keep_the_hold(system: System) -> None:
    opened = await open_(system)
    closed = await system.sessions.CloseSession(
        CloseSessionRequest(
            session=opened.session.name,
            fencing_token=opened.hold.fencing_token,
            keep_hold=True,
            result=RunResult.RUN_RESULT_NEEDS_REVIEW,
        )
    )
    assert closed.state == ProfileState.PROFILE_STATE_HELD
    assert system.host.record.of(EndSessionRequest)
    assert not system.lock.record.of(ReleaseDrainedRequest)


async def test_closing_needs_the_sessions_own_token(system: System) -> None:
    opened = await open_(system)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.CloseSession(CloseSessionRequest(session=opened.session.name, fencing_token=1))
    assert isinstance(reason(caught), errors.InvalidField)
    assert system.lock.profiles["tenants/default/profiles/alice_linkedin"].held


async def test_a_session_is_read_without_its_secret(system: System) -> None:
    opened = await open_(system)
    got = await system.sessions.GetSession(GetSessionRequest(session=opened.session.name))
    assert got.session.name == opened.session.name
    assert not got.session.cdp_url


@pytest.mark.parametrize("profile", ["alice_linkedin", "never_opened"])
async def test_a_session_that_never_was_is_not_found(system: System, profile: str) -> None:
    await open_(system)
    name = f"tenants/default/profiles/{profile}/sessions/5"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.GetSession(GetSessionRequest(session=name))
    assert isinstance(reason(caught), errors.NotFound)


async def test_another_tenants_session_is_denied_without_looking(system: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.GetSession(GetSessionRequest(session="tenants/other/profiles/p/sessions/5"))
    assert isinstance(reason(caught), errors.PermissionDenied)
    assert not system.lock.record.asked


async def test_sessions_of_all_hosts_are_listed_in_pages(system: System) -> None:
    for profile in ("c", "a", "b"):
        await open_(system, profile)
        system.lock.hosts.reverse()
    first = await system.sessions.ListSessions(ListSessionsRequest(parent="tenants/-", page_size=2))
    second = await system.sessions.ListSessions(
        ListSessionsRequest(page_size=2, page_token=first.next_page_token)
    )
    listed = [s.name.split("/")[3] for s in (*first.sessions, *second.sessions)]
    assert listed == ["a", "b", "c"]
    assert not second.next_page_token
    assert not any(session.cdp_url for session in first.sessions)


async def test_a_list_that_would_miss_a_host_is_not_given(system: System) -> None:
    await system.host_servers[1].drain()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.ListSessions(ListSessionsRequest())
    error = reason(caught)
    assert isinstance(error, errors.HostUnreachable)
    assert error.host == "hosts/b"


@pytest.mark.parametrize("bad", [ListSessionsRequest(page_size=-1), ListSessionsRequest(page_token="%")])
async def test_bad_pages_are_refused(system: System, bad: ListSessionsRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.ListSessions(bad)
    assert isinstance(reason(caught), errors.InvalidField)


async def test_a_browser_is_shut_down_under_its_token(system: System) -> None:
    opened = await open_(system)
    answer = await system.sessions.ShutdownBrowser(
        ShutdownBrowserRequest(profile="alice:linkedin", fencing_token=opened.hold.fencing_token)
    )
    assert answer.was_running
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.ShutdownBrowser(ShutdownBrowserRequest(profile="new", fencing_token=5))
    assert isinstance(reason(caught), errors.NotFound)


async def test_what_is_not_served_yet_says_so(system: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.profiles.CreateProfile(CreateProfileRequest())
    error = reason(caught)
    assert isinstance(error, errors.Unimplemented)
    assert error.method == "/tenure.v1.ProfileService/CreateProfile"
