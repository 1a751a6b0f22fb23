from __future__ import annotations

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import tenure
from gateway.service import acquire_deadline, act_deadline, open_deadline
from tenure import errors
from tenure.v1.hold_service_pb2 import AcquireHoldRequest
from tenure.v1.host_service_pb2 import ListHostsRequest
from tenure.v1.profile_service_pb2 import RetireProfileRequest
from tenure.v1.session_pb2 import Action, Wait
from tenure.v1.session_service_pb2 import ActRequest, OpenSessionRequest
from tenure.v1.system_service_pb2 import GetServerInfoRequest
from tests.gateway.conftest import System


async def test_the_server_says_its_version_its_limits_and_who_calls(system: System) -> None:
    info = await system.info.GetServerInfo(GetServerInfoRequest())
    assert info.version == tenure.__version__
    assert info.limits["max_wait_seconds"] == 86400
    assert (info.caller.subject, info.caller.tenant) == ("dev", "default")
    assert list(info.caller.roles) == ["worker", "reviewer", "admin"]


async def test_hosts_are_listed_without_addresses_and_other_tenants_profiles(system: System) -> None:
    hosts = (await system.host_service.ListHosts(ListHostsRequest())).hosts
    assert [(host.name, host.capacity) for host in hosts] == [("hosts/a", 10), ("hosts/b", 10)]
    assert not any(host.address or host.warm for host in hosts)


async def test_what_is_not_served_yet_says_so(system: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.profiles.RetireProfile(RetireProfileRequest(profile="alice"))
    assert isinstance(errors.from_rpc_error(caught.value), errors.Unimplemented)


async def test_reflection_lists_every_service_of_the_api(system: System) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(system.channel)
    asked = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=30
    )
    listed = {s.name async for answer in asked for s in answer.list_services_response.service}
    services = ("Worker", "Hold", "Profile", "Session", "Incident", "Host", "System")
    assert {f"tenure.v1.{name}Service" for name in services} <= listed


def test_default_deadlines_cover_the_wait() -> None:
    assert open_deadline(OpenSessionRequest()) == 120
    assert open_deadline(OpenSessionRequest(wait=Duration(seconds=60))) == 180
    assert acquire_deadline(AcquireHoldRequest().SerializeToString()) == 30
    waiting = AcquireHoldRequest(wait=Duration(seconds=60))
    assert acquire_deadline(waiting.SerializeToString()) == 70
    assert acquire_deadline(b"\xff") == 30
    waits = [Action(wait=Wait(duration=Duration(seconds=each))) for each in (10, 20)]
    assert act_deadline(ActRequest(actions=waits, settle=Duration(seconds=5))) == 65
