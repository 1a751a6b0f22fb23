"""What the demo's steps play on: a system of its own, the site, and workers in this and other processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tenure.client import Client, connect
from tenure.demo.claims import claim
from tenure.demo.puppet import Puppet
from tenure.demo.site import PASSWORD, DemoSite
from tenure.page import Page
from tenure.session import Session
from tenure.supervisor import System
from tenure.v1 import hold_pb2
from tenure.v1.incident_pb2 import Incident

ALICE, BOB = "alice:linkedin", "bob:linkedin"
WAIT_S = 20.0
_POLL_S = 0.02
_UNDECIDED = (
    hold_pb2.PROFILE_STATE_HELD,
    hold_pb2.PROFILE_STATE_SUSPECTED_STALE,
    hold_pb2.PROFILE_STATE_QUARANTINED,
    hold_pb2.PROFILE_STATE_INSPECTED,
)


@dataclass(slots=True)
class Stage:
    """Shared by the steps, which leave what later ones build on. Owned: its processes end with it."""

    system: System
    site: DemoSite
    pictures: Path
    """Where evidence is saved for people to look at."""
    tokens: list[int] = field(default_factory=list)
    """Every token that `alice:linkedin` was granted, in order."""
    stopped: Puppet | None = None
    """The worker that was stopped in the middle of a checkout."""
    incident: str = ""
    """What its hold ended in."""
    waiting: asyncio.Task[Session] | None = None
    """A run that waits for `alice:linkedin` through all of it."""
    _owned: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            await asyncio.gather(self.waiting, return_exceptions=True)
        await self._owned.aclose()

    @asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[Client]:
        """A worker of its own: another lease, as if in another process."""
        async with connect(self.system.gateway, labels={"demo": name}) as client:
            yield client

    async def puppet(self, **opening: Any) -> Puppet:
        """A worker in another process, with a session on alice opened as `Client.open` is told to."""
        puppet = await self._owned.enter_async_context(Puppet.started(self.system.gateway))
        puppet.token = (await puppet.order("open", profile=ALICE, **opening))["fencing_token"]
        self.granted(puppet.token)
        return puppet

    def granted(self, token: int) -> None:
        """Claim that alice's tokens rise, and remember this one."""
        if self.tokens:
            claim(token > self.tokens[-1], f"token {token} is not above {self.tokens[-1]}, the one before")
        self.tokens.append(token)

    async def sign_in(self, page: Page, name: str) -> None:
        """Fill in the form with mouse and keyboard, as a person would, and claim that it worked."""
        await page.type("#name", name)
        await page.type("#password", PASSWORD)
        async with page.navigation():
            await page.click("#sign-in")
        await self.expect_signed_in(page, name)

    async def expect_signed_in(self, page: Page, name: str) -> None:
        """Claim that the account page in front is that of `name`."""
        who = await page.evaluate("document.querySelector('#who')?.textContent ?? location.pathname")
        claim(who == name, f"the site does not know {name}; it shows {who!r}")

    async def queued(self, worker: Client, waiting: asyncio.Task[Session]) -> None:
        """Return once somebody stands in a queue."""
        async with asyncio.timeout(WAIT_S):
            while not waiting.done():
                if any(profile.waiters for profile in await worker.profiles()):
                    return
                await asyncio.sleep(_POLL_S)
        claim(False, f"the run that should wait ended instead: {waiting.exception()}")

    async def decided(self, worker: Client, token: int) -> Incident:
        """The incident that alice's hold of `token` ends in, once recovery has decided it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                [alice] = [each for each in await worker.profiles() if each.as_sent == ALICE]
                if alice.state not in _UNDECIDED:
                    return await worker.incident(f"{alice.name}/incidents/{token}")
                await asyncio.sleep(_POLL_S)
