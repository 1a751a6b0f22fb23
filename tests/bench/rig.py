"""What the recovery suite measures on: the services as processes, a crew of workers, the host itself."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from servicekit.channels import CHANNEL_OPTIONS
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tests.fixtures.incidents import Crew, crew_on
from tests.fixtures.pages import plain_site
from tests.fixtures.services import Services, services_in


@dataclass(frozen=True, slots=True)
class Rig:
    """A running system, and the stub of its browser host, to call it as recovery does."""

    services: Services
    crew: Crew
    host: BrowserHostServiceStub


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """The system, with one recovery that speaks to the others directly, until the block is left."""
    with tempfile.TemporaryDirectory(prefix="tenure-bench-", ignore_cleanup_errors=True) as folder:
        async with (
            services_in(Path(folder)) as services,
            plain_site() as url,
            crew_on(services, url) as crew,
            grpc.aio.insecure_channel(services.browserhost.address, options=CHANNEL_OPTIONS) as channel,
        ):
            await services.recovery_without_gates()
            yield Rig(services, crew, BrowserHostServiceStub(channel))
