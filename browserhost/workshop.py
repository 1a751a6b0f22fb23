"""What the browsers of a host have in common: how one is started, what it can do, what it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from browserhost.apart import HERE, Apart
from browserhost.browser import Browser, BrowserEnd, CloseReport, LaunchSpec
from browserhost.cache import Cache
from browserhost.chrome import LEAST_FREE
from browserhost.config import Look
from browserhost.egress.egress import Egress
from browserhost.egress.exits import WrongExit
from browserhost.egress.geo import Geo
from browserhost.egress.proxies import Proxies
from browserhost.egress.upstream import Upstream
from browserhost.extensions import Shelf
from browserhost.files.ledger import Limits
from browserhost.keepers import NOBODY, Called, Keepers
from browserhost.page import Observer
from browserhost.picture import Picture, Wish
from browserhost.recycling import Lifetime
from browserhost.snapshot.policy import Policy
from browserhost.version import Installed
from tenure.errors import ProxyDown
from tenure.names import ProfileName


class LiveBrowser(Protocol):
    """A running browser, as `browserhost.browser.Browser` is one."""

    pid: int
    start_ticks: int
    timings: dict[str, float]
    ended: asyncio.Future[BrowserEnd]

    @property
    def flushed_at(self) -> float | None: ...

    @property
    def url(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    async def open(self, url: str) -> dict[str, float]: ...

    def look(self) -> None: ...

    async def hand_over(self, url: str) -> dict[str, float]: ...

    async def flush(self) -> float: ...

    @property
    def spent(self) -> str: ...

    def taint(self) -> None: ...

    def spend(self, method: str) -> None: ...

    def stop_loading(self) -> None: ...

    async def still(self, *, for_good: bool) -> None: ...

    def wake(self) -> None: ...

    async def prepare(self) -> None: ...

    async def warm_up(self) -> None: ...

    async def come_to_rest(self) -> None: ...

    async def answers(self) -> None: ...

    async def picture(self, wish: Wish = ...) -> Picture: ...

    def begin_files(self, token: int) -> None: ...

    def end_files(self, token: int) -> None: ...

    def watch(self, observer: Observer) -> None: ...

    def put_down(self, why: str) -> None: ...

    def remember(self, **said: Any) -> None: ...

    async def put_out(self, reason: str) -> None: ...

    def keep_for_nobody(self) -> None: ...

    async def close(self) -> CloseReport: ...


Launch = Callable[[LaunchSpec], Awaitable[LiveBrowser]]


class Adopt(Protocol):
    """As `Browser.adopt`."""

    def __call__(self, spec: LaunchSpec, called: Called, *, still: bool) -> Awaitable[LiveBrowser]: ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all browsers of a host have in common. Times in seconds, `least_free` as in LaunchSpec."""

    launch: Launch
    chrome: str
    xvfb: str
    sandbox: bool
    width: int
    height: int
    tmp_root: Path
    host: str
    boot_id: str
    proxies: Proxies
    launching: AbstractAsyncContextManager[None]
    cache: Cache
    adopt: Adopt = Browser.adopt
    keepers: Keepers = NOBODY
    least_free: int = LEAST_FREE
    lock_wait_s: float = 20.0
    lifetime: Lifetime = field(default_factory=Lifetime)
    apart: Apart = HERE
    copies: Path | None = None
    egress: Egress = field(default_factory=Egress)
    geo: Geo = field(default_factory=Geo)
    extensions: Shelf = field(default_factory=Shelf)
    snapshots: Policy = field(default_factory=Policy)
    import_limit: int = 2 << 30
    keep_hands: bool = True
    prewarm: bool = True
    hand_over_in_tab: bool = True
    look_ahead: bool = True
    files: Limits = field(default_factory=Limits)
    installed: Installed = field(default_factory=Installed)

    @property
    def scratch(self) -> Path:
        """Where copies are put that are looked at; `copies` is emptied when the host starts."""
        return self.copies or self.tmp_root

    async def upstream(self, key: str, profile: ProfileName) -> Upstream | None:
        """A proxy key's, for one profile; None for no proxy. Raises ProxyDown: never opened without it.

        Where its exit is to be proven, that has begun when this returns.
        """
        if not key:
            return None
        upstream = await asyncio.to_thread(self.proxies.find, key, profile)
        proof = self.egress.exits.of(upstream, self.egress)
        if proof is not None:
            proof.hurry()
        return upstream

    async def proven(self, upstream: Upstream | None) -> None:
        """Return once it is proven where the upstream comes out. Raises ProxyDown."""
        proof = self.egress.exits.of(upstream, self.egress) if upstream is not None else None
        if upstream is None or proof is None:
            return
        try:
            await proof.wait()
        except WrongExit as error:
            raise ProxyDown(proxy_key=upstream.key, problem=str(error)) from None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A browser wanted under a token. `used_elsewhere`: the lock service knows of an earlier use."""

    token: int
    url: str
    proxy_key: str
    reuse: bool
    used_elsewhere: bool
    look: Look = field(default_factory=Look)


@dataclass(slots=True)
class Driven:
    """A browser at its URL. Timings in seconds by phase."""

    browser: LiveBrowser
    reused: bool
    timings: dict[str, float] = field(default_factory=dict)
    prewarmed: bool = False
