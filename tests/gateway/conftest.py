"""A whole gateway on free ports, between a real client and the fakes behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc.aio
import pytest

from gateway.backends import Backends
from gateway.forward import Forwarder
from gateway.http import HttpServer
from gateway.service import DEADLINES, add_services
from gateway.settings import GatewaySettings
from servicekit.call import development_identity, forwarded_identity
from servicekit.channels import Channels
from servicekit.deadlines import REQUIRED
from servicekit.server import Server
from servicekit.settings import ServiceSettings
from tenure.internal.v1 import browser_host_service_pb2_grpc, lock_service_pb2_grpc
from tenure.v1 import (
    hold_service_pb2_grpc,
    host_service_pb2_grpc,
    incident_service_pb2_grpc,
    profile_service_pb2_grpc,
    session_service_pb2_grpc,
    system_service_pb2_grpc,
    worker_service_pb2_grpc,
)
from tests.gateway.fakes import FakeHost, FakeLock, FakeRecovery


@dataclass
class System:
    """The gateway's client side, and what stands behind it."""

    channel: grpc.aio.Channel
    lock: FakeLock
    recovery: FakeRecovery
    hosts: list[FakeHost]
    host_servers: list[Server]
    backends: Backends
    gateway: Server
    http: HttpServer
    forwarder: Forwarder

    def __post_init__(self) -> None:
        self.sessions = session_service_pb2_grpc.SessionServiceStub(self.channel)
        self.holds = hold_service_pb2_grpc.HoldServiceStub(self.channel)
        self.workers = worker_service_pb2_grpc.WorkerServiceStub(self.channel)
        self.profiles = profile_service_pb2_grpc.ProfileServiceStub(self.channel)
        self.incidents = incident_service_pb2_grpc.IncidentServiceStub(self.channel)
        self.host_service = host_service_pb2_grpc.HostServiceStub(self.channel)
        self.info = system_service_pb2_grpc.SystemServiceStub(self.channel)

    @property
    def host(self) -> FakeHost:
        return self.hosts[0]


@pytest.fixture
async def system() -> AsyncIterator[System]:
    lock, hosts = FakeLock(), [FakeHost("hosts/a"), FakeHost("hosts/b")]
    async with AsyncExitStack() as stack:

        async def start(name: str, *adds: Any) -> Server:
            settings = ServiceSettings(grace_s=0.1)
            server = Server(name, settings, forwarded_identity, REQUIRED)
            await stack.enter_async_context(server)
            for add in adds:
                server.serves(add)
            await server.start()
            return server

        lock_server = await start(
            "lockservice",
            partial(lock_service_pb2_grpc.add_LockServiceServicer_to_server, lock),
            partial(hold_service_pb2_grpc.add_HoldServiceServicer_to_server, lock),
            partial(worker_service_pb2_grpc.add_WorkerServiceServicer_to_server, lock),
            partial(profile_service_pb2_grpc.add_ProfileServiceServicer_to_server, lock),
        )
        host_servers = []
        for host in hosts:
            add = browser_host_service_pb2_grpc.add_BrowserHostServiceServicer_to_server
            host_servers.append(await start(host.name, partial(add, host)))
            await stack.enter_async_context(host.devtools)
            lock.hosts.append(host.facts(host_servers[-1].address))
        incidents = FakeRecovery()
        add_incidents = incident_service_pb2_grpc.add_IncidentServiceServicer_to_server
        recovery = await start("recovery", partial(add_incidents, incidents))

        settings = GatewaySettings(
            listen="127.0.0.1:0",
            http_listen="127.0.0.1:0",
            grace_s=0.1,
            lockservice=lock_server.address,
            recovery=recovery.address,
        )
        channels = await stack.enter_async_context(Channels("gateway"))
        backends = Backends(channels, settings.lockservice)
        gateway = Server("gateway", settings, development_identity, DEADLINES)
        http = await stack.enter_async_context(
            await HttpServer.start(settings.http_listen, backends, gateway.away, resume_s=settings.resume_s)
        )
        await stack.enter_async_context(gateway)
        forwarder = add_services(gateway, backends, settings, http.address)
        await gateway.start()
        await gateway.ready()
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.address))
        yield System(channel, lock, incidents, hosts, host_servers, backends, gateway, http, forwarder)
