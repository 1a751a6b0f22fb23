from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from browserhost.witness import watch
from gateway import steps
from gateway.steps import Steps
from servicekit import call
from tenure import errors
from tenure.internal.v1.browser_host_service_pb2 import WitnessStepRequest
from tenure.names import ProfileName
from tenure.v1.hold_service_pb2 import StartStepRequest, StartStepResponse
from tests.gateway.conftest import System
from tests.gateway.fakes import Record, forever, raising

P = ProfileName("default", "p")
CHECKOUT = StartStepRequest(profile="p", fencing_token=5, name="checkout", sensitive=True)


def at_home(system: System) -> None:
    system.lock.profiles[str(P)] = Record(home="hosts/b")


async def test_a_step_is_witnessed_at_its_profiles_home_after_it_was_stored(system: System) -> None:
    at_home(system)
    answer = await system.holds.StartStep(CHECKOUT)
    [stored] = system.lock.record.of(StartStepRequest)
    assert stored == CHECKOUT
    [witnessed] = system.hosts[1].record.of(WitnessStepRequest)
    assert (witnessed.profile, witnessed.fencing_token) == (str(P), 5)
    assert witnessed.step == answer.step
    assert (answer.step.seq, answer.step.name) == (7, "checkout")


async def test_a_step_that_is_not_stored_is_not_witnessed(system: System) -> None:
    at_home(system)
    superseded = errors.TokenSuperseded(profile="p", token=5)
    system.lock.record.hooks["StartStepRequest"] = raising(superseded)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.holds.StartStep(CHECKOUT)
    assert isinstance(errors.from_rpc_error(caught.value), errors.TokenSuperseded)
    assert not system.hosts[1].record.of(WitnessStepRequest)


async def test_a_step_without_a_host_needs_no_witness(system: System) -> None:
    assert (await system.holds.StartStep(CHECKOUT)).step.name == "checkout"
    assert not any(host.record.asked for host in system.hosts)


async def test_a_host_that_fails_or_is_away_fails_no_step(system: System) -> None:
    at_home(system)
    system.hosts[1].record.hooks["WitnessStepRequest"] = raising(errors.DiskFull(path="/", free_bytes=1))
    assert (await system.holds.StartStep(CHECKOUT)).step.name == "checkout"
    await system.host_servers[1].drain()
    assert (await system.holds.StartStep(CHECKOUT)).step.name == "checkout"
    system.lock.hosts.clear()
    assert (await system.holds.StartStep(CHECKOUT)).step.name == "checkout"


async def test_a_host_that_hangs_holds_a_step_up_no_longer_than_is_told(system: System) -> None:
    at_home(system)
    system.hosts[1].record.hooks["WitnessStepRequest"] = forever
    call.identify(call.DEV_IDENTITY)
    call.limit(100)
    steps = Steps(system.backends, witness_s=0.1)
    async with asyncio.timeout(30):
        answer = await steps.StartStep(CHECKOUT, None)  # type: ignore[arg-type]
    assert answer.step.name == "checkout"


async def test_a_hanging_host_leaves_the_caller_enough_of_its_deadline_for_the_answer(
    system: System,
) -> None:
    at_home(system)
    system.hosts[1].record.hooks["WitnessStepRequest"] = forever
    answer: StartStepResponse = await system.holds.StartStep(CHECKOUT, timeout=6)
    assert answer.step.name == "checkout"


def test_the_host_gives_a_picture_up_in_time_to_record_that_there_is_none() -> None:
    assert watch.STEP_S <= 0.75 * steps.WITNESS_S
