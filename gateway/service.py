"""The gateway's life: one address for every service of the API."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from gateway import limits
from gateway.backends import Backends
from gateway.custody import Custody
from gateway.forward import Forwarder
from gateway.holds import Releases
from gateway.http import HttpServer
from gateway.importing import Imports
from gateway.move import Moves
from gateway.release import Releaser
from gateway.sessions import Sessions
from gateway.settings import GatewaySettings
from gateway.steps import Steps
from gateway.system import Hosts, System
from servicekit.call import development_identity
from servicekit.channels import Channels
from servicekit.deadlines import Deadlines
from servicekit.server import Server
from tenure.v1 import (
    hold_service_pb2,
    host_service_pb2,
    host_service_pb2_grpc,
    incident_service_pb2,
    profile_service_pb2,
    session_service_pb2,
    session_service_pb2_grpc,
    system_service_pb2,
    system_service_pb2_grpc,
    worker_service_pb2,
)

Decoded = TypeVar("Decoded", bound=Message)

SESSIONS = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]
HOSTS = host_service_pb2.DESCRIPTOR.services_by_name["HostService"]
SYSTEM = system_service_pb2.DESCRIPTOR.services_by_name["SystemService"]
WORKERS = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"]
HOLDS = hold_service_pb2.DESCRIPTOR.services_by_name["HoldService"]
PROFILES = profile_service_pb2.DESCRIPTOR.services_by_name["ProfileService"]
INCIDENTS = incident_service_pb2.DESCRIPTOR.services_by_name["IncidentService"]
FORWARDED: tuple[ServiceDescriptor, ...] = (WORKERS, HOLDS, PROFILES, INCIDENTS)


def open_deadline(request: session_service_pb2.OpenSessionRequest) -> float:
    """Seconds for an OpenSession without a deadline: its wait, and then a cold start."""
    return limits.OPEN_DEADLINE_S + max(0, request.wait.seconds)


def act_deadline(request: session_service_pb2.ActRequest) -> float:
    """Seconds for an Act without a deadline: what it is to wait for, and then what it does."""
    waits = sum(max(0, action.wait.duration.seconds) for action in request.actions)
    return limits.DEFAULT_DEADLINE_S + waits + max(0, request.settle.seconds)


def acquire_deadline(request: bytes) -> float:
    """Seconds for an AcquireHold without a deadline; the request is passed on undecoded."""
    wait = _decoded(hold_service_pb2.AcquireHoldRequest(), request).wait.seconds
    return max(limits.DEFAULT_DEADLINE_S, wait + limits.ACQUIRE_MARGIN_S)


def _decoded(empty: Decoded, request: bytes) -> Decoded:
    """The request; empty when it cannot be decoded, which the service behind will refuse."""
    with suppress(DecodeError):
        empty.ParseFromString(request)
    return empty


DEADLINES = Deadlines(
    default_s=limits.DEFAULT_DEADLINE_S,
    methods={
        f"/{SESSIONS.full_name}/OpenSession": open_deadline,
        f"/{SESSIONS.full_name}/Act": act_deadline,
        f"/{HOLDS.full_name}/AcquireHold": acquire_deadline,
        f"/{HOSTS.full_name}/Prewarm": limits.OPEN_DEADLINE_S,
        f"/{PROFILES.full_name}/MoveProfile": limits.MOVE_DEADLINE_S,
        f"/{PROFILES.full_name}/TakeSnapshot": limits.MOVE_DEADLINE_S,
        f"/{PROFILES.full_name}/RestoreProfile": limits.MOVE_DEADLINE_S,
        f"/{PROFILES.full_name}/ImportProfile": limits.MOVE_DEADLINE_S,
    },
)


async def serve(settings: GatewaySettings, shutdown: asyncio.Event) -> None:
    """Serve until `shutdown` is set."""
    server = Server("gateway", settings, development_identity, DEADLINES)
    async with Channels("gateway") as channels:
        backends = Backends(channels, settings.lockservice)
        # Calls are drained first: what drives a browser meanwhile goes on until there are none left.
        starting = HttpServer.start(settings.http_listen, backends, server.away, resume_s=settings.resume_s)
        async with await starting as http, server:
            await _serve(server, backends, settings, http.address, shutdown)


async def _serve(
    server: Server, backends: Backends, settings: GatewaySettings, http: str, shutdown: asyncio.Event
) -> None:
    forwarder = add_services(server, backends, settings, http)
    server.depends_on("lockservice", backends.channels.to(settings.lockservice))
    await server.start()
    await server.ready()
    await shutdown.wait()
    forwarder.part()


def add_services(server: Server, backends: Backends, settings: GatewaySettings, http: str) -> Forwarder:
    """Register every service of the API, those behind the gateway too: answers what passes them on. `http` is
    the HTTP side's address.
    """
    releaser = Releaser(backends)
    server.serves(
        partial(
            session_service_pb2_grpc.add_SessionServiceServicer_to_server,
            Sessions(backends, releaser, http),
        ),
        SESSIONS.full_name,
    )
    server.serves(
        partial(host_service_pb2_grpc.add_HostServiceServicer_to_server, Hosts(backends)),
        HOSTS.full_name,
    )
    server.serves(
        partial(system_service_pb2_grpc.add_SystemServiceServicer_to_server, System()),
        SYSTEM.full_name,
    )
    forwarder = Forwarder(
        backends.channels,
        {settings.lockservice: [WORKERS, HOLDS, PROFILES], settings.recovery: [INCIDENTS]},
    )
    # In this order: what is typed here of a service comes before what is passed on.
    typed = (
        Releases(backends, releaser),
        Steps(backends),
        Moves(backends),
        Custody(backends),
        Imports(backends, releaser),
    )
    handlers = (*(each.handler() for each in typed), forwarder)
    server.serves(
        lambda grpc_server: grpc_server.add_generic_rpc_handlers(handlers),
        *(service.full_name for service in FORWARDED),
    )
    return forwarder
