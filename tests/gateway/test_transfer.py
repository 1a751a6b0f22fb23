"""A hold that goes to a named heir: drained at its host first, whose clients are told so."""

from __future__ import annotations

import grpc.aio
import pytest

from gateway.release import Releaser
from servicekit import call
from tenure import errors, request_id
from tenure.internal.v1.browser_host_service_pb2 import CloseHoldRequest
from tenure.internal.v1.lock_service_pb2 import SuspectHoldRequest, TransferDrainedRequest
from tenure.v1.hold_service_pb2 import TransferHoldRequest
from tests.gateway.conftest import System
from tests.gateway.fakes import raising
from tests.gateway.test_release import P, hold


def transfer(token: int, **changes: str) -> TransferHoldRequest:
    fields = {"profile": "p", "to_worker": "workers/w", "request_id": request_id.mint(), **changes}
    return TransferHoldRequest(fencing_token=token, **fields)


async def refused(system: System, request: TransferHoldRequest) -> errors.TenureError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.holds.TransferHold(request)
    return errors.from_rpc_error(caught.value)


async def test_a_hold_is_drained_at_its_host_before_it_is_handed_over(system: System) -> None:
    hold(system, 5, "hosts/b")
    answer = await system.holds.TransferHold(transfer(5))
    assert (answer.hold.worker, answer.hold.profile) == ("workers/w", str(P))
    [closed] = system.hosts[1].record.of(CloseHoldRequest)
    assert (closed.profile, closed.fencing_token, closed.passed_on) == (str(P), 5, True)
    [drained] = system.lock.record.of(TransferDrainedRequest)
    assert drained.transfer.profile == str(P)


async def test_a_host_that_cannot_drain_keeps_the_hold_with_its_holder(system: System) -> None:
    hold(system, 5, "hosts/a")
    system.host.record.hooks["CloseHoldRequest"] = raising(errors.DiskFull(path="/data"))
    assert isinstance(await refused(system, transfer(5)), errors.DiskFull)
    assert not system.lock.record.of(TransferDrainedRequest)
    assert system.lock.profiles[str(P)].token == 5


async def test_a_host_that_is_away_makes_the_hold_suspect_and_nobodys(system: System) -> None:
    hold(system, 5, "hosts/a")
    await system.host_servers[0].drain()
    call.identify(call.DEV_IDENTITY)
    call.limit(30)
    with pytest.raises(errors.HostUnreachable):
        await Releaser(system.backends, 0).transfer(transfer(5), P)
    assert len(system.lock.record.of(SuspectHoldRequest)) == 1
    assert not system.lock.record.of(TransferDrainedRequest)


async def test_a_later_hold_is_not_drained_by_a_transfer_that_comes_again(system: System) -> None:
    hold(system, 8, "hosts/a")
    assert isinstance(await refused(system, transfer(5)), errors.TokenSuperseded)
    assert not system.host.record.of(CloseHoldRequest)
    assert len(system.lock.record.of(TransferDrainedRequest)) == 1


@pytest.mark.parametrize("field", ["to_worker", "request_id"])
async def test_what_names_no_heir_costs_the_holder_nothing(system: System, field: str) -> None:
    hold(system, 5, "hosts/a")
    assert isinstance(await refused(system, transfer(5, **{field: ""})), errors.InvalidId)
    assert not system.host.record.of(CloseHoldRequest)


async def test_a_hold_without_a_home_has_nothing_to_drain(system: System) -> None:
    hold(system, 5)
    assert (await system.holds.TransferHold(transfer(5))).hold.fencing_token > 5
