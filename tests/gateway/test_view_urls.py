"""Addresses for people, as the gateway hands them out; and a page that is for nobody else's pages."""

from __future__ import annotations

import aiohttp
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from tenure import errors
from tenure.internal.v1.browser_host_service_pb2 import (
    ADDRESS_KIND_CONTROL,
    ADDRESS_KIND_VIEW,
    IssueAddressRequest,
)
from tenure.v1.session_service_pb2 import IssueViewUrlRequest, OpenSessionRequest
from tests.gateway.conftest import System
from tests.gateway.fakes import SECRET


async def asked(system: System, **changes: object) -> IssueViewUrlRequest:
    """For an address of a session that is open."""
    opened = await system.sessions.OpenSession(OpenSessionRequest(profile="alice:linkedin"))
    name, token = opened.session.name, opened.hold.fencing_token
    return IssueViewUrlRequest(**{"session": name, "fencing_token": token, **changes})  # type: ignore[arg-type]


async def refused(system: System, request: IssueViewUrlRequest) -> errors.TenureError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.sessions.IssueViewUrl(request)
    return errors.from_rpc_error(caught.value)


async def test_an_address_to_look_needs_no_token_one_to_drive_does(system: System) -> None:
    request = await asked(system, fencing_token=0)
    answer = await system.sessions.IssueViewUrl(request)
    assert answer.url == f"http://{system.http.address}/view/a/{SECRET}"
    [sent] = system.host.record.of(IssueAddressRequest)
    assert (sent.kind, sent.fencing_token, sent.ttl_s) == (ADDRESS_KIND_VIEW, 0, 60)
    request.control = True
    assert isinstance(await refused(system, request), errors.InvalidArgument)
    request.fencing_token = int(request.session.rpartition("/")[2])
    request.ttl.CopyFrom(Duration(seconds=600))
    await system.sessions.IssueViewUrl(request)
    *_, sent = system.host.record.of(IssueAddressRequest)
    assert (sent.kind, sent.ttl_s) == (ADDRESS_KIND_CONTROL, 600)


async def test_another_holds_token_gets_none(system: System) -> None:
    assert isinstance(await refused(system, await asked(system, fencing_token=999_999)), errors.InvalidField)
    nowhere = IssueViewUrlRequest(session="tenants/-/profiles/new/sessions/5")
    assert isinstance(await refused(system, nowhere), errors.NotFound)
    assert system.host.record.of(IssueAddressRequest) == []


@pytest.mark.parametrize("ttl", [Duration(), Duration(seconds=-5), Duration(seconds=3601)])
async def test_a_time_that_cannot_be_is_refused(system: System, ttl: Duration) -> None:
    error = await refused(system, await asked(system, ttl=ttl))
    assert isinstance(error, errors.InvalidField)
    assert error.field == "ttl"


async def test_the_page_may_load_nothing_from_elsewhere_and_be_framed_by_nobody(system: System) -> None:
    front = f"http://{system.http.address}"
    async with aiohttp.ClientSession() as http:
        for path, kind in ((f"/view/a/{SECRET}", "text/html"), ("/view.js", "text/javascript")):
            async with http.get(front + path) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["Referrer-Policy"] == "no-referrer"
            async with http.get(front + path, headers={"Host": "shop.example"}) as answer:
                assert answer.status == 403
