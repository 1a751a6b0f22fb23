"""The lock service's life: serve, say when etcd is away, drain."""

from __future__ import annotations

import asyncio
from functools import partial

from lockservice.hold_service import HoldServicer
from lockservice.holds import Holds
from lockservice.hosts import Hosts
from lockservice.internal_service import LockServicer
from lockservice.profile_service import ProfileServicer
from lockservice.replica import Replica
from lockservice.settings import LockSettings
from lockservice.worker_service import WorkerServicer
from lockservice.workers import Workers
from servicekit.call import forwarded_identity
from servicekit.deadlines import REQUIRED
from servicekit.metrics import MetricsServer
from servicekit.server import Server
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.internal.v1 import lock_service_pb2_grpc as lock_grpc
from tenure.v1 import hold_service_pb2 as hold_pb
from tenure.v1 import hold_service_pb2_grpc as hold_grpc
from tenure.v1 import profile_service_pb2 as profile_pb
from tenure.v1 import profile_service_pb2_grpc as profile_grpc
from tenure.v1 import worker_service_pb2 as worker_pb
from tenure.v1 import worker_service_pb2_grpc as worker_grpc


async def serve(settings: LockSettings, shutdown: asyncio.Event, *, shares_port: bool = False) -> None:
    """Serve until `shutdown` is set. Starts also while etcd is away; health says so.

    `shares_port`: other processes answer at the same address.
    """
    server = Server("lockservice", settings, forwarded_identity, REQUIRED, shares_port=shares_port)

    async def tell(why: str | None) -> None:
        if why is None:
            await server.available("etcd")
        else:
            await server.unavailable("etcd", why)

    replica = Replica(
        settings.endpoints, settings.etcd_prefix, tell, settings.tls, caps=settings.caps, keeps=settings.keeps
    )
    await server.unavailable("etcd", "not reached yet")
    async with await MetricsServer.start(settings.metrics_listen, replica.metrics.registry), replica, server:
        register(server, replica)
        await server.start()
        await server.ready()
        await shutdown.wait()
        # Waiting calls and streams would hold the drain up. Callers keep their places, and find them at
        # another replica.
        replica.part()


def register(server: Server, replica: Replica) -> None:
    """Add the four services to a server."""
    holds, workers, hosts = Holds(replica), Workers(replica), Hosts(replica)
    public = HoldServicer(replica, holds, workers)
    internal = LockServicer(replica, holds, hosts, public, workers)
    server.serves(
        partial(worker_grpc.add_WorkerServiceServicer_to_server, WorkerServicer(workers, server.draining)),
        worker_pb.DESCRIPTOR.services_by_name["WorkerService"].full_name,
    )
    server.serves(
        partial(hold_grpc.add_HoldServiceServicer_to_server, public),
        hold_pb.DESCRIPTOR.services_by_name["HoldService"].full_name,
    )
    server.serves(
        partial(profile_grpc.add_ProfileServiceServicer_to_server, ProfileServicer(replica, workers)),
        profile_pb.DESCRIPTOR.services_by_name["ProfileService"].full_name,
    )
    server.serves(
        partial(lock_grpc.add_LockServiceServicer_to_server, internal),
        lock_pb.DESCRIPTOR.services_by_name["LockService"].full_name,
    )
