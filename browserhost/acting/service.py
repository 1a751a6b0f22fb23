"""ActInBrowser and CaptureBrowser: checked whole, done under the fence, pictures put where they fit."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, cast

import grpc.aio

from browserhost.acting import act, plan
from browserhost.acting.act import Guard, Progress
from browserhost.acting.settle import Patience
from browserhost.browser import Browser
from browserhost.host import Host
from browserhost.opening import Use
from browserhost.paths import parse_session
from browserhost.picture import NoPicture, Picture
from tenure.errors import BrowserCrashed, TenureError
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceServicer
from tenure.v1.session_pb2 import Screenshot
from tenure.v1.session_service_pb2 import ActResponse, CaptureScreenshotResponse, ScreenshotOptions

INLINE = 2 << 20
"""Bytes. A larger picture is kept as evidence and answered by its name."""
PICTURE_S = 10.0
"""How long a picture may take."""

Context = grpc.aio.ServicerContext[Any, Any]


class ActingServicer(BrowserHostServiceServicer):
    """The part of BrowserHostService that acts."""

    _host: Host

    async def ActInBrowser(
        self, request: pb.ActInBrowserRequest, context: Context
    ) -> pb.ActInBrowserResponse:
        wanted = request.act
        session = parse_session(wanted.session, wanted.fencing_token)
        actions = list(wanted.actions)
        plan.check(actions)
        patience = Patience(*plan.settle_s(wanted))
        if wanted.HasField("screenshot"):
            plan.picture(wanted.screenshot)
        progress, response = Progress(), ActResponse()
        try:
            async with self._host.profile(session.profile).using(session.fencing_token) as use:
                browser = cast("Browser", use.browser)  # nothing else has a display
                async with act.turn(browser):
                    guard = Guard(use.gate, use.touch)
                    reason = await act.act(browser, guard, actions, patience, progress)
                    response.settle, response.settle_reason = reason.message, reason.value
                    if wanted.HasField("screenshot"):
                        response.screenshot.CopyFrom(await _screenshot(use, wanted.screenshot))
        except TenureError as error:
            if progress.results or progress.part:
                progress.tell(error, len(actions))
            raise
        response.results.extend(progress.results)
        return pb.ActInBrowserResponse(act=response)

    async def CaptureBrowser(
        self, request: pb.CaptureBrowserRequest, context: Context
    ) -> pb.CaptureBrowserResponse:
        wanted = request.capture
        session = parse_session(wanted.session, wanted.fencing_token)
        plan.picture(wanted.options)
        using = self._host.profile(session.profile).using(session.fencing_token)
        async with using as use, act.turn(cast("Browser", use.browser)):
            taken = await _screenshot(use, wanted.options)
        return pb.CaptureBrowserResponse(capture=CaptureScreenshotResponse(screenshot=taken))


async def _screenshot(use: Use, options: ScreenshotOptions) -> Screenshot:
    """A picture of the page in view, under the fence. Raises BrowserCrashed when none can be had."""
    wish = plan.picture(options)
    use.gate()
    try:
        async with asyncio.timeout(PICTURE_S):
            taken = await use.browser.picture(wish)
    except (NoPicture, TimeoutError) as error:
        why = str(error) or f"it takes longer than {PICTURE_S:g} s"
        raise BrowserCrashed(f"No picture of the page can be had: {why}.", problem=why) from error
    use.gate()
    return await _placed(use, taken, inline=options.inline)


async def _placed(use: Use, taken: Picture, *, inline: bool) -> Screenshot:
    answer = Screenshot(
        media_type=taken.media_type,
        width=taken.width,
        height=taken.height,
        sha256=hashlib.sha256(taken.data).digest(),
    )
    is_small = len(taken.data) < INLINE
    if inline and is_small:
        answer.inline = taken.data
        return answer
    answer.evidence = await use.keep(taken.data, taken.media_type)
    if not answer.evidence and is_small:
        answer.inline = taken.data
    elif not answer.evidence:
        raise BrowserCrashed("The picture is too large to be sent, and could not be kept as evidence.")
    return answer
