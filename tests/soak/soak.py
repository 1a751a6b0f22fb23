"""One soak: workers that open and close profiles, something that kills, and what must be true of it all."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

import tenure
from tenure.cdp import CdpClosed, CdpError
from tenure.demo.site import DemoSite
from tenure.errors import HoldLost, TenureError
from tenure.page import Page
from tenure.session import Session
from tenure.v1.host_service_pb2 import DrainHostRequest, ListHostsRequest, UncordonHostRequest
from tenure.v1.host_service_pb2_grpc import HostServiceStub
from tests.fixtures.census import browser_of, kill
from tests.fixtures.faults import flushed, sign_in, who
from tests.fixtures.system import RunningSystem
from tests.soak.ledger import Ledger
from tests.soak.person import Person
from tests.soak.remains import Remains, look, strays

HOST, BOTH = "host", "keeper and host"
KILLS = ("chrome", "xvfb", "keeper", HOST, BOTH)
_WEIGHTS = (4, 3, 3, 2, 1)
_CYCLE_S = 180.0
_LOST_S = 45.0
_QUIET_S = 90.0
_LEASE_S = 10
_MORE_DESCRIPTORS = 8
_MORE_OF_OTHERS = 60
_POLL_S = 0.1
_SIGNED_OUT = "/sign-in"


@dataclass(frozen=True, slots=True)
class Play:
    """One cycle: `kill` what, "" for nothing, while it is `held` or after."""

    number: int
    profile: str
    kill: str
    held: bool


@dataclass(slots=True)
class Plan:
    """What is played, all of it by the seed."""

    cycles: int
    profiles: int
    seed: int
    kills: float = 0.4
    together: int = 3

    def plays(self) -> list[Play]:
        rng = random.Random(self.seed)
        names = [f"soak-{number:02}" for number in range(self.profiles)]
        plays = []
        for number in range(self.cycles):
            what = rng.choices(KILLS, _WEIGHTS)[0] if rng.random() < self.kills else ""
            # Every profile is made and signed in before the first kill may hit it.
            first = number < self.profiles
            name = names[number] if first else rng.choice(names)
            plays.append(Play(number, name, "" if first else what, rng.random() < 0.5))
        return plays


@dataclass(slots=True)
class Report:
    """What came of it. Times in seconds."""

    plan: Plan
    ledger: Ledger
    fresh: Remains | None = None
    drained: Remains | None = None
    seconds: float = 0.0
    slowest_open_s: float = 0.0
    looks: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {
            "cycles": self.plan.cycles,
            "profiles": self.plan.profiles,
            "seed": self.plan.seed,
            "seconds": round(self.seconds, 1),
            "slowest_open_s": round(self.slowest_open_s, 2),
            "counts": dict(sorted(self.ledger.counts.items())),
            "fresh": str(self.fresh),
            "drained": str(self.drained),
            "looks": self.looks,
            "violations": self.ledger.violations,
        }


class Soak:
    """On a system that runs, with a site to sign in to. `tmp` is its browsers' temporary directory."""

    def __init__(
        self, system: RunningSystem, site: DemoSite, tmp: Path, plan: Plan, say: Callable[[str], None]
    ) -> None:
        self._system = system
        self._site = site
        self._tmp = tmp
        self._say = say
        self._plan = plan
        self._ledger = Ledger()
        self._person = Person(system, self._ledger)
        self._report = Report(plan, self._ledger)
        self._host_kills = asyncio.Lock()
        self._done = 0

    async def run(self) -> Report:
        """Play it all; the report has what was violated. The system runs on, drained."""
        began = time.monotonic()
        self._report.fresh = look(self._system, self._tmp)
        self._say(f"fresh: {self._report.fresh}")
        person = asyncio.create_task(self._person.run())
        plays = iter(self._plan.plays())
        try:
            await asyncio.gather(*(self._work(plays) for _ in range(self._plan.together)))
            await self._settle()
            await self._drained()
        finally:
            person.cancel()
            await asyncio.gather(person, return_exceptions=True)
        self._report.seconds = time.monotonic() - began
        return self._report

    # --- a cycle -------------------------------------------------------------------------

    async def _work(self, plays: Iterator[Play]) -> None:
        for play in plays:
            if play.profile in self._person.damaged:
                continue
            try:
                async with asyncio.timeout(_CYCLE_S):
                    await self._cycle(play)
            except TimeoutError:
                self._violated(f"cycle {play.number} on {play.profile} was stuck: {play}")
            self._done += 1
            if self._done % 25 == 0:
                await self._tell()

    async def _cycle(self, play: Play) -> None:
        """Until it was really opened once: what another's kill, or this one's, broke is tried again."""
        counts = self._ledger.counts
        while True:
            try:
                async with tenure.connect(self._system.gateway, lease_ttl=_LEASE_S) as client:
                    await self._visit(client, play)
            except (CdpClosed, CdpError, HoldLost) as error:
                counts[f"lost: {getattr(error, 'reason', type(error).__name__)}"] += 1
                if play.kill and play.held:
                    return
            except TenureError as error:
                counts[f"refused: {error.reason}"] += 1
                await asyncio.sleep(_POLL_S)
            else:
                break
            if play.profile in self._person.damaged:
                return
        if play.kill and not play.held:
            await self._kill(play)

    async def _visit(self, client: tenure.Client, play: Play) -> None:
        began = time.monotonic()
        async with client.open(
            play.profile, start_url=f"{self._site.url}/account", wait=60, run_id=f"cycle {play.number}"
        ) as session:
            self._report.slowest_open_s = max(self._report.slowest_open_s, time.monotonic() - began)
            self._ledger.counts["reused" if session.reused_session else "launched"] += 1
            page = await session.cdp()
            await self._sign_in(session, page, play.profile)
            if play.kill and play.held:
                await self._kill(play)
                await self._end_of(session, play)

    async def _sign_in(self, session: Session, page: Page, profile: str) -> None:
        shown = await who(page)
        signed_in = shown == profile
        if not signed_in:
            # A loss is one only when nobody has told of it: hear of everything first.
            await self._person.look()
        others = "" if signed_in or shown == _SIGNED_OUT else shown
        self._ledger.seen(profile, signed_in=signed_in, others=others)
        if not signed_in:
            await sign_in(page, profile)
            await flushed(self._system, session, page)
            self._ledger.acknowledged(profile)

    # --- kills ---------------------------------------------------------------------------

    async def _kill(self, play: Play) -> None:
        try:
            async with self._host_kills:
                if play.kill != HOST:
                    browser = browser_of(self._system, play.profile)
                    kill(browser.keeper if play.kill == BOTH else browser.named(play.kill))
                if play.kill in (HOST, BOTH):
                    await self._kill_host()
        except (ValueError, AssertionError, ProcessLookupError):
            self._ledger.counts["nothing to kill"] += 1  # evicted, or another's kill came first
            return
        self._ledger.counts[f"killed {play.kill}"] += 1

    async def _kill_host(self) -> None:
        old = self._system.part("browserhost")
        if old:
            os.kill(old, signal.SIGKILL)
        await self._until(lambda: self._system.part("browserhost") not in (0, old), "a new host")

    async def _end_of(self, session: Session, play: Play) -> None:
        """Wait for the loss of a hold whose browser was killed; after a host's end it may also go on."""
        deadline = time.monotonic() + _LOST_S
        while time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)  # cancelled by the loss
            if play.kill == HOST and await self._goes_on(session, play.profile):
                self._ledger.counts["holds that outlived their host"] += 1
                return
        self._violated(f"{play} ended no hold within {_LOST_S:g} s")

    async def _goes_on(self, session: Session, profile: str) -> bool:
        try:
            async with asyncio.timeout(5):
                await session.verify()
                return await who(await session.cdp()) == profile
        except (CdpClosed, CdpError, TenureError, OSError, TimeoutError):
            return False

    # --- the end -------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Return when every incident is over."""
        await self._until(lambda: self._person.waiting == 0, "the end of every incident", _QUIET_S)
        await self._person.look()

    async def _drained(self) -> None:
        """Have the host close every browser, and compare what it has then with what it began with."""
        async with grpc.aio.insecure_channel(self._system.gateway) as channel:
            stub = HostServiceStub(channel)
            (host,) = (await stub.ListHosts(ListHostsRequest(), timeout=30)).hosts
            await stub.DrainHost(DrainHostRequest(host=host.name), timeout=30)
            await self._until(self._is_empty, "the end of every browser", _QUIET_S)
            await stub.UncordonHost(UncordonHostRequest(host=host.name), timeout=30)
        fresh, now = self._report.fresh, look(self._system, self._tmp)
        assert fresh is not None
        self._report.drained = now
        self._say(f"drained: {now}")
        for left, what in (
            (now.processes, "processes"),
            (now.temporary, "temporary files"),
            (now.groups, "control groups"),
            (max(0, now.descriptors - fresh.descriptors - _MORE_DESCRIPTORS), "more descriptors of the host"),
            (max(0, now.others - fresh.others - _MORE_OF_OTHERS), "more descriptors of other services"),
        ):
            if left:
                self._violated(f"{left} {what} are left")
        self._ledger.violations += [f"an orphan is left: {each}" for each in strays(self._system)]

    def _is_empty(self) -> bool:
        now = look(self._system, self._tmp)
        return not (now.processes or now.temporary or now.groups or strays(self._system))

    async def _until(self, holds: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while True:
            # A part may end between two looks at it.
            with suppress(OSError):
                if holds():
                    return
            if time.monotonic() > deadline:
                self._violated(f"not within {timeout:g} s: {what}")
                return
            await asyncio.sleep(_POLL_S)

    def _violated(self, what: str) -> None:
        self._ledger.violations.append(what)
        self._say(f"VIOLATION: {what}")

    async def _tell(self) -> None:
        now = "the host is away"
        with suppress(OSError):
            now = str(look(self._system, self._tmp))
        text = f"{self._done}/{self._plan.cycles} cycles · {now} · {len(self._ledger.violations)} violations"
        self._report.looks.append(text)
        self._say(text)
