from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from servicekit import call
from servicekit.ending import Ending
from tenure import errors
from tenure.v1.hold_service_pb2 import AcquireHoldRequest, RevokeHoldRequest
from tenure.v1.incident_service_pb2 import ListIncidentsRequest, ReadEvidenceRequest
from tenure.v1.profile_service_pb2 import GetProfileRequest, WatchProfilesRequest
from tenure.v1.worker_service_pb2 import KeepAliveRequest, KeepAliveResponse, RegisterWorkerRequest
from tests.gateway.conftest import System
from tests.gateway.fakes import forever


async def test_a_unary_call_passes_with_its_messages(system: System) -> None:
    request = RegisterWorkerRequest(labels={"pod": "crawler-7"})
    answer = await system.workers.RegisterWorker(request)
    assert answer.worker.name == "workers/w1"
    assert system.lock.record.of(RegisterWorkerRequest) == [request]


async def test_identity_request_id_and_deadline_go_along(system: System) -> None:
    seen: list[tuple[str, str, float | None]] = []

    async def look() -> None:
        identity = call.current_identity()
        seen.append((call.current_request_id(), identity.tenant, call.remaining_s()))

    system.lock.record.hooks["RegisterWorkerRequest"] = look
    metadata = ((call.REQUEST_ID_KEY, "trace-7"), (call.TENANT_KEY, "somebody-elses"))
    await system.workers.RegisterWorker(RegisterWorkerRequest(), metadata=metadata)
    await system.workers.RegisterWorker(RegisterWorkerRequest(), metadata=metadata, timeout=500)
    (*first, by_default), (_, _, by_caller) = seen
    assert first == ["trace-7", "default"]
    assert by_default == pytest.approx(30, abs=25)
    assert by_caller == pytest.approx(500, abs=60)


async def test_a_long_poll_without_a_deadline_gets_its_wait(system: System) -> None:
    seen: list[float | None] = []

    async def look() -> None:
        seen.append(call.remaining_s())

    system.lock.record.hooks["AcquireHoldRequest"] = look
    with pytest.raises(grpc.aio.AioRpcError):
        await system.holds.AcquireHold(AcquireHoldRequest(profile="p", wait=Duration(seconds=500)))
    assert seen == [pytest.approx(510, abs=5)]


async def test_a_failure_comes_back_with_its_details_untouched(system: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.holds.AcquireHold(
            AcquireHoldRequest(profile="a:b"), metadata=((call.REQUEST_ID_KEY, "trace-7"),)
        )
    error = errors.from_rpc_error(caught.value)
    assert isinstance(error, errors.ProfileBusy)
    assert (error.profile, error.position, error.retry_after_s) == ("a:b", 3, 2)
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert dict(caught.value.trailing_metadata())[call.REQUEST_ID_KEY] == "trace-7"


async def test_a_stream_of_answers_passes_with_its_end(system: System) -> None:
    watch = aiter(system.profiles.WatchProfiles(WatchProfilesRequest()))
    assert [(await anext(watch)).bookmark, (await anext(watch)).bookmark] == ["1", "2"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(watch)
    assert isinstance(errors.from_rpc_error(caught.value), errors.StoreUnavailable)


async def test_a_watch_ends_when_the_gateway_stops(system: System) -> None:
    reached = asyncio.Event()

    async def silent() -> None:
        reached.set()
        await forever()

    system.lock.record.hooks["WatchProfilesRequest"] = silent
    watch = system.profiles.WatchProfiles(WatchProfilesRequest())
    await reached.wait()
    system.forwarder.part()
    assert [message async for message in watch] == []
    assert await watch.code() is grpc.StatusCode.OK
    assert [message async for message in system.profiles.WatchProfiles(WatchProfilesRequest())] == []


async def test_streams_both_ways_pass_message_by_message(system: System) -> None:
    beat = system.workers.KeepAlive()
    for worker in ("workers/a", "workers/b"):
        await beat.write(KeepAliveRequest(worker=worker))
        answer = await beat.read()
        assert isinstance(answer, KeepAliveResponse)
        assert answer.worker == worker
    await beat.done_writing()
    assert await beat.code() is grpc.StatusCode.OK


async def test_a_refusal_passes_though_requests_are_still_being_written(system: System) -> None:
    async def write_on(beat: Any) -> None:
        while True:
            await beat.write(KeepAliveRequest(worker="workers/b"))

    # It fails at the first of them nearly always, without what keeps it, but that is a matter of moments.
    for _ in range(5):
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def refuse(entered: asyncio.Event = entered, go_on: asyncio.Event = go_on) -> None:
            entered.set()
            await go_on.wait()
            raise errors.LeaseExpired(worker="workers/a")

        system.lock.record.hooks["KeepAliveRequest"] = refuse
        beat = system.workers.KeepAlive()
        ending = Ending(beat)
        await beat.write(KeepAliveRequest(worker="workers/a"))
        await entered.wait()
        go_on.set()
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await write_on(beat)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await beat.read()
        error = errors.from_rpc_error(await ending.of(caught.value))
        assert isinstance(error, errors.LeaseExpired)
        assert error.worker == "workers/a"


async def test_a_heartbeat_ends_when_the_gateway_stops(system: System) -> None:
    beat = system.workers.KeepAlive()
    await beat.write(KeepAliveRequest(worker="workers/a"))
    assert await beat.read() is not grpc.aio.EOF
    system.forwarder.part()
    assert await beat.read() is grpc.aio.EOF
    assert await beat.code() is grpc.StatusCode.OK
    assert [message async for message in system.workers.KeepAlive()] == []


async def test_a_stream_that_its_caller_generates_passes_too(system: System) -> None:
    async def beats() -> AsyncIterator[KeepAliveRequest]:
        yield KeepAliveRequest(worker="workers/a")

    assert [m.worker async for m in system.workers.KeepAlive(beats())] == ["workers/a"]


async def test_an_operators_word_comes_with_his_roles(system: System) -> None:
    seen: list[tuple[str, ...]] = []

    async def look() -> None:
        seen.append(call.current_identity().roles)

    system.lock.record.hooks["RevokeHoldRequest"] = look
    request = RevokeHoldRequest(profile="p", reason="stuck")
    assert (await system.holds.RevokeHold(request)).incident == "p/incidents/5"
    assert system.lock.record.of(RevokeHoldRequest) == [request]
    assert seen == [("worker", "reviewer", "admin")]


async def test_evidence_streams_through_without_a_deadline(system: System) -> None:
    seen: list[float | None] = []

    async def look() -> None:
        seen.append(call.remaining_s())

    system.recovery.record.hooks["ReadEvidenceRequest"] = look
    chunks = [part.chunk async for part in system.incidents.ReadEvidence(ReadEvidenceRequest(evidence="e"))]
    assert [(chunk[0], len(chunk)) for chunk in chunks] == [(number, 1 << 20) for number in range(3)]
    assert seen == [None]


async def test_incidents_are_answered_by_recovery(system: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.incidents.ListIncidents(ListIncidentsRequest())
    assert isinstance(errors.from_rpc_error(caught.value), errors.Unimplemented)


async def test_a_method_that_no_proto_has_is_unimplemented(system: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        steal: Any = system.channel.unary_unary("/tenure.v1.HoldService/StealHold")
        await steal(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_service_that_is_away_has_a_documented_reason(system: System) -> None:
    system.lock.record.hooks["GetProfileRequest"] = forever
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await system.profiles.GetProfile(GetProfileRequest(profile="p"), timeout=0.3)
    assert errors.from_rpc_error(caught.value).reason == "OUTCOME_UNKNOWN"
