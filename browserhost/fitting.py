"""Whether a warm browser is what the next hold wants, or must make way for a fresh one."""

from __future__ import annotations

import time
from dataclasses import dataclass

from browserhost import chrome, recycling
from browserhost.egress.upstream import Upstream
from browserhost.marker import Marker
from browserhost.workshop import LiveBrowser, Wanted, Workshop


@dataclass(frozen=True, slots=True)
class Born:
    """When a browser was launched, by CLOCK_MONOTONIC, and from which program; empty where nobody knows."""

    at: float
    program: str = ""

    @classmethod
    def now(cls, shop: Workshop) -> Born:
        """For one that has just been launched."""
        return cls(time.monotonic(), chrome.stamp(shop.chrome))


def why_not(
    key: str,
    browser: LiveBrowser,
    born: Born,
    marker: Marker,
    wanted: Wanted,
    upstream: Upstream | None,
    shop: Workshop,
) -> str:
    """Why it is not handed on, in words; empty when it is.

    `key` is the profile's name, `upstream` what the proxy's key stands for now.
    """
    if not wanted.reuse:
        return "a fresh one is wanted"
    if browser.spent:
        return f"a client's {browser.spent} goes on until it ends"
    if marker.proxy_key != wanted.proxy_key:
        return "another proxy is wanted"
    return recycling.why(
        shop.lifetime,
        age_s=time.monotonic() - born.at,
        size=shop.cache.sizes.get(key, 0),
        config=(marker.config_generation, wanted.look.generation),
        upstream=(browser.fingerprint, upstream.fingerprint if upstream is not None else ""),
        chrome=(born.program, chrome.stamp(shop.chrome)),
    )
