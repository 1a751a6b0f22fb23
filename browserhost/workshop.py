"""What the browsers of a host have in common: how one is started, what it can do, what it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from browserhost.apart import HERE, Apart
from browserhost.browser import BrowserEnd, CloseReport, LaunchSpec
from browserhost.cache import Cache
from browserhost.chrome import LEAST_FREE
from browserhost.egress.forwarder import Egress
from browserhost.page import Observer
from browserhost.picture import Picture
from browserhost.recycling import Lifetime
from tenure.errors import ProxyDown


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

    async def open(self, url: str) -> dict[str, float]: ...

    async def hand_over(self, url: str) -> dict[str, float]: ...

    async def flush(self) -> float: ...

    async def come_to_rest(self) -> None: ...

    async def answers(self) -> None: ...

    async def picture(
        self, media_type: str = "image/png", *, scale: float = 1.0, full_page: bool = False
    ) -> Picture: ...

    def watch(self, observer: Observer) -> None: ...

    async def close(self) -> CloseReport: ...

    def put_down(self, why: str) -> None: ...


Launch = Callable[[LaunchSpec], Awaitable[LiveBrowser]]


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
    proxies: dict[str, str]
    launching: AbstractAsyncContextManager[None]
    cache: Cache
    least_free: int = LEAST_FREE
    lock_wait_s: float = 20.0
    lifetime: Lifetime = field(default_factory=Lifetime)
    apart: Apart = HERE
    egress: Egress = field(default_factory=Egress)

    def proxy_server(self, key: str) -> str | None:
        """The upstream of a proxy key; None for no proxy. Raises ProxyDown: never opened without it."""
        if not key:
            return None
        if key not in self.proxies:
            raise ProxyDown(proxy_key=key, problem="this host has no upstream of that name")
        return self.proxies[key]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A browser wanted under a token. `used_elsewhere`: the lock service knows of an earlier use."""

    token: int
    url: str
    proxy_key: str
    reuse: bool
    used_elsewhere: bool


@dataclass(slots=True)
class Driven:
    """A browser at its URL. Timings in seconds by phase."""

    browser: LiveBrowser
    reused: bool
    timings: dict[str, float] = field(default_factory=dict)
