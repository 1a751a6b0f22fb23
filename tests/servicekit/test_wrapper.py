from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog.testing

from servicekit import call
from servicekit.call import forwarded_identity
from servicekit.channels import Channels
from servicekit.deadlines import REQUIRED, Deadlines
from servicekit.ending import Ending
from servicekit.server import Server
from tenure import errors
from tenure.v1.profile_service_pb2 import WatchProfilesRequest
from tenure.v1.profile_service_pb2_grpc import ProfileServiceStub
from tenure.v1.session_service_pb2 import UploadFileRequest
from tenure.v1.session_service_pb2_grpc import SessionServiceStub
from tenure.v1.system_service_pb2 import GetServerInfoRequest
from tenure.v1.system_service_pb2_grpc import SystemServiceStub
from tenure.v1.worker_service_pb2 import KeepAliveRequest, RenewWorkerRequest
from tenure.v1.worker_service_pb2_grpc import WorkerServiceStub
from tests.servicekit.behaviour import Behaviour, forever, raising

MakeServer = Callable[..., Server]


async def requests(*messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def call_kind(kind: str, channel: grpc.aio.Channel, timeout: float | None = 5) -> list[Any]:
    """Call the method of one of gRPC's four kinds and return its answers."""
    if kind == "unary_unary":
        return [await SystemServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=timeout)]
    if kind == "stream_unary":
        upload = SessionServiceStub(channel).UploadFile(requests(UploadFileRequest()), timeout=timeout)
        return [await upload]
    if kind == "unary_stream":
        watch = ProfileServiceStub(channel).WatchProfiles(WatchProfilesRequest(), timeout=timeout)
        try:
            return [message async for message in watch]
        finally:
            # grpc.aio (1.85) drops a cancellation that comes before the first message.
            watch.cancel()
    beat = WorkerServiceStub(channel).KeepAlive(
        requests(KeepAliveRequest(worker="a"), KeepAliveRequest(worker="b")), timeout=timeout
    )
    ending = Ending(beat)
    try:
        return [message async for message in beat]
    except grpc.aio.AioRpcError as error:
        # The second request may be on its way when the first is refused.
        raise await ending.of(error) from None


KINDS = {"unary_unary": 1, "stream_unary": 1, "unary_stream": 2, "stream_stream": 2}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_method_answers_through_the_wrapper(
    kind: str, make_server: MakeServer, channels: Channels
) -> None:
    async with make_server() as server:
        await server.start()
        assert len(await call_kind(kind, channels.to(server.address))) == KINDS[kind]


