"""The proxy that half of the profiles go through: a process of its own that asks for user and password.

It goes on from an address of its own, by which the sites know who came through it and who came directly.
`python -m tests.soak.upstream PORT` is that process; it ends with its input.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from tenure.demo.site import DemoSite
from tenure.v1.session_pb2 import Proxy
from tests.fixtures.upstreams import Gate
from tests.soak.plan import is_behind

PROXY = Proxy(city="Soak", state="FL")
_USER, _PASSWORD = "soak", "soaked through"
# Nobody else listens there, so its port is free when it comes back.
_ADDRESS, SOURCE = "127.0.0.3", "127.0.0.2"


class Upstream:
    """Runs while the block of `serving` lasts, but for outages. `outages`: how many there were."""

    def __init__(self, directory: Path) -> None:
        self.outages = 0
        self.is_away = True
        self.file = directory / "proxies.toml"
        self._password = directory / "password"
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Upstream]:
        """With the file of upstreams written that a host finds it by."""
        await self._begin()
        self._password.write_text(_PASSWORD)
        lines = [f'url = "http://{_ADDRESS}:{self._port}"', f'user = "{_USER}"']
        self.file.write_text("\n".join(['["soak__fl"]', *lines, f'password_file = "{self._password}"', ""]))
        try:
            yield self
        finally:
            await self._end()

    async def connect(self, to: URL) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A tunnel to a site. Raises OSError while it is away."""
        reader, writer = await asyncio.open_connection(_ADDRESS, self._port)
        shown = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
        place = f"{to.host}:{to.port}"
        writer.write(f"CONNECT {place} HTTP/1.1\r\nProxy-Authorization: Basic {shown}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Killed while the block lasts, with all that went through it; one outage at a time."""
        async with self._alone:
            self.outages += 1
            self.is_away = True
            await self._end()
            try:
                yield
            finally:
                await self._begin()

    async def _begin(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.soak.upstream", str(self._port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            self._port = int(await self._process.stdout.readline())
        self.is_away = False

    async def _end(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


@dataclass(frozen=True, slots=True)
class Sites:
    """The one that profiles visit directly, and the one of those behind the upstream."""

    direct: DemoSite
    behind: DemoSite

    def account(self, profile: str) -> str:
        """Where the profile is greeted."""
        return f"{(self.behind if is_behind(profile) else self.direct).url}/account"

    def violations(self) -> list[str]:
        """Requests that came another way than they had to."""
        past = sum(count for peer, count in self.behind.visitors.items() if peer != SOURCE)
        through = self.direct.visitors[SOURCE]
        found = [f"{past} requests went past the upstream"] if past else []
        return found + (
            [f"{through} requests went through an upstream that is not theirs"] if through else []
        )


async def serve(port: int) -> None:
    """At that port, 0 for any free one, until the input ends."""
    gate = Gate("http", {_USER: _PASSWORD}, {}, address=_ADDRESS, source=SOURCE, port=port)
    await gate.begin()
    print(gate.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await gate.aclose()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
