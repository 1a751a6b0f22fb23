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
from tenure.v1.incident_pb2 import SuspicionCause
from tests.gateway.conftest import System
from tests.gateway.fakes import raising
from tests.gateway.test_release import P, hold


def transfer(token: int, **changes: str) -> TransferHoldRequest:
    fields = {"profile": "p", "to_worker": "workers/w", "request_id": request_id.mint(), **changes}
    return TransferHoldRequest(fencing_token=token, **fields)


def handed_over(system: System) -> list[TransferDrainedRequest]:
    """What the lock service was asked to hand over, not only to look at."""
    return [each for each in system.lock.record.of(TransferDrainedRequest) if not each.check_only]


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
    [drained] = handed_over(system)
    assert drained.transfer.profile == str(P)


async def test_a_host_that_cannot_drain_keeps_the_hold_with_its_holder(system: System) -> None:
    hold(system, 5, "hosts/a")
    system.host.record.hooks["CloseHoldRequest"] = raising(errors.DiskFull(path="/data"))
    assert isinstance(await refused(system, transfer(5)), errors.DiskFull)
    assert not handed_over(system)
    assert system.lock.profiles[str(P)].token == 5


async def test_a_host_that_is_away_makes_the_hold_suspect_and_nobodys(system: System) -> None:
    hold(system, 5, "hosts/a")
    await system.host_servers[0].drain()
    call.identify(call.DEV_IDENTITY)
    call.limit(30)
    with pytest.raises(errors.HostUnreachable):
        await Releaser(system.backends, 0).transfer(transfer(5), P)
    assert len(system.lock.record.of(SuspectHoldRequest)) == 1
    assert not handed_over(system)


async def test_a_later_hold_is_not_drained_by_a_transfer_that_comes_again(system: System) -> None:
    hold(system, 8, "hosts/a")
    assert isinstance(await refused(system, transfer(5)), errors.TokenSuperseded)
    assert not system.host.record.of(CloseHoldRequest)


async def test_an_heir_who_is_gone_costs_the_holder_nothing(system: System) -> None:
    hold(system, 5, "hosts/a")
    system.lock.ended.append("workers/w")
    assert isinstance(await refused(system, transfer(5)), errors.LeaseExpired)
    assert not system.host.record.of(CloseHoldRequest)
    assert system.lock.profiles[str(P)].token == 5


@pytest.mark.parametrize(
    "error", [errors.RequestEnded(request_id="r"), errors.PermissionDenied(), errors.StoreUnavailable()]
)
async def test_what_the_lock_service_would_refuse_costs_the_holder_nothing(
    system: System, error: errors.TenureError
) -> None:
    hold(system, 5, "hosts/a")
    system.lock.record.hooks["TransferDrainedRequest"] = raising(error)
    assert isinstance(await refused(system, transfer(5)), type(error))
    assert not system.host.record.of(CloseHoldRequest)


async def test_a_transfer_that_comes_again_is_answered_as_before(system: System) -> None:
    hold(system, 5, "hosts/a")
    wanted = transfer(5)
    first = await system.holds.TransferHold(wanted)
    again = await system.holds.TransferHold(wanted)
    assert again.hold.fencing_token == first.hold.fencing_token
    assert len(system.host.record.of(CloseHoldRequest)) == 1


@pytest.mark.parametrize(
    "error", [errors.LeaseExpired(), errors.RequestEnded(request_id="r"), errors.QuotaExceeded()]
)
async def test_a_drained_hold_whose_heir_went_meanwhile_becomes_suspect(
    system: System, error: errors.TenureError
) -> None:
    """Its holder was cut off in the midst of its work, and nobody has vouched for the account."""
    hold(system, 5, "hosts/a")
    hooks = system.lock.record.hooks

    async def drained() -> None:
        hooks["TransferDrainedRequest"] = raising(error)

    system.host.record.hooks["CloseHoldRequest"] = drained
    wanted = transfer(5)
    assert isinstance(await refused(system, wanted), type(error))
    [suspected] = system.lock.record.of(SuspectHoldRequest)
    assert (suspected.profile, suspected.fencing_token) == (str(P), 5)
    assert suspected.cause == SuspicionCause.SUSPICION_CAUSE_UNTRUSTED_RELEASE
    assert "workers/w" in suspected.detail


async def test_a_drained_hold_that_cannot_be_made_suspect_either_says_why_it_was_not_handed_over(
    system: System,
) -> None:
    hold(system, 5, "hosts/a")
    hooks = system.lock.record.hooks

    async def drained() -> None:
        hooks["TransferDrainedRequest"] = raising(errors.LeaseExpired())
        hooks["SuspectHoldRequest"] = raising(errors.StoreUnavailable())

    system.host.record.hooks["CloseHoldRequest"] = drained
    assert isinstance(await refused(system, transfer(5)), errors.LeaseExpired)


async def test_a_hand_over_whose_outcome_is_unknown_leaves_the_hold_to_who_calls_again(
    system: System,
) -> None:
    hold(system, 5, "hosts/a")
    hooks = system.lock.record.hooks

    async def drained() -> None:
        hooks["TransferDrainedRequest"] = raising(errors.OutcomeUnknown())

    system.host.record.hooks["CloseHoldRequest"] = drained
    assert isinstance(await refused(system, transfer(5)), errors.OutcomeUnknown)
    assert not system.lock.record.of(SuspectHoldRequest)


@pytest.mark.parametrize("field", ["to_worker", "request_id"])
async def test_what_names_no_heir_costs_the_holder_nothing(system: System, field: str) -> None:
    hold(system, 5, "hosts/a")
    assert isinstance(await refused(system, transfer(5, **{field: ""})), errors.InvalidId)
    assert not system.host.record.of(CloseHoldRequest)


async def test_a_hold_without_a_home_has_nothing_to_drain(system: System) -> None:
    hold(system, 5)
    assert (await system.holds.TransferHold(transfer(5))).hold.fencing_token > 5
