"""A live browser: started, handed from session to session, flushed, closed."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from browserhost import chrome, start_url
from browserhost.camera import Camera
from browserhost.chrome import LaunchSpec
from browserhost.egress.forwarder import Forwarder
from browserhost.mux import CdpMux
from browserhost.page import Observer, Page
from browserhost.pages import Pages
from browserhost.picture import Picture
from browserhost.pipe import DebuggingPipe
from browserhost.tree import ProcessTree, StartFailed
from tenure.cdp import CdpClosed, CdpError, Result
from tenure.errors import BrowserCrashed, NavigationFailed

__all__ = ["Browser", "BrowserEnd", "CloseReport", "LaunchSpec"]

FLUSH_DELAY_S = 0.5
"""From a commit or load to the flush that follows: one flush for a burst of them."""
FLUSH_S = 5.0
ANSWER_S = 3.0
"""How long a warm browser may take to prove that it answers."""
CLOSE_S = 10.0
"""How long Chrome may take to end by itself; with 15 tabs it needs 0.4 s."""

# On a page's session this returns once the cookie database is committed, and there is nothing to
# delete there. It is a side effect: a test guards it against the next Chrome.
_FLUSH = "Storage.clearDataForOrigin"
_FLUSH_ARGUMENTS = {"origin": "https://flush.invalid", "storageTypes": "cookies"}


@dataclass(frozen=True, slots=True)
class BrowserEnd:
    """That a browser ended: `expected` when `close` was called first. `how` is a clause for people."""

    expected: bool
    how: str


@dataclass(frozen=True, slots=True)
class CloseReport:
    """`clean`: Chrome ended by itself and wrote everything. `flushed_at`: unix time of the last flush."""

    clean: bool
    how: str
    flushed_at: float | None


class Browser:
    """Owns one Chrome, its display, its keeper. Get it from `launch`; `close` (or `async with`) ends it.

    `pid` and `start_ticks` name Chrome's main process. `timings` are seconds: `launch` to the first
    answer, `attach` to the first page. `ended` resolves once nothing of the browser is left, and the
    profile's lock is free with that. `mux` is where DevTools clients join.
    """

    def __init__(
        self, spec: LaunchSpec, tree: ProcessTree, mux: CdpMux, pipe: DebuggingPipe, forwarder: Forwarder
    ) -> None:
        loop = asyncio.get_running_loop()
        self.spec, self.mux = spec, mux
        self.pid, self.start_ticks = 0, 0
        self.flushed_at: float | None = None
        self.timings: dict[str, float] = {}
        self.ended: asyncio.Future[BrowserEnd] = loop.create_future()
        self._tree, self._pipe, self._forwarder = tree, pipe, forwarder
        self._pages = Pages(mux.root, self._flush_soon)
        self._camera = Camera(mux.root, self._pages)
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[CloseReport] | None = None
        self._window: asyncio.Future[Result] = loop.create_future()
        tree.on_orphaned = self._ask_to_end
        tree.gone.add_done_callback(lambda _: self._gone())

    @classmethod
    async def launch(cls, spec: LaunchSpec) -> Self:
        """Start a browser on about:blank.

        Raises BrowserMissing, DiskFull, FileNotFoundError (no profile directory) with nothing
        started; BrowserCrashed with nothing left when it ended, or did not answer in time.
        """
        program, xvfb = chrome.chrome_path(spec.chrome), chrome.program_path(spec.xvfb)
        chrome.make_ready(spec)
        begun = time.monotonic()
        forwarder = await Forwarder.start(spec.egress, spec.proxy_server, spec.profile_dir.name)
        mux: CdpMux
        try:
            pipe, (chrome_in, chrome_out) = await DebuggingPipe.open(
                lambda message: mux.received(message),  # noqa: PLW0108 - `mux` is made with the pipe
                lambda: mux.lost(BrowserCrashed.reason),
            )
        except BaseException:
            forwarder.close()
            raise
        mux = CdpMux(pipe.write, pipe.room)
        try:
            tree = ProcessTree.start(
                directory=spec.tmp_root / f"tenure-{secrets.token_hex(6)}",
                xvfb=xvfb,
                size=(spec.width, spec.height),
                argv=chrome.arguments(spec, program, chrome.shm_free(), forwarder.url),
                environment=chrome.environment(os.environ),
                lock=spec.lock_fd,
                pipe=(chrome_in, chrome_out),
            )
        except BaseException:
            pipe.close()
            forwarder.close()
            raise
        finally:
            os.close(chrome_in)
            os.close(chrome_out)
        browser = cls(spec, tree, mux, pipe, forwarder)
        await browser._begin(begun)
        return browser

    @property
    def url(self) -> str:
        """The last committed URL of the front page."""
        front = self._pages.front
        return front.url if front is not None else ""

    @property
    def uploads(self) -> Path:
        """The only folder that clients may choose files from. It is there from the start to the end."""
        return self._tree.directory / "uploads"

    @property
    def downloads(self) -> Path:
        """Where whatever is downloaded goes; Chrome makes it when there is something."""
        return self._tree.directory / "downloads"

    @property
    def display(self) -> dict[str, str]:
        """The variables that name its X display, and the file with the cookie that opens it."""
        return {"DISPLAY": self._tree.display, "XAUTHORITY": str(self._tree.directory / "Xauthority")}

    async def in_view(self) -> Page:
        """The newest page that can be seen, of which `picture` takes one. Raises NoPicture, CdpClosed."""
        return await self._camera.in_view()

    def watch(self, observer: Observer) -> None:
        """Tell `observer`, in place of the one before, what happens on the pages from now on."""
        self._pages.observer = observer

    async def come_to_rest(self) -> None:
        """Return once the pages have come to all that was sent to them before. The caller bounds it."""
        await self._pages.come_to_rest()

    async def answers(self) -> None:
        """Return once the browser has answered. The caller bounds it. Raises BrowserCrashed."""
        async with self._usable():
            await self.mux.root.post("Browser.getVersion")

    async def picture(
        self, media_type: str = "image/png", *, scale: float = 1.0, full_page: bool = False
    ) -> Picture:
        """A picture of the page in view with every secret field covered, also in frames of other sites.

        `media_type` is image/png, image/jpeg or image/webp, `scale` above 0 and at most 1. Waits as
        long as it takes: the caller bounds it. Raises NoPicture, with nothing taken, where it is not sure
        that every secret is covered; BrowserCrashed.
        """
        async with self._usable():
            return await self._camera.take(media_type, scale, full_page)

    async def open(self, url: str) -> dict[str, float]:
        """Navigate the front tab and return once the document landed, with the seconds it took.

        Raises InvalidField, NavigationFailed (the browser stays usable), BrowserCrashed.
        """
        start_url.check(url, self.spec.egress)
        began = time.monotonic()
        async with self._usable():
            await self._navigate(await self._front(), url)
        return {"navigate": time.monotonic() - began}

    async def hand_over(self, url: str) -> dict[str, float]:
        """Make a warm browser a new session's own, then open `url`.

        Proves that Chrome and the front page's renderer answer; cuts clients that are left; ends
        dialogs, downloads, other tabs, other contexts, granted permissions. Overrides, scripts and
        interceptions of clients ended with their sessions. Raises as `open` does.
        """
        start_url.check(url, self.spec.egress)
        began = time.monotonic()
        async with self._usable():
            self.mux.drop_all("SESSION_ENDED")
            front = await self._clean()
            cleaned = time.monotonic()
            await self._navigate(front, url)
        return {"reset": cleaned - began, "navigate": time.monotonic() - cleaned}

    async def flush(self) -> float:
        """Have Chrome write its cookies; returns, and keeps in `flushed_at`, the unix time it was asked.

        What was set before that time is on disk. localStorage has no such call: it is written
        some seconds later, or when its origin's last tab closes. Raises BrowserCrashed.
        """
        async with self._usable():
            try:
                asked = await self._flush_on(await self._front())
            except CdpError:
                # A client had just closed that tab.
                asked = await self._flush_on(await self._pages.open_tab())
        return asked

    async def close(self) -> CloseReport:
        """End the browser and return when nothing of it is left. Idempotent; a cancelled wait ends nothing.

        Flushes, then closes through CDP; past CLOSE_S closes the pipe, then kills, and says so.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"close browser {self.pid}")
        return await asyncio.shield(self._closing)

    async def aclose(self) -> None:
        """As `close`, for those who do not ask how it went."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _begin(self, begun: float) -> None:
        """Speak to a browser that starts: the pipe keeps what is said until it listens."""
        version = self.mux.root.post("Browser.getVersion")
        self._pages.follow()
        self.mux.watch()
        self._keep_downloads()
        try:
            async with asyncio.timeout(self.spec.answer_s):
                self.pid, self.start_ticks = await asyncio.shield(self._tree.chrome)
                await version
                self.uploads.mkdir(mode=0o700)
                self.timings["launch"] = time.monotonic() - begun
                first = await asyncio.shield(self._pages.first)
                self._window = self.mux.root.post("Browser.getWindowForTarget", {"targetId": first.target})
                self.timings["attach"] = time.monotonic() - begun - self.timings["launch"]
        except (StartFailed, CdpError, CdpClosed, TimeoutError) as error:
            raise await self._failed_start(error) from error
        except BaseException:
            await self._kill()
            raise

    async def _failed_start(self, error: Exception) -> BrowserCrashed:
        await self._kill()
        ended, problem = self._tree.exit.result(), self._tree.chrome.exception()
        said = problem.problem if isinstance(problem, StartFailed) else ended.stderr
        if isinstance(error, TimeoutError):
            text = f"it did not answer within {self.spec.answer_s:g} s"
        elif isinstance(error, StartFailed) and error.program != "Chrome":
            text = f"{error.program} did not start"
        else:
            text = f"it {ended}"
        return BrowserCrashed(problem=f"{text}; last words: {_last_words(said)}")

    async def _navigate(self, page: Page, url: str) -> None:
        """As Pages.navigate, with what the forwarder knows of a failure."""
        began = time.monotonic()
        try:
            await self._pages.navigate(page, url)
        except NavigationFailed as failed:
            if said := self._forwarder.failed_since(began, urlsplit(url).hostname or ""):
                failed.error = f"{failed.error} ({said})"
            raise

    async def _front(self) -> Page:
        return self._pages.front or await self._pages.open_tab()

    async def _clean(self) -> Page:
        """What hand_over does before it navigates, in one round trip where all is well."""
        root, pages = self.mux.root, self._pages
        for page in pages.all:
            pages.end_dialog(page)
        front = await self._front()
        if front.broken:
            front = await self._replace(front)
        renderer = root.post("Runtime.evaluate", {"expression": "0"}, front.session)
        contexts = root.post("Target.getBrowserContexts")
        waits = [pages.close(page) for page in pages.others]
        root.post("Browser.resetPermissions")
        self._keep_downloads()
        pages.end_downloads()
        window = root.post("Browser.getWindowForTarget", {"targetId": front.target})
        async with asyncio.timeout(ANSWER_S):
            for other in (await contexts)["browserContextIds"]:
                root.post("Target.disposeBrowserContext", {"browserContextId": other})
            for closed in await asyncio.gather(*waits, return_exceptions=True):
                if isinstance(closed, CdpClosed):
                    raise closed
        try:
            async with asyncio.timeout(ANSWER_S):
                await renderer
                await self._restore_window(await window)
        except (TimeoutError, CdpError):
            return await self._replace(front)
        return front

    async def _restore_window(self, found: Result) -> None:
        """Give a window that a client moved or minimised its place and size again."""
        before = (await asyncio.shield(self._window))["bounds"]
        if found["bounds"] != before:
            size = {name: before[name] for name in ("left", "top", "width", "height")}
            for wish in ({"windowState": "normal"}, size):  # the protocol wants them apart
                bounds = {"windowId": found["windowId"], "bounds": wish}
                await self.mux.root.post("Browser.setWindowBounds", bounds)

    async def _replace(self, front: Page) -> Page:
        """Leave a tab whose renderer hangs or crashed for a new one."""
        fresh = await self._pages.open_tab()
        with suppress(CdpError):
            await self._pages.close(front)
        return fresh

    def _keep_downloads(self) -> None:
        """Downloads go where they end with the browser, and are told of, so that they can be cancelled."""
        where = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.mux.root.post("Browser.setDownloadBehavior", {**where, "eventsEnabled": True})

    @asynccontextmanager
    async def _usable(self) -> AsyncIterator[None]:
        """Turn what breaks inside into BrowserCrashed."""
        try:
            yield
        except (CdpClosed, CdpError, TimeoutError) as error:
            problem = str(error) or "it does not answer"
            raise BrowserCrashed(problem=problem) from error

    async def _flush_on(self, page: Page) -> float:
        asked = time.time()
        await self.mux.root.call(_FLUSH, _FLUSH_ARGUMENTS, page.session, timeout=FLUSH_S)
        self.flushed_at = max(asked, self.flushed_at or asked)
        return asked

    def _flush_soon(self) -> None:
        if self._flush_timer is None and self._closing is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(FLUSH_DELAY_S, self._flush_now)

    def _flush_now(self) -> None:
        self._flush_timer = None
        front = self._pages.front
        if front is not None:  # a client that closed every tab would be surprised by a new one
            self._flushing = asyncio.create_task(self._try_flush(front), name=f"flush browser {self.pid}")

    async def _try_flush(self, page: Page) -> None:
        with suppress(CdpError, CdpClosed, TimeoutError):  # then `flushed_at` stays as it is: the truth
            await self._flush_on(page)

    async def _close(self) -> CloseReport:
        self._stop_flushing()
        if not self._tree.gone.done():
            self.mux.drop_all("SESSION_ENDED")
            with suppress(BrowserCrashed):
                await self.flush()
            self._ask_to_end()
            if not await self._is_gone(CLOSE_S):
                self._pipe.close()
            if not await self._is_gone(CLOSE_S):
                await self._kill()
        ended = self._tree.exit.result()
        return CloseReport(ended.clean, str(ended), self.flushed_at)

    def _ask_to_end(self) -> None:
        self.mux.root.post("Browser.close")

    async def _is_gone(self, timeout: float) -> bool:
        await asyncio.wait([self._tree.gone], timeout=timeout)
        return self._tree.gone.done()

    async def _kill(self) -> None:
        self._tree.kill()
        self._pipe.close()
        await asyncio.shield(self._tree.gone)

    def _gone(self) -> None:
        self._stop_flushing()
        self._pipe.close()
        # Not before: its port would be anybody's, and Chrome would go on sending there.
        self._forwarder.close()
        if not self.ended.done():
            self.ended.set_result(BrowserEnd(self._closing is not None, str(self._tree.exit.result())))

    def _stop_flushing(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None


def _last_words(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip() and "dbus" not in line]
    return " | ".join(lines[-5:]) or "nothing"
