"""Hosts as an administrator schedules them, and what a tenant sees of them."""

from __future__ import annotations

from typing import Any

import grpc.aio
import pytest

from servicekit import call
from tenure import errors
from tenure.internal.v1.lock_service_pb2 import ScheduleHostRequest
from tenure.v1.host_pb2 import HostState, WarmBrowser
from tenure.v1.host_service_pb2 import (
    CordonHostRequest,
    DrainHostRequest,
    ListHostsRequest,
    UncordonHostRequest,
)
from tenure.v1.session_service_pb2 import OpenSessionRequest
from tests.gateway.conftest import System

READY, CORDONED, DRAINING = (
    HostState.HOST_STATE_READY,
    HostState.HOST_STATE_CORDONED,
    HostState.HOST_STATE_DRAINING,
)


async def refused(asked: Any) -> errors.TenureError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked
    return errors.from_rpc_error(caught.value)


async def test_a_host_is_scheduled_by_its_name_and_shown_without_what_is_internal(system: System) -> None:
    stub = system.host_service
    mine, theirs = "tenants/default/profiles/p", "tenants/other/profiles/p"
    system.lock.hosts[0].warm.extend(WarmBrowser(profile=each, proxy_key="k") for each in (mine, theirs))
    cordoned = (await stub.CordonHost(CordonHostRequest(host="a"))).host
    assert (cordoned.name, cordoned.state, cordoned.address) == ("hosts/a", CORDONED, "")
    assert [(each.profile, each.proxy_key) for each in cordoned.warm] == [(mine, "k")]
    assert (await stub.DrainHost(DrainHostRequest(host="hosts/a"))).host.state == DRAINING
    assert (await stub.UncordonHost(UncordonHostRequest(host="hosts/a"))).host.state == READY
    asked = system.lock.record.of(ScheduleHostRequest)
    assert [(each.host, each.state) for each in asked] == [
        ("hosts/a", CORDONED),
        ("hosts/a", DRAINING),
        ("hosts/a", READY),
    ]


async def test_a_name_that_is_none_is_refused_before_anything_is_asked(system: System) -> None:
    error = await refused(system.host_service.CordonHost(CordonHostRequest(host="../a")))
    assert isinstance(error, errors.InvalidId)
    assert system.lock.record.of(ScheduleHostRequest) == []


@pytest.mark.parametrize("method", ["CordonHost", "UncordonHost", "DrainHost"])
async def test_only_administrators_schedule_hosts(
    system: System, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(call, "DEV_IDENTITY", call.Identity("default", "bob", ("worker", "reviewer")))
    stub: Any = getattr(system.host_service, method)
    assert isinstance(await refused(stub(CordonHostRequest(host="hosts/a"))), errors.PermissionDenied)
    assert system.lock.record.of(ScheduleHostRequest) == []


async def test_new_profiles_go_elsewhere_and_nowhere_when_all_are_cordoned(system: System) -> None:
    stub = system.host_service
    await stub.CordonHost(CordonHostRequest(host="hosts/a"))
    opened = await system.sessions.OpenSession(OpenSessionRequest(profile="alice"))
    assert opened.hold.home == "hosts/b"
    await stub.DrainHost(DrainHostRequest(host="hosts/b"))
    error = await refused(system.sessions.OpenSession(OpenSessionRequest(profile="bob")))
    assert isinstance(error, errors.NoRoom)
    assert "cordoned or draining" in str(error)
    # One that is at home there goes on.
    again = system.sessions.OpenSession(OpenSessionRequest(profile="alice"))
    assert isinstance(await refused(again), errors.ProfileBusy)
    assert [host.state for host in (await stub.ListHosts(ListHostsRequest())).hosts] == [CORDONED, DRAINING]
