"""One soak: workers that open and close profiles, something that kills, and what must be true of it all."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

import tenure
from tenure.cdp import CdpClosed, CdpError
from tenure.errors import HoldLost, NavigationFailed, TenureError
from tenure.page import Page
from tenure.session import Session
from tenure.v1.host_service_pb2 import DrainHostRequest, ListHostsRequest, UncordonHostRequest
from tenure.v1.host_service_pb2_grpc import HostServiceStub
from tests.fixtures.census import browser_of, kill
from tests.fixtures.faults import flushed, sign_in, who
from tests.fixtures.system import RunningSystem
from tests.soak.ledger import Ledger
from tests.soak.outage import Outage
from tests.soak.person import Person
from tests.soak.plan import BOTH, HOST, UPSTREAM, Plan, Play, is_behind
from tests.soak.remains import Remains, look, strays
from tests.soak.upstream import PROXY, Sites, Upstream

_CYCLE_S = 180.0
_LOST_S = 45.0
_QUIET_S = 90.0
_LEASE_S = 10
_MORE_DESCRIPTORS = 8
_MORE_OF_OTHERS = 60
_POLL_S = 0.1
_SIGNED_OUT = "/sign-in"


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
    """On a system that runs, with sites to sign in to. `tmp` is its browsers' temporary directory."""

    def __init__(
        self,
        system: RunningSystem,
        sites: Sites,
        upstream: Upstream,
        tmp: Path,
        plan: Plan,
        say: Callable[[str], None],
    ) -> None:
        self._system = system
        self._sites = sites
        self._upstream = upstream
        self._tmp = tmp
        self._say = say
        self._plan = plan
        self._ledger = Ledger()
        self._person = Person(system, self._ledger)
        self._report = Report(plan, self._ledger)
        self._host_kills = asyncio.Lock()
        self._done = 0
        self._outage = Outage(system, sites, upstream, self._ledger)

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
            self._ledger.violations += self._sites.violations()
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
            except TimeoutError as error:
                where = " < ".join(each.name for each in reversed(traceback.extract_tb(error.__traceback__)))
                self._violated(f"cycle {play.number} on {play.profile} was stuck: {play}, in {where}")
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
        if not play.held and play.kill == UPSTREAM:
            await self._outage.before(play.profile)
        elif play.kill and not play.held:
            await self._kill(play)

    async def _visit(self, client: tenure.Client, play: Play) -> None:
        began = time.monotonic()
        async with client.open(
            play.profile,
            start_url=self._sites.account(play.profile),
            wait=60,
            run_id=f"cycle {play.number}",
            proxy=PROXY if is_behind(play.profile) else None,
        ) as session:
            self._report.slowest_open_s = max(self._report.slowest_open_s, time.monotonic() - began)
            self._ledger.counts["reused" if session.reused_session else "launched"] += 1
            self._ledger.counts["opened behind the upstream"] += is_behind(play.profile)
            page = await session.cdp()
            await self._sign_in(session, page, play.profile)
            if play.held and play.kill == UPSTREAM:
                await self._outage.beside(page, play.profile)
            elif play.kill and play.held:
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
            await self._signs_in(page, profile)
            await flushed(self._system, session, page)
            self._ledger.acknowledged(profile)

    async def _signs_in(self, page: Page, profile: str) -> None:
        outages = self._upstream.outages
        try:
            await sign_in(page, profile)
        except (AssertionError, TimeoutError) as error:
            was_away = self._upstream.is_away or self._upstream.outages > outages
            shown = await page.evaluate("[location.href, document.readyState, document.title].join(' ')")
            what = f"{profile} could not sign in, {type(error).__name__} at {shown}"
            if not (is_behind(profile) and was_away):
                self._violated(what)
            else:
                self._say(what)
                self._ledger.counts["sign-ins cut by an outage"] += 1
            raise NavigationFailed(url=self._sites.account(profile)) from error

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
