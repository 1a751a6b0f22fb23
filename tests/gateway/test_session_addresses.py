"""Further addresses of a session, as the gateway hands them out."""

from __future__ import annotations

import aiohttp
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from tenure import errors
from tenure.internal.v1.browser_host_service_pb2 import ADDRESS_KIND_CDP, IssueAddressRequest
from tenure.v1.session_service_pb2 import IssueCdpUrlRequest, OpenSessionRequest
from tests.gateway.conftest import System
from tests.gateway.fakes import SECRET


async def asked(system: System, **changes: object) -> IssueCdpUrlRequest:
    """For an address of a session that is open."""
    opened = await system.sessions.OpenSession(OpenSessionRequest(profile="alice:linkedin"))
    name, token = opened.session.name, opened.hold.fencing_token
    return IssueCdpUrlRequest(**{"session": name, "fencing_token": token, **changes})  # type: ignore[arg-type]


async def test_it_is_an_address_at_the_host_one_here_and_one_for_tools(system: System) -> None:
    request = await asked(system)
    answer = await system.sessions.IssueCdpUrl(request)
    assert answer.cdp_url == f"ws://{system.host.devtools.address}/cdp/{SECRET}"
    assert answer.gateway_cdp_url == f"ws://{system.http.address}/cdp/a/{SECRET}"
    [sent] = system.host.record.of(IssueAddressRequest)
    assert (sent.session, sent.fencing_token) == (request.session, request.fencing_token)
    assert (sent.kind, sent.ttl_s) == (ADDRESS_KIND_CDP, 60)
    assert answer.expire_time.seconds == 1_000_060
    async with aiohttp.ClientSession() as http, http.get(f"{answer.http_url}/json/version/") as told:
        assert (await told.json())["webSocketDebuggerUrl"] == answer.gateway_cdp_url


async def test_its_time_is_rounded_up_to_seconds(system: System) -> None:
    await system.sessions.IssueCdpUrl(await asked(system, ttl=Duration(seconds=2, nanos=1)))
    assert [sent.ttl_s for sent in system.host.record.of(IssueAddressRequest)] == [3]


@pytest.mark.parametrize("ttl", [Duration(), Duration(seconds=-5), Duration(seconds=3601)])
async def test_a_time_that_cannot_be_is_refused(system: System, ttl: Duration) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.IssueCdpUrl(await asked(system, ttl=ttl))
    error = errors.from_rpc_error(caught.value)
    assert isinstance(error, errors.InvalidField)
    assert error.field == "ttl"


async def test_another_token_and_a_profile_without_a_home_get_none(system: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.IssueCdpUrl(await asked(system, fencing_token=999_999))
    assert isinstance(errors.from_rpc_error(caught.value), errors.InvalidField)
    nowhere = IssueCdpUrlRequest(session="tenants/-/profiles/new/sessions/5", fencing_token=5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.IssueCdpUrl(nowhere)
    assert isinstance(errors.from_rpc_error(caught.value), errors.NotFound)
    assert system.host.record.of(IssueAddressRequest) == []
