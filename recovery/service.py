"""The recovery service's life: serve, say when the lock service is away, drain."""

from __future__ import annotations

import asyncio
from functools import partial

from recovery.settings import RecoverySettings
from servicekit.call import forwarded_identity
from servicekit.channels import Channels
from servicekit.deadlines import REQUIRED
from servicekit.server import Server
from tenure.v1 import incident_service_pb2 as incident_pb
from tenure.v1 import incident_service_pb2_grpc as incident_grpc


async def serve(settings: RecoverySettings, shutdown: asyncio.Event) -> None:
    """Serve until `shutdown` is set. The methods of the API answer UNIMPLEMENTED."""
    async with (
        Channels("recovery") as channels,
        Server("recovery", settings, forwarded_identity, REQUIRED) as server,
    ):
        unimplemented = incident_grpc.IncidentServiceServicer()
        server.serves(
            partial(incident_grpc.add_IncidentServiceServicer_to_server, unimplemented),
            incident_pb.DESCRIPTOR.services_by_name["IncidentService"].full_name,
        )
        server.depends_on("lockservice", channels.to(settings.lockservice))
        await server.start()
        await server.ready()
        await shutdown.wait()
