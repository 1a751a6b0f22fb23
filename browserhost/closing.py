"""How a browser ends: closed in good order, put down, or by itself."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

from browserhost import autopsy, vitals
from browserhost.beginning import Parts
from browserhost.ends import BrowserEnd, CloseReport
from browserhost.files.store import Files
from browserhost.flushing import Flushing
from browserhost.hands_host import KeptHands
from browserhost.memory import Memory
from tenure.cdp import CdpClosed, CdpError

CLOSE_S = 10.0
"""How long Chrome may take to end by itself; with 15 tabs it needs 0.4 s."""


class Closing:
    """One browser's. `ended` resolves once nothing of the browser is left."""

    def __init__(
        self,
        parts: Parts,
        profile_dir: Path,
        flushing: Flushing,
        hands: KeptHands,
        files: Files,
        memory: Memory,
    ) -> None:
        self.ended: asyncio.Future[BrowserEnd] = asyncio.get_running_loop().create_future()
        self._tree, self._pipe, self._mux, self._forwarder = (
            parts.tree,
            parts.pipe,
            parts.mux,
            parts.forwarder,
        )
        self._profile_dir = profile_dir
        self._flushing, self._hands, self._files, self._memory = flushing, hands, files, memory
        self._task: asyncio.Task[CloseReport] | None = None
        self._given_up = ""
        self._before = vitals.scene(profile_dir)
        self._tree.on_orphaned = self._ask_to_end
        self._tree.gone.add_done_callback(lambda _: self._gone())

    async def close(self) -> CloseReport:
        """As `Browser.close`."""
        if self._task is None:
            chrome = self._tree.chrome
            pid = chrome.result()[0] if chrome.done() and chrome.exception() is None else 0
            self._task = asyncio.create_task(self._close(), name=f"close browser {pid}")
        return await asyncio.shield(self._task)

    def put_down(self, why: str) -> None:
        """As `Browser.put_down`."""
        self._given_up = self._given_up or why
        self._tree.kill()

    async def kill(self) -> None:
        """End it at once; returns when nothing of it is left."""
        self._memory.forget()
        self._tree.kill()
        self._pipe.close()
        await asyncio.shield(self._tree.gone)

    async def _close(self) -> CloseReport:
        self._flushing.stop()
        await self._hands.aclose()
        if not self._tree.gone.done():
            self._memory.forget()
            self._mux.drop_all("SESSION_ENDED")
            with suppress(CdpClosed, CdpError, TimeoutError):
                await self._flushing.flush()
            self._ask_to_end()
            if not await self._is_gone(CLOSE_S):
                self._pipe.close()
            if not await self._is_gone(CLOSE_S):
                await self.kill()
        ended = self._tree.exit.result()
        return CloseReport(ended.clean, str(ended), self._flushing.at)

    def _ask_to_end(self) -> None:
        self._mux.root.post("Browser.close")

    async def _is_gone(self, timeout: float) -> bool:
        await asyncio.wait([self._tree.gone], timeout=timeout)
        return self._tree.gone.done()

    def _end(self) -> BrowserEnd:
        seen = self._tree.exit.result()
        cause = autopsy.cause(
            display=seen.how.startswith("display"),
            killed=seen.status == signal.SIGKILL and seen.how in {"itself", "keeper"},
            hung=bool(self._given_up),
            before=self._before,
            after=vitals.scene(self._profile_dir),
        )
        how = f"{self._given_up}, and {seen}" if self._given_up else str(seen)
        return BrowserEnd(self._task is not None, autopsy.in_words(cause, how), cause)

    def _gone(self) -> None:
        self._flushing.stop()
        self._hands.drop()
        self._files.close()
        self._pipe.close()
        # Not before: its port would be anybody's, and Chrome would go on sending there.
        self._forwarder.close()
        if not self.ended.done():
            self.ended.set_result(self._end())
