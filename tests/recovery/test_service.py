from __future__ import annotations

import asyncio
import json
import os

import grpc.aio
import pytest

from recovery.service import serve
from recovery.settings import RecoverySettings
from servicekit.call import DEV_IDENTITY
from tenure import errors
from tenure.v1.incident_service_pb2 import ListIncidentsRequest, WatchIncidentsRequest
from tenure.v1.incident_service_pb2_grpc import IncidentServiceStub


async def test_incidents_answer_that_they_are_not_served_yet() -> None:
    read, write = os.pipe()
    shutdown = asyncio.Event()
    settings = RecoverySettings(lockservice="127.0.0.1:1", ready_fd=write)
    serving = asyncio.create_task(serve(settings, shutdown))
    with os.fdopen(read) as pipe:
        address = json.loads(await asyncio.to_thread(pipe.readline))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        stub = IncidentServiceStub(channel)
        metadata = DEV_IDENTITY.metadata()
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await stub.ListIncidents(ListIncidentsRequest(), timeout=5, metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            await anext(aiter(stub.WatchIncidents(WatchIncidentsRequest(), metadata=metadata)))
    shutdown.set()
    await serving
    for caught in (unary, stream):
        got = errors.from_rpc_error(caught.value)
        assert isinstance(got, errors.Unimplemented)
        assert "does not serve it yet" in str(got)
