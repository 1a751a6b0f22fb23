"""A gRPC server that starts, says that it is ready, and drains in order.

Health says NOT_SERVING while starting, while draining, and while a dependency is away.
The drain: refuse new calls, let the running ones finish for a grace period, cancel what
is left; the resources they used are released after that, by whoever holds them around
the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from servicekit.deadlines import Deadlines
from servicekit.dependency import follow_health
from servicekit.settings import ServiceSettings
from servicekit.wrapper import CallWrapper, Identify

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# Of the options that allow clients' keep-alive pings only this spelling works in grpcio 1.85.
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    # Beyond these (1,000 and 3,000 unless told), calls that came faster than the event loop took them are
    # dropped as CANCELLED, more and more of them and then all. Waiting calls come by the thousand whenever a
    # replica starts or stops, and one that is not taken yet costs little but its request's bytes.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 30_000),
)

# How long cancelled handlers get for their own clean-up.
CLEAN_UP_S = 2.0

_log = structlog.get_logger("server")


class CannotStart(Exception):
    """Something that is not the service's to mend keeps it from starting; its text says what to do."""


class BindError(CannotStart):
    """The listen address cannot be had; nothing was started."""

    def __init__(self, address: str, why: str, setting: str = "listen") -> None:
        super().__init__(address, why, setting)
        self.address = address
        self.why = why
        self.setting = setting

    def __str__(self) -> str:
        variable = f"TENURE_{self.setting.upper().replace('-', '_')}"
        return (
            f"cannot listen on {self.address}: {self.why}. "
            f"Choose another address with --{self.setting} or {variable} (port 0 takes a free one)."
        )


