"""The recovery service's life: serve, handle incidents, say when the lock service is away, drain."""

from __future__ import annotations

import asyncio
from functools import partial

from recovery.backends import Backends
from recovery.driver import Driver
from recovery.incident_service import IncidentServicer
from recovery.policy import DEFAULT
from recovery.settings import RecoverySettings
from recovery.times import Times
from servicekit.call import forwarded_identity
from servicekit.channels import Channels
from servicekit.deadlines import REQUIRED
from servicekit.server import Server
from tenure.v1 import incident_service_pb2 as incident_pb
from tenure.v1 import incident_service_pb2_grpc as incident_grpc


async def serve(settings: RecoverySettings, shutdown: asyncio.Event, times: Times | None = None) -> None:
    """Serve until `shutdown` is set, and handle incidents meanwhile.

    What was begun is given up wherever it stands: another replica, or this one later, goes on from the store.
    """
    policy = settings.policy or DEFAULT
    async with (
        Channels("recovery") as channels,
        Server("recovery", settings, forwarded_identity, REQUIRED) as server,
    ):
        backends = Backends(channels, settings.lockservice)
        server.serves(
            partial(incident_grpc.add_IncidentServiceServicer_to_server, IncidentServicer(backends, policy)),
            incident_pb.DESCRIPTOR.services_by_name["IncidentService"].full_name,
        )
        server.depends_on("lockservice", channels.to(settings.lockservice))
        await server.start()
        await server.ready()
        async with asyncio.TaskGroup() as tasks:
            driving = tasks.create_task(Driver(backends, policy, times or Times()).run())
            await shutdown.wait()
            driving.cancel()
