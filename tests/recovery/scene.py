"""Recovery on a real lock service and real etcd, with a host that answers what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc.aio

from lockservice.core.record import State
from recovery.backends import Backends
from recovery.driver import Driver
from recovery.incident_service import IncidentServicer
from recovery.policy import DEFAULT
from recovery.times import Times
from servicekit.call import Identity, forwarded_identity
from servicekit.channels import CHANNEL_OPTIONS, Channels
from servicekit.deadlines import REQUIRED
from servicekit.server import Server
from servicekit.settings import ServiceSettings
from tenure import errors
from tenure.internal.v1 import browser_host_service_pb2 as host_pb
from tenure.internal.v1.browser_host_service_pb2_grpc import (
    BrowserHostServiceServicer,
    add_BrowserHostServiceServicer_to_server,
)
from tenure.internal.v1.lock_service_pb2 import ReadIncidentResponse, RegisterHostRequest
from tenure.names import ProfileName
from tenure.v1 import worker_service_pb2
from tenure.v1.hold_pb2 import Hold
from tenure.v1.host_pb2 import Host, HostState
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence, EvidenceItem, Incident
from tenure.v1.incident_service_pb2_grpc import (
    IncidentServiceStub,
    add_IncidentServiceServicer_to_server,
)
from tests.fixtures.census import until
from tests.fixtures.etcd import Store
from tests.lockservice import incidents
from tests.lockservice.replicas import Running, running
from tests.recovery.facts import START, at

HOME = "hosts/h1"
QUICK = Times(cut_off_s=0.4, patience_s=0.4, first_pause_s=0.02, longest_pause_s=0.1, late_pause_s=0.1)
"""Everything soon. What a wait is for stays visible: no test's other calls take as long."""

NEVER = dataclasses.replace(QUICK, cut_off_s=3600, patience_s=3600)
"""Nothing is given up."""
OUT = (State.AVAILABLE, State.RETRY, State.RESUME_PENDING, State.MANUAL_REVIEW)
"""Where an incident's way ends."""

Hook = Callable[[], Awaitable[None]]


def failing(error: Exception, times: int = 10**6) -> Hook:
    """What makes the first so many calls of a method fail."""
    left = itertools.count(1)

    async def hook() -> None:
        if next(left) <= times:
            raise error

    return hook


def recorded(incident: str, number: int, kind: str = "url", text: str = START) -> EvidenceItem:
    """A piece of the host's evidence."""
    return EvidenceItem(
        name=f"{incident}/evidence/{number:06d}-{kind}", kind=kind, text=text, record_time=at(number)
    )


class FakeHost(BrowserHostServiceServicer):
    """Acknowledges and answers at once, unless a test's hook does something before."""

    def __init__(self) -> None:
        self.hooks: dict[str, Hook] = {}
        self.asked: list[str] = []
        self.evidence = Evidence(
            directory=DirectoryFinding.DIRECTORY_FINDING_LIVE,
            browser_alive=True,
            browser_opened=True,
            start_url=START,
            last_url=START,
            account_touched=False,
            form_in_flight=False,
        )
        self.pages = [START]
        self.contents: dict[str, bytes] = {}

    async def _ask(self, method: str) -> None:
        self.asked.append(method)
        if method in self.hooks:
            await self.hooks[method]()

    def _items(self, request: Any) -> list[EvidenceItem]:
        incident = f"{request.profile}/incidents/{request.fencing_token}"
        return [recorded(incident, number, text=page) for number, page in enumerate(self.pages, 1)]

    async def QuarantineHold(self, request: Any, context: Any) -> host_pb.QuarantineHoldResponse:
        await self._ask("QuarantineHold")
        return host_pb.QuarantineHoldResponse(floor=request.fencing_token + 1, browser_alive=True)

    async def InspectProfile(self, request: Any, context: Any) -> host_pb.InspectProfileResponse:
        await self._ask("InspectProfile")
        return host_pb.InspectProfileResponse(evidence=self.evidence, items=self._items(request))

    async def ListWitness(self, request: Any, context: Any) -> host_pb.ListWitnessResponse:
        await self._ask("ListWitness")
        return host_pb.ListWitnessResponse(items=self._items(request))

    async def ReadWitness(
        self, request: host_pb.ReadWitnessRequest, context: Any
    ) -> AsyncIterator[host_pb.ReadWitnessResponse]:
        await self._ask("ReadWitness")
        content = self.contents.get(request.evidence)
        if content is None:
            raise errors.NotFound(name=request.evidence)
        for start in range(0, len(content), 3):
            yield host_pb.ReadWitnessResponse(chunk=content[start : start + 3])


