"""What the demo's steps play on: a system of its own, the site, and a way to claim things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tenure.client import Client, connect
from tenure.demo.site import PASSWORD, DemoSite
from tenure.page import Page
from tenure.session import Session
from tenure.supervisor import System


class ClaimFailed(Exception):
    """The demo says something of Tenure that was not so just now."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the final table."""

    what: str
    token: int = 0
    """The fencing token in play; 0 for none."""
    reused: bool | None = None
    """Whether a live browser was used again; None when none was opened."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase."""


@dataclass(slots=True)
class Stage:
    """Shared by the steps, which leave what later ones build on."""

    system: System
    site: DemoSite
    tokens: list[int] = field(default_factory=list)
    """Every token that `alice:linkedin` was granted, in order."""

    @asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[Client]:
        """A worker of its own: another lease, as if in another process."""
        async with connect(self.system.gateway, labels={"demo": name}) as client:
            yield client

    def granted(self, session: Session) -> None:
        """Claim that alice's tokens rise, and remember this one."""
        if self.tokens:
            claim(
                session.fencing_token > self.tokens[-1],
                f"token {session.fencing_token} is not above {self.tokens[-1]}, the one before",
            )
        self.tokens.append(session.fencing_token)

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


def claim(holds: bool, otherwise: str) -> None:
    """Raises ClaimFailed saying what was seen instead."""
    if not holds:
        raise ClaimFailed(otherwise)
