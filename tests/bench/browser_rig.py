"""What the browser suite measures on: the whole system, and a site as plain as can be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from aiohttp import web

import tenure
from browserhost.chrome import chrome_path
from tenure.v1.session_service_pb2 import ShutdownBrowserRequest
from tenure.v1.session_service_pb2_grpc import SessionServiceStub
from tests.fixtures.system import RunningSystem

PLAIN = "<title>bench</title><h1>bench</h1>"
# A click anywhere is counted and drawn.
COUNTER = """<!doctype html><title>counter</title><body style="margin:0;height:100vh;font:200px sans-serif">
<div id="count">0</div><script>
onclick = () => { count.textContent = Number(count.textContent) + 1 }</script>"""
# What does not compress to nothing, so that a picture of it is a large one.
PICTURE = """<!doctype html><title>picture</title><body style="margin:0"><canvas id="c"></canvas><script>
c.width = innerWidth; c.height = innerHeight;
const pen = c.getContext("2d"), image = pen.createImageData(c.width, c.height);
let seed = 1;
for (let at = 0; at < image.data.length; at++) {
  seed = (seed * 1103515245 + 12345) & 0x7fffffff;
  image.data[at] = at % 4 == 3 ? 255 : seed >> 16;
}
pen.putImageData(image, 0, 0);
</script>"""
PAGES = {"/": PLAIN, "/counter": COUNTER, "/picture": PICTURE}


@dataclass(frozen=True, slots=True)
class Bench:
    """A running system, and the address of a site; it ends with a slash."""

    system: RunningSystem
    url: str

    @property
    def gateway(self) -> str:
        return self.system.gateway

    async def close_browser(self, client: tenure.Client, profile: str) -> None:
        """Leave a profile without a browser."""
        async with client.acquire(profile) as held, grpc.aio.insecure_channel(self.gateway) as channel:
            request = ShutdownBrowserRequest(profile=held.profile, fencing_token=held.fencing_token)
            await SessionServiceStub(channel).ShutdownBrowser(request, timeout=60)

    def devtools(self) -> str:
        """The WebSocket of the port of the one browser that there is; only where the rig has given it one."""
        (file,) = self.system.data_root.rglob("DevToolsActivePort")
        number, path = file.read_text().split()
        return f"ws://127.0.0.1:{number}{path}"

    def hang_alarms(self) -> int:
        """How many browsers the host has taken for hung."""
        return sum('"hung' in line or " hung" in line for line in self.system.log("browserhost").splitlines())

    def keepers(self) -> list[int]:
        """The process ids of the browsers' keepers."""
        lines = [line.split() for line in self.system.processes() if "/keeper.py" in line]
        return [int(line[0]) for line in lines]

    def host_rss_mb(self) -> float:
        """Memory of the host's process that is in RAM, in MB (10^6 bytes)."""
        return rss_mb(self.system.part("browserhost"))


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)


@asynccontextmanager
async def browser_rig(
    url: str, settings: Mapping[str, str] = {}, *, port: bool = False
) -> AsyncIterator[Bench]:
    """The system, with `settings` as its services name them, until the block is left.

    `port`: its browsers have a port of their own beside the host's pipe, which only a bench may want: whoever
    connects there goes round all that the host is for.
    """
    with tempfile.TemporaryDirectory(prefix="tenure-bench-", ignore_cleanup_errors=True) as folder:
        if port:
            settings = {**settings, "chrome": _with_port(Path(folder), settings.get("chrome", "chromium"))}
        told = {f"TENURE_{name.upper()}": value for name, value in settings.items()}
        before = {name: os.environ.get(name) for name in told}
        system = RunningSystem(Path(folder) / "tenure")
        os.environ.update(told)
        try:
            await system.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        try:
            yield Bench(system, url)
        finally:
            await system.stop()


def _with_port(folder: Path, chrome: str) -> str:
    """A program that is Chrome with a port of its choice."""
    program = folder / "chrome-with-port"
    program.write_text(f'#!/bin/sh\nexec {chrome_path(chrome)} --remote-debugging-port=0 "$@"\n')
    program.chmod(0o755)
    return str(program)


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """Pages as plain as can be, so that what is measured is the browser and not the page."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGES.get(request.path, PLAIN), content_type="text/html")

    application = web.Application()
    application.router.add_get("/{page:.*}", page)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
