"""The baseline: what one would write by hand to drive a Chrome under Xvfb, with nothing of Tenure's in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NO_BAR = "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup"
# As the browser host starts Chrome, less what is about custody: both run with the same features off.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    NO_BAR,
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--password-store=basic",
    "--window-size=1280,800",
    "--remote-debugging-pipe",
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),
)
_STOP_S = 20.0


class BareBrowser:
    """Xvfb and Chrome started by hand, spoken to over the debugging pipe, one page, no checks.

    `port`: other clients may connect too, as everybody knows it from --remote-debugging-port, at `devtools`.
    """

    def __init__(self, *, port: bool = False) -> None:
        self.http = ""
        """Where it answers over HTTP, `http://127.0.0.1:PORT`; empty without a port."""
        self.devtools = ""
        """The whole browser's WebSocket there."""
        self._flags = (*FLAGS, "--remote-debugging-port=0") if port else FLAGS
        self._port = port
        self._home = Path(tempfile.mkdtemp(prefix="tenure-bare-"))
        self._processes: list[Process] = []
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._last_id = 0
        self._page = ""
        self._out = -1
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start a display and a browser on a fresh user-data-dir, and attach to its page."""
        display = await self._start_display()
        to_chrome, self._out = os.pipe()
        answers, from_chrome = os.pipe()
        # Chrome wants its pipe on the descriptors 3 and 4; bash puts it there with no code after fork.
        command = f'exec chromium "$@" 3<&{to_chrome} 4>&{from_chrome}'
        arguments = (*self._flags, f"--user-data-dir={self._home}", "about:blank")
        await self._spawn(
            "bash", "-c", command, "bash", *arguments, fds=(to_chrome, from_chrome), display=display
        )
        reader = asyncio.StreamReader(limit=1 << 26)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers, "rb", 0)
        )
        self._reading = asyncio.create_task(self._read(reader))
        targets = await self._send("Target.getTargets")
        page = next(info for info in targets["targetInfos"] if info["type"] == "page")
        attached = await self._send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._page = attached["sessionId"]
        await self._send("Page.enable")
        if self._port:
            # Written before Chrome answers over its pipe.
            text = await asyncio.to_thread((self._home / "DevToolsActivePort").read_text)
            number, path = text.split()
            self.http, self.devtools = f"http://127.0.0.1:{number}", f"ws://127.0.0.1:{number}{path}"

    async def navigate(self, url: str) -> None:
        """Navigate the page and return at its load event."""
        self._loaded.clear()
        await self._send("Page.navigate", url=url)
        await self._loaded.wait()

    async def stop(self) -> None:
        """Close the browser, then the display, and remove the user-data-dir."""
        self._page = ""
        with contextlib.suppress(ConnectionError):
            await self._send("Browser.close")
        for process in reversed(self._processes):
            if process is self._processes[0]:
                process.terminate()
            await asyncio.wait_for(process.wait(), _STOP_S)
        if self._reading is not None:
            await self._reading
        os.close(self._out)
        shutil.rmtree(self._home, ignore_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start_display(self) -> str:
        process, name = await start_display()
        self._processes.append(process)
        return name

    async def _spawn(self, *argv: str, fds: tuple[int, ...], display: str) -> None:
        self._processes.append(await _spawned(*argv, fds=fds, display=display))

    async def _send(self, method: str, **params: object) -> dict[str, Any]:
        self._last_id += 1
        message: dict[str, object] = {"id": self._last_id, "method": method, "params": params}
        if self._page:
            message["sessionId"] = self._page
        reply = self._replies[self._last_id] = asyncio.get_running_loop().create_future()
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer: dict[str, Any] = await reply
        return answer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
                if message.get("method") == "Page.loadEventFired":
                    self._loaded.set()
                reply = self._replies.pop(message.get("id", 0), None)
                if reply is not None and not reply.done():
                    reply.set_result(message.get("result", {}))
        # Whoever still waits must not wait for ever.
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(ConnectionError("the browser closed its debugging pipe"))


async def start_display() -> tuple[Process, str]:
    """An Xvfb of one's own, and the display that it is."""
    answer, tell = os.pipe()
    screen = ("-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset")
    process = await _spawned("Xvfb", "-displayfd", str(tell), *screen, fds=(tell,))
    with os.fdopen(answer) as lines:
        return process, f":{(await asyncio.to_thread(lines.readline)).strip()}"


async def _spawned(*argv: str, fds: tuple[int, ...], display: str = "") -> Process:
    environment = {**os.environ, "DISPLAY": display}
    process = await asyncio.create_subprocess_exec(
        *argv, pass_fds=fds, env=environment, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    for fd in fds:
        os.close(fd)
    return process