@dataclass
class Scene:
    """A lock service, a host that is its profiles' home, and what recovers them."""

    lock: Running
    host: FakeHost
    host_server: Server
    stack: AsyncExitStack
    channels: Channels

    async def register_host(self, address: str = "") -> None:
        """Make the host known, at its own address or another."""
        host = Host(
            name=HOME,
            address=address or self.host_server.address,
            capacity=9,
            state=HostState.HOST_STATE_READY,
        )
        await self.lock.call(self.lock.lock.RegisterHost, RegisterHostRequest(host=host))

    async def hold(self, profile: str, home: str = HOME, **fields: Any) -> Hold:
        """A hold of a new worker's."""
        worker = await self.lock.worker()
        if not home:
            return await self.lock.acquire(profile, worker, **fields)
        return await incidents.for_session(self.lock, profile, worker, home, **fields)

    async def end_worker(self, hold: Hold) -> str:
        """End the worker, as when its lease runs out; returns the incident's name."""
        await self.lock.call(
            self.lock.workers.EndWorker, worker_service_pb2.EndWorkerRequest(worker=hold.worker)
        )
        return incidents.of(hold)

    async def until(self, hold: Hold, *states: State) -> Incident:
        """Wait until the profile is in one of the states, and return the hold's incident."""
        name = ProfileName(self.lock.tenant, hold.profile.rpartition("/")[2])
        mirror = self.lock.replica.mirror
        async with asyncio.timeout(30):
            while (record := mirror.record(name)) is None or record.state not in states:
                await self.lock.replica._advanced.wait()
        return (await self.read(hold)).incident

    async def read(self, hold: Hold) -> ReadIncidentResponse:
        return await incidents.read(self.lock, incidents.of(hold))

    async def until_idle(self, driver: Driver) -> None:
        """Wait until a driver has no incident in hand."""
        await until(lambda: not driver._handlings, "no incident in hand", 30)

    @contextlib.asynccontextmanager
    async def recovery(self, times: Times = QUICK, lockservice: str = "") -> AsyncIterator[Driver]:
        """A recovery replica at work, until the block is left."""
        async with Channels("recovery") as channels:
            driver = Driver(Backends(channels, lockservice or self.lock.server.address), DEFAULT, times)
            task = asyncio.create_task(driver.run())
            try:
                yield driver
            finally:
                assert not task.done() or task.result() is None
                task.cancel()
                await asyncio.wait([task])
                assert not driver._handlings

    async def api(self) -> Api:
        """Recovery's public service, as its clients' gateway calls it."""
        server = Server("recovery", ServiceSettings(grace_s=0.1), forwarded_identity, REQUIRED)
        await self.stack.enter_async_context(server)
        servicer = IncidentServicer(Backends(self.channels, self.lock.server.address), DEFAULT)
        server.serves(partial(add_IncidentServiceServicer_to_server, servicer))
        await server.start()
        channel = grpc.aio.insecure_channel(server.address, options=CHANNEL_OPTIONS)
        await self.stack.enter_async_context(channel)
        return Api(IncidentServiceStub(channel))


@dataclass
class Api:
    """Calls as a tenant's person; raises the TenureError that was answered."""

    stub: IncidentServiceStub
    identity: Identity = field(default_factory=lambda: Identity("default", "ann", ("worker", "reviewer")))

    async def call(self, method: str, request: Any) -> Any:
        try:
            return await getattr(self.stub, method)(request, timeout=30, metadata=self.identity.metadata())
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None

    async def refusal(self, method: str, request: Any) -> errors.TenureError:
        """Why a call is refused, as it must be."""
        try:
            answer = await self.call(method, request)
        except errors.TenureError as error:
            return error
        raise AssertionError(f"{method} was not refused: {answer}")

    def as_(self, tenant: str = "default", roles: tuple[str, ...] = ("worker",)) -> Api:
        """The same service for somebody else."""
        return Api(self.stub, Identity(tenant, "bob", roles))

    async def stream(self, method: str, request: Any) -> list[Any]:
        try:
            called = getattr(self.stub, method)(request, timeout=30, metadata=self.identity.metadata())
            return [answer async for answer in called]
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None


@contextlib.asynccontextmanager
async def scene_on(etcd: Store) -> AsyncIterator[Scene]:
    """A scene without any recovery yet."""
    async with AsyncExitStack() as stack:
        lock = await stack.enter_async_context(running(etcd.endpoints, etcd.prefix))
        lock.roles = ("service", "worker", "reviewer")
        host = FakeHost()
        server = Server("host", ServiceSettings(grace_s=0.1), forwarded_identity, REQUIRED)
        await stack.enter_async_context(server)
        server.serves(partial(add_BrowserHostServiceServicer_to_server, host))
        await server.start()
        channels = await stack.enter_async_context(Channels("recovery"))
        scene = Scene(lock, host, server, stack, channels)
        await scene.register_host()
        yield scene