@pytest.mark.parametrize(
    "method",
    [
        "SystemService/GetServerInfo",
        "SessionService/UploadFile",
        "ProfileService/WatchProfiles",
        "WorkerService/KeepAlive",
    ],
)
@pytest.mark.parametrize("timeout", [5, None])
async def test_bytes_that_do_not_parse_are_the_callers_mistake_on_every_kind(
    method: str, timeout: float | None, make_server: MakeServer, channels: Channels
) -> None:
    async with make_server() as server:
        await server.start()
        throw: Any = channels.to(server.address).stream_stream(f"/tenure.v1.{method}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in throw(requests(b"\xff\xff"), timeout=timeout):
                pass
    got = errors.from_rpc_error(caught.value)
    assert isinstance(got, errors.InvalidField)
    assert (got.field, got.value) == ("request", "2 bytes")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_documented_error_keeps_its_class_and_fields_on_every_kind(
    kind: str, make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = raising(
        errors.ProfileBusy(profile="a:b", holder_run_id="r", position=2, retry_after_s=1.5)
    )
    async with make_server() as server:
        await server.start()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_kind(kind, channels.to(server.address))
    got = errors.from_rpc_error(caught.value)
    assert isinstance(got, errors.ProfileBusy)
    assert (got.profile, got.position, got.retry_after_s) == ("a:b", 2, 1.5)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bug_is_logged_and_answered_with_nothing_but_the_request_id(
    kind: str, make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = raising(RuntimeError("the secret is out"))
    async with make_server() as server:
        await server.start()
        with structlog.testing.capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_kind(kind, channels.to(server.address))
    got = errors.from_rpc_error(caught.value)
    assert isinstance(got, errors.Internal)
    assert "secret" not in str(caught.value)
    assert got.request_id
    assert [entry["log_level"] for entry in logs if entry["event"] == "failed"] == ["error"]


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_a_call_cancels_its_handler(
    kind: str, make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = forever
    async with make_server() as server:
        await server.start()
        calling = asyncio.create_task(call_kind(kind, channels.to(server.address)))
        await behaviour.entered.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(behaviour.cancelled.wait(), 30)


async def test_a_unary_call_without_a_deadline_gets_the_default(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = forever
    async with make_server(Deadlines(default_s=0.05)) as server:
        await server.start()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_kind("unary_unary", channels.to(server.address), timeout=None)
    assert isinstance(errors.from_rpc_error(caught.value), errors.OutcomeUnknown)
    assert "default deadline of 0.05 s" in str(caught.value)
    assert behaviour.cancelled.is_set()


async def test_the_default_of_a_method_may_depend_on_its_request(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    remaining: list[float | None] = []

    async def act(context: Any) -> None:
        remaining.append(call.remaining_s())

    behaviour.act = act
    rules = {"/tenure.v1.SystemService/GetServerInfo": lambda request: 777.0}
    async with make_server(Deadlines(methods=rules)) as server:
        await server.start()
        await call_kind("unary_unary", channels.to(server.address), timeout=None)
        await call_kind("unary_unary", channels.to(server.address), timeout=300)
        await call_kind("unary_stream", channels.to(server.address), timeout=None)
    by_rule, by_caller, of_stream = remaining
    assert by_rule is not None
    assert 700 < by_rule <= 777
    assert by_caller is not None
    assert by_caller == pytest.approx(300, abs=60)
    assert of_stream is None


async def test_a_timeout_of_the_handlers_own_is_a_bug_not_a_deadline(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    behaviour.act = raising(TimeoutError())
    async with make_server() as server:
        await server.start()
        with structlog.testing.capture_logs(), pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_kind("unary_unary", channels.to(server.address), timeout=None)
    assert isinstance(errors.from_rpc_error(caught.value), errors.Internal)


async def test_between_services_a_unary_call_must_set_a_deadline(
    make_server: MakeServer, channels: Channels
) -> None:
    async with make_server(REQUIRED) as server:
        await server.start()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_kind("unary_unary", channels.to(server.address), timeout=None)
        got = errors.from_rpc_error(caught.value)
        assert isinstance(got, errors.DeadlineRequired)
        assert got.method == "/tenure.v1.SystemService/GetServerInfo"
        assert await call_kind("unary_unary", channels.to(server.address), timeout=30)
        assert await call_kind("stream_stream", channels.to(server.address), timeout=None)


async def test_a_method_left_out_says_that_it_is_not_served_yet(
    make_server: MakeServer, channels: Channels
) -> None:
    async with make_server() as server:
        await server.start()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await WorkerServiceStub(channels.to(server.address)).RenewWorker(RenewWorkerRequest())
    got = errors.from_rpc_error(caught.value)
    assert isinstance(got, errors.Unimplemented)
    assert got.method == "/tenure.v1.WorkerService/RenewWorker"


async def test_a_sane_request_id_is_kept_and_a_strange_one_replaced(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    seen: list[str] = []

    async def act(context: Any) -> None:
        seen.append(call.current_request_id())

    behaviour.act = act
    async with make_server() as server:
        await server.start()
        get = SystemServiceStub(channels.to(server.address)).GetServerInfo
        for sent in ("mine-1", "a b\\n", "x" * 65):
            answer = get(GetServerInfoRequest(), metadata=((call.REQUEST_ID_KEY, sent),))
            await answer
            assert (call.REQUEST_ID_KEY, seen[-1]) in list(await answer.trailing_metadata())
    assert seen[0] == "mine-1"
    assert all(len(minted) == 32 for minted in seen[1:])


async def test_the_caller_is_known_to_the_handler_and_nobody_is_refused(
    make_server: MakeServer, channels: Channels, behaviour: Behaviour
) -> None:
    seen: list[call.Identity] = []

    async def act(context: Any) -> None:
        seen.append(call.current_identity())

    behaviour.act = act
    alice = call.Identity("acme", "alice", ("worker", "reviewer"))
    async with make_server(identify=forwarded_identity) as server:
        await server.start()
        get = SystemServiceStub(channels.to(server.address)).GetServerInfo
        await get(GetServerInfoRequest(), metadata=alice.metadata())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(GetServerInfoRequest())
    assert seen == [alice]
    assert isinstance(errors.from_rpc_error(caught.value), errors.Unauthenticated)
