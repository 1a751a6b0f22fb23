"""The upstream of a soak: who comes through it is told from who does not, and it comes back where it was."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
import yarl

from tenure.demo.site import DemoSite
from tests.soak.upstream import Sites, Upstream

DIRECT, BEHIND = "soak-00", "soak-01"


async def through(upstream: Upstream, url: str) -> int:
    """Ask for the page as a host's forwarder does: the way first, then the page. The answer's status."""
    reader, writer = await upstream.connect(yarl.URL(url))
    try:
        writer.write(f"GET {yarl.URL(url).raw_path} HTTP/1.0\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_request_past_the_upstream_is_a_violation_and_one_through_it_is_none(tmp_path: Path) -> None:
    async with DemoSite() as direct, DemoSite() as behind, Upstream(tmp_path).serving() as upstream:
        sites = Sites(direct, behind)
        assert await through(upstream, sites.account(BEHIND)) == 303
        assert sites.violations() == []
        async with aiohttp.ClientSession() as client:
            for profile in (DIRECT, BEHIND):
                async with client.get(sites.account(profile), allow_redirects=False) as answer:
                    assert answer.status == 303
        assert sites.violations() == ["1 requests went past the upstream"]
        await through(upstream, sites.account(DIRECT))
        assert len(sites.violations()) == 2


async def test_an_outage_ends_at_the_address_where_it_began(tmp_path: Path) -> None:
    async with DemoSite() as site, Upstream(tmp_path).serving() as upstream:
        async with upstream.away():
            with pytest.raises(ConnectionRefusedError):
                await through(upstream, site.url)
        assert await through(upstream, f"{site.url}/sign-in") == 200
