"""Follows the incidents at work, of every tenant, and has each one handled."""

from __future__ import annotations

import asyncio

import grpc.aio
import structlog

from recovery.backends import Backends
from recovery.handling import Handling
from recovery.policy import Policy
from recovery.times import Times
from servicekit.call import outgoing_metadata
from tenure.errors import from_rpc_error
from tenure.internal.v1.lock_service_pb2 import FollowIncidentsRequest

AT_ONCE = 16
"""Profiles that this replica has inspected at once: an inspection reads files and all processes."""

_log = structlog.get_logger("driver")


class Driver:
    """Every incident that the lock service names gets one task here. `run` it until cancelled."""

    def __init__(self, backends: Backends, policy: Policy, times: Times) -> None:
        self._backends = backends
        self._policy = policy
        self._times = times
        self._inspections = asyncio.Semaphore(AT_ONCE)
        self._handlings: dict[str, Handling] = {}

    async def run(self) -> None:
        """Follow, and begin anew after each break, until cancelled, which ends all work and waits for it.

        A level, not an edge: each stream begins with all the incidents that there are.
        """
        pause = self._times.first_pause_s
        async with asyncio.TaskGroup() as handlings:
            while True:
                try:
                    await self._follow(handlings)
                    pause = self._times.first_pause_s
                except grpc.aio.AioRpcError as error:
                    _log.warning("not following", why=str(from_rpc_error(error)))
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._times.longest_pause_s)

    async def _follow(self, handlings: asyncio.TaskGroup) -> None:
        stream = self._backends.lock.FollowIncidents(
            FollowIncidentsRequest(), metadata=outgoing_metadata(self._backends.identity)
        )
        try:
            async for told in stream:
                if told.synced:
                    _log.info("following", incidents=len(self._handlings))
                elif told.incident in self._handlings:
                    self._handlings[told.incident].see()
                else:
                    handling = Handling(
                        told.incident, self._backends, self._policy, self._times, self._inspections
                    )
                    self._handlings[told.incident] = handling
                    handlings.create_task(self._handle(handling))
        finally:
            stream.cancel()

    async def _handle(self, handling: Handling) -> None:
        try:
            await handling.run()
        finally:
            # An incident is named by the token it ended: once decided it never comes back to be followed.
            del self._handlings[handling.name]
