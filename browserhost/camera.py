"""Takes pictures of the page in view, its secret fields covered; one at a time for a browser."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from browserhost.mask import Mask
from browserhost.page import Page
from browserhost.pages import Pages
from browserhost.picture import FORMATS, NoPicture, Picture, Wish, decoded
from tenure.cdp import CdpClient, CdpClosed, CdpError
from tenure.errors import InvalidField

_TRIES = 3
_LOOK_S = 0.5
"""How long a page may take to say whether it is in view."""


class Camera:
    """One browser's."""

    def __init__(self, root: CdpClient, pages: Pages) -> None:
        self._root = root
        self._pages = pages
        self._in_use = asyncio.Lock()

    async def take(self, wish: Wish) -> Picture:
        """A picture. Waits as long as it takes: the caller bounds it, and cancelling leaves nothing covered.

        Raises NoPicture when none can be had on which every secret is covered, InvalidField for a region
        that is not in view, CdpError, CdpClosed.
        """
        problem = ""
        async with self._in_use:
            page = await self.in_view()
            for _ in range(_TRIES):
                try:
                    taken = await self._try(page, wish)
                except CdpError as error:
                    # A page that navigates takes its nodes and worlds with it: what was found is gone.
                    problem = f"the page does not stand still: {error.text}"
                    continue
                if taken is not None:
                    return taken
                problem = "the page shows secrets faster than they can be covered"
            raise NoPicture(problem)

    async def _try(self, page: Page, wish: Wish) -> Picture | None:
        """A picture; None when secrets that were not covered came into view meanwhile."""
        if page.dialog:
            raise NoPicture(f"a dialog ({page.dialog}) is open on the page")
        mask = Mask(self._root, page)
        try:
            await mask.cover()
            call = await self._call(page, wish)
            answer = await self._root.post("Page.captureScreenshot", call, page.session)
            if not await mask.holds():
                return None
        finally:
            mask.lift()
        return decoded(base64.b64decode(answer["data"]), wish.media_type)

    async def _call(self, page: Page, wish: Wish) -> dict[str, Any]:
        call: dict[str, Any] = {"format": FORMATS[wish.media_type]}
        if wish.media_type != "image/png":
            call["quality"] = wish.quality
        if wish.full_page or wish.region or wish.scale != 1:
            metrics = await self._root.post("Page.getLayoutMetrics", {}, page.session)
            view, whole = metrics["cssVisualViewport"], metrics["cssContentSize"]
            left, top, width, height = wish.region or (0, 0, view["clientWidth"], view["clientHeight"])
            if left + width > view["clientWidth"] or top + height > view["clientHeight"]:
                raise InvalidField(
                    field="screenshot.region",
                    value=f"{left},{top} {width}x{height}",
                    problem="is not all inside the page's viewport",
                    remedy=f"stay within {view['clientWidth']:g} x {view['clientHeight']:g} CSS pixels",
                )
            area = {"x": view["pageX"] + left, "y": view["pageY"] + top, "width": width, "height": height}
            call["clip"] = {**(whole if wish.full_page else area), "scale": wish.scale}
            call["captureBeyondViewport"] = wish.full_page
        return call

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
