"""A browser launched ahead through the gateway: at the profile's home, and behind a session's end."""

from __future__ import annotations

import grpc.aio
import pytest

from tenure import errors
from tenure.internal.v1.browser_host_service_pb2 import PrewarmBrowserRequest
from tenure.v1.host_service_pb2 import PrewarmRequest
from tenure.v1.session_pb2 import Proxy
from tenure.v1.session_service_pb2 import CloseSessionRequest, OpenSessionRequest
from tests.gateway.conftest import System
from tests.gateway.fakes import Record

P = "tenants/default/profiles/p"


async def test_the_profiles_home_launches_it_with_the_proxy_asked_for(system: System) -> None:
    system.lock.profiles[P] = Record(home="hosts/b")
    proxy = Proxy(city="Miami", state="FL")
    answer = await system.host_service.Prewarm(PrewarmRequest(profile="p", proxy=proxy))
    assert answer.prewarmed
    assert [phase.phase for phase in answer.timings] == ["launch"]
    [asked] = system.hosts[1].record.of(PrewarmBrowserRequest)
    assert (asked.profile, asked.proxy_key) == (P, "miami__fl")
    assert system.hosts[0].record.of(PrewarmBrowserRequest) == []


async def test_a_profile_that_was_never_opened_has_no_home_to_be_warm_at(system: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.host_service.Prewarm(PrewarmRequest(profile="p"))
    assert isinstance(errors.from_rpc_error(caught.value), errors.NotFound)


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_session_that_is_closed_leaves_a_warm_browser_when_asked_to(
    system: System, wanted: bool
) -> None:
    opened = await system.sessions.OpenSession(OpenSessionRequest(profile="p"))
    close = CloseSessionRequest(
        session=opened.session.name, fencing_token=opened.hold.fencing_token, prewarm=wanted
    )
    await system.sessions.CloseSession(close)
    host = next(host for host in system.hosts if host.name == opened.hold.home)
    if wanted:
        await host.record.event(PrewarmBrowserRequest).wait()
    assert len(host.record.of(PrewarmBrowserRequest)) == wanted


async def test_a_hold_that_is_kept_is_not_prewarmed_behind(system: System) -> None:
    opened = await system.sessions.OpenSession(OpenSessionRequest(profile="p"))
    token = opened.hold.fencing_token
    await system.sessions.CloseSession(
        CloseSessionRequest(session=opened.session.name, fencing_token=token, keep_hold=True, prewarm=True)
    )
    assert all(not host.record.of(PrewarmBrowserRequest) for host in system.hosts)
