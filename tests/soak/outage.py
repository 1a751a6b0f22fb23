"""An upstream that is killed, and what must be true of a profile while it is away and after."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import tenure
from tenure.cdp import CdpClosed, CdpError
from tenure.errors import HoldLost, NavigationFailed, ProxyDown, TenureError
from tenure.page import Page
from tests.fixtures.faults import who
from tests.fixtures.system import RunningSystem
from tests.soak.ledger import Ledger
from tests.soak.plan import UPSTREAM, is_behind
from tests.soak.upstream import PROXY, Sites, Upstream

_BACK_S = 60.0
_WAIT_S = 10.0
_POLL_S = 0.1


class Outage:
    """On a system whose profiles visit `sites`, half of them through `upstream`."""

    def __init__(self, system: RunningSystem, sites: Sites, upstream: Upstream, ledger: Ledger) -> None:
        self._system = system
        self._sites = sites
        self._upstream = upstream
        self._ledger = ledger

    async def beside(self, page: Page, profile: str) -> None:
        """In the middle of a session: its pages fail, or are none of the upstream's; its login stays.

        Raises what the session's own end does.
        """
        url = self._sites.account(profile)
        async with self._upstream.away():
            self._ledger.counts[f"killed {UPSTREAM}"] += 1
            try:
                await page.navigate(url)
            except NavigationFailed:
                self._failed_closed(profile)
            else:
                self._loaded(profile)
        deadline = time.monotonic() + _BACK_S
        while await self._greeting(page, url) != profile:
            if time.monotonic() > deadline:
                self._ledger.violations.append(f"{profile} was not greeted {_BACK_S:g} s after an outage")
                return
            await asyncio.sleep(_POLL_S)
        self._ledger.counts["sessions that outlived an outage"] += is_behind(profile)

    async def before(self, profile: str) -> None:
        """Nobody holds the profile, or another does: it cannot be opened through what is away."""
        async with self._upstream.away():
            self._ledger.counts[f"killed {UPSTREAM}"] += 1
            try:
                async with (
                    tenure.connect(self._system.gateway) as client,
                    client.open(
                        profile,
                        start_url=self._sites.account(profile),
                        wait=_WAIT_S,
                        run_id="outage",
                        proxy=PROXY if is_behind(profile) else None,
                    ),
                ):
                    self._loaded(profile)
            except (ProxyDown, NavigationFailed):
                self._failed_closed(profile)
            except (CdpClosed, CdpError, HoldLost, TenureError) as error:
                # Another's kill came between.
                self._ledger.counts[f"in an outage: {getattr(error, 'reason', type(error).__name__)}"] += 1

    def _failed_closed(self, profile: str) -> None:
        if is_behind(profile):
            self._ledger.counts["failed closed"] += 1
        else:
            self._ledger.violations.append(f"{profile} failed for want of an upstream that is not its own")

    def _loaded(self, profile: str) -> None:
        if is_behind(profile):
            self._ledger.violations.append(f"{profile} loaded a page without its upstream")

    async def _greeting(self, page: Page, url: str) -> str:
        with suppress(NavigationFailed, CdpError):
            await page.navigate(url)
            return await who(page)
        return ""
