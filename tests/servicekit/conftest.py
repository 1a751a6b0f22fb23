"""A real server on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from servicekit.call import DEV_IDENTITY, Identity
from servicekit.channels import Channels
from servicekit.deadlines import Deadlines
from servicekit.server import Server
from servicekit.settings import ServiceSettings
from tenure.v1 import (
    profile_service_pb2_grpc,
    session_service_pb2_grpc,
    system_service_pb2_grpc,
    worker_service_pb2_grpc,
)
from tests.servicekit.behaviour import Behaviour


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def make_server(behaviour: Behaviour) -> Callable[..., Server]:
    def make(
        deadlines: Deadlines | None = None,
        identify: Callable[[Any], Identity] = lambda metadata: DEV_IDENTITY,
        shares_port: bool = False,
        **settings: Any,
    ) -> Server:
        server = Server(
            "test",
            ServiceSettings(**settings),
            identify,
            deadlines or Deadlines(),
            shares_port=shares_port,
        )
        server.serves(
            partial(system_service_pb2_grpc.add_SystemServiceServicer_to_server, behaviour),
            "tenure.v1.SystemService",
        )
        for add in (
            profile_service_pb2_grpc.add_ProfileServiceServicer_to_server,
            session_service_pb2_grpc.add_SessionServiceServicer_to_server,
            worker_service_pb2_grpc.add_WorkerServiceServicer_to_server,
        ):
            server.serves(partial(add, behaviour))
        return server

    return make


@pytest.fixture
async def channels() -> AsyncIterator[Channels]:
    async with Channels("test") as channels:
        yield channels