class Server:
    """One service's gRPC server. Owned: `async with`; leaving the block drains it.

    Add servicers to `grpc` and name their services with `serves`, then `start`, then
    `ready`. `draining` is set when the drain begins, for calls that are parked.

    A taken port is an error, never two servers sharing it; but with `shares_port`, where the
    address is one that `reserved` gave, each of several processes gets its share of the connections.
    """

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        identify: Identify,
        deadlines: Deadlines,
        *,
        shares_port: bool = False,
    ) -> None:
        self.name = name
        self._calls = CallWrapper(identify, deadlines)
        self._shares_port = shares_port
        options = (("grpc.so_reuseport", int(shares_port)), *SERVER_OPTIONS)
        self.grpc = grpc.aio.server(options=options)
        self._add = self.grpc.add_generic_rpc_handlers
        self.grpc.add_generic_rpc_handlers = self._add_wrapped  # type: ignore[assignment]
        # Generated code adds its methods twice, as generic and as "registered" ones. Of the registered ones
        # grpc.aio keeps an accept pending each, and waits for all of them anew at every call (grpcio 1.85
        # `_server_main_loop`): 0.1 ms of CPU where there are fifty. The generic ones answer them all.
        self.grpc.add_registered_method_handlers = _nothing  # type: ignore[assignment]
        self.address = settings.listen
        self._bound = False
        self.draining = asyncio.Event()
        self._settings = settings
        self._services: list[str] = []
        self._health = health.aio.HealthServicer()
        self._away: dict[str, str] = {"start": "still starting"}
        self._followers: list[asyncio.Task[None]] = []

    def _add_wrapped(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._add(self._calls.wrapped(handlers))

    def away(self) -> dict[str, str]:
        """What keeps it from serving, and why; empty while it serves."""
        return {**self._away, "server": "stopping"} if self.draining.is_set() else dict(self._away)

    def serves(self, add: Callable[[grpc.aio.Server], None], *services: str) -> None:
        """Add what `add` registers, listed in reflection and health under `services`."""
        add(self.grpc)
        self._services.extend(services)

    def bind(self) -> None:
        """Take the address, where nobody is answered yet. Idempotent. Raises BindError."""
        if not self._bound:
            if not self._shares_port:
                _check_free(self._settings.listen)
            self.address = _bind(self.grpc, self._settings.listen)
            self._bound = True

    async def start(self) -> None:
        """Bind and answer calls; health stays NOT_SERVING until `ready`. Raises BindError."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        await self._tell_health()
        names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self.grpc)
        self.bind()
        await self.grpc.start()

    async def ready(self) -> None:
        """Say SERVING, and announce the address on the descriptor that the settings name."""
        self._away.pop("start", None)
        await self._tell_health()
        announce(self.name, self.address, self._settings.ready_fd)

    async def unavailable(self, dependency: str, why: str) -> None:
        """Say NOT_SERVING until `available` is told of the same dependency. Idempotent."""
        if self._away.get(dependency) != why:
            _log.warning("not serving", dependency=dependency, why=why)
            self._away[dependency] = why
            await self._tell_health()

    async def available(self, dependency: str) -> None:
        """Take `unavailable` back. Idempotent."""
        if self._away.pop(dependency, None) is not None:
            _log.info("dependency is there", dependency=dependency)
            await self._tell_health()

    def depends_on(self, dependency: str, channel: grpc.aio.Channel) -> None:
        """Say NOT_SERVING whenever the service behind `channel` does. Call it once running."""

        async def tell(why: str | None) -> None:
            if why is None:
                await self.available(dependency)
            else:
                await self.unavailable(dependency, why)

        self._away[dependency] = "not reached yet"
        self._followers.append(asyncio.create_task(follow_health(channel, tell)))

    async def drain(self) -> None:
        """Refuse new calls, finish, then cancel after the grace period. Idempotent."""
        if self.draining.is_set():
            return
        self.draining.set()
        _log.info("draining", service=self.name, grace_s=self._settings.grace_s)
        for follower in self._followers:
            follower.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)
        await self._health.enter_graceful_shutdown()
        refusing = asyncio.create_task(self.grpc.stop(self._settings.grace_s))
        finished = asyncio.create_task(self._calls.idle.wait())
        await asyncio.wait({refusing, finished}, return_when=asyncio.FIRST_COMPLETED)
        # What runs now is health watches, which never end, and calls past the grace period.
        await self.grpc.stop(None)
        await refusing
        # Handlers that were cancelled clean up after themselves before we let go of what they use.
        await asyncio.wait({finished}, timeout=CLEAN_UP_S)
        finished.cancel()

    async def _tell_health(self) -> None:
        status = _NOT_SERVING if self._away else _SERVING
        for service in ("", *self._services):
            await self._health.set(service, status)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        drain = asyncio.ensure_future(self.drain())
        try:
            await asyncio.shield(drain)
        except asyncio.CancelledError:
            await drain  # bounded by the grace period; what we hold is released after it
            raise


def _nothing(*_: object) -> None:
    return


def announce(service: str, address: str, ready_fd: int | None) -> None:
    """Say that a service answers at `address`: in the log, and on the descriptor, which is closed then."""
    _log.info("ready", service=service, address=address)
    if ready_fd is not None:
        os.write(ready_fd, (json.dumps({"service": service, "address": address}) + "\n").encode())
        os.close(ready_fd)


@contextmanager
def reserved(address: str) -> Iterator[str]:
    """Keep the port of `address`, or a free one for 0, from everybody but servers of ours that share it.

    Yields the address with the port; nobody answers there by this alone. Raises BindError.
    """
    _check_free(address)
    family, where = _resolved(address)
    with socket.socket(family, socket.SOCK_STREAM) as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            keeper.bind(where)
        except OSError as error:
            raise BindError(address, (error.strerror or str(error)).lower()) from None
        yield f"{address.rpartition(':')[0]}:{keeper.getsockname()[1]}"


def _check_free(address: str) -> None:
    """gRPC does not say why it cannot bind; the socket call does. Raises BindError."""
    family, where = _resolved(address)
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen()
    except OSError as error:
        raise BindError(address, (error.strerror or str(error)).lower()) from None


def _resolved(address: str) -> tuple[int, Any]:
    """The family and the socket address of `host:port`. Raises BindError."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise BindError(address, (error.strerror or str(error)).lower()) from None
    return found[0][0], found[0][4]


def _bind(server: grpc.aio.Server, address: str) -> str:
    """Bind and return the address with the port that was taken."""
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise BindError(address, str(error)) from None
    return f"{address.rpartition(':')[0]}:{bound}"
