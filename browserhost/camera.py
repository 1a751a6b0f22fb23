"""Takes pictures of the page in view, its secret fields covered; one at a time for a browser."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from browserhost.mask import Mask
from browserhost.page import Page
from browserhost.pages import Pages
from browserhost.picture import FORMATS, NoPicture, Picture, decoded
from tenure.cdp import CdpClient, CdpClosed, CdpError

QUALITY = 80
"""Of formats that lose something: 100 is best."""
_TRIES = 3
_LOOK_S = 0.5
"""How long a page may take to say whether it is in view."""


class Camera:
    """One browser's."""

    def __init__(self, root: CdpClient, pages: Pages) -> None:
        self._root = root
        self._pages = pages
        self._in_use = asyncio.Lock()

    async def take(self, media_type: str, scale: float, full_page: bool) -> Picture:
        """A picture. Waits as long as it takes: the caller bounds it, and cancelling leaves nothing covered.

        Raises NoPicture when none can be had on which every secret is covered, CdpError, CdpClosed.
        """
        problem = ""
        async with self._in_use:
            page = await self.in_view()
            for _ in range(_TRIES):
                try:
                    taken = await self._try(page, media_type, scale, full_page)
                except CdpError as error:
                    # A page that navigates takes its nodes and worlds with it: what was found is gone.
                    problem = f"the page does not stand still: {error.text}"
                    continue
                if taken is not None:
                    return taken
                problem = "the page shows secrets faster than they can be covered"
            raise NoPicture(problem)

    async def _try(self, page: Page, media_type: str, scale: float, full_page: bool) -> Picture | None:
        """A picture; None when secrets that were not covered came into view meanwhile."""
        if page.dialog:
            raise NoPicture(f"a dialog ({page.dialog}) is open on the page")
        mask = Mask(self._root, page)
        try:
            await mask.cover()
            wish = await self._wish(page, media_type, scale, full_page)
            answer = await self._root.post("Page.captureScreenshot", wish, page.session)
            if not await mask.holds():
                return None
        finally:
            mask.lift()
        return decoded(base64.b64decode(answer["data"]), media_type)

    async def _wish(self, page: Page, media_type: str, scale: float, full_page: bool) -> dict[str, Any]:
        wish: dict[str, Any] = {"format": FORMATS[media_type]}
        if media_type != "image/png":
            wish["quality"] = QUALITY
        if full_page or scale != 1:
            metrics = await self._root.post("Page.getLayoutMetrics", {}, page.session)
            view, whole = metrics["cssVisualViewport"], metrics["cssContentSize"]
            area = {
                "x": view["pageX"],
                "y": view["pageY"],
                "width": view["clientWidth"],
                "height": view["clientHeight"],
            }
            wish["clip"] = {**(whole if full_page else area), "scale": scale}
            wish["captureBeyondViewport"] = full_page
        return wish

    async def in_view(self) -> Page:
        """The newest page that can be seen: one behind another would never be drawn."""
        pages = [page for page in self._pages.all if not page.closing and not page.broken]
        if not pages:
            raise NoPicture("there is no page")
        if len(pages) > 1:
            ask = {"expression": "document.visibilityState"}
            answers = await asyncio.gather(
                *(self._root.call("Runtime.evaluate", ask, page.session, timeout=_LOOK_S) for page in pages),
                return_exceptions=True,
            )
            for page, answer in zip(reversed(pages), reversed(answers), strict=True):
                if isinstance(answer, CdpClosed):
                    raise answer
                if isinstance(answer, dict) and answer["result"].get("value") == "visible":
                    return page
        return pages[0]
