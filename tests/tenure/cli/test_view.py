"""How the commands for people at a session listen to them, and what they survive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

import pytest
from aiohttp import web

from tenure.cdp import CdpClosed, CdpError
from tenure.cli import login, view
from tenure.session import Session

WAIT_S = 30.0


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "AGAIN_S", 0)


@asynccontextmanager
async def gateway(answers: list[int]) -> AsyncIterator[str]:
    """An address of a view whose sockets answer so, one by one; 101 says Done, the last one stays."""

    async def words(request: web.Request) -> web.StreamResponse:
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        if status != HTTPStatus.SWITCHING_PROTOCOLS:
            return web.Response(status=status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "done"})
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/view/h/secret/words", words)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/view/h/secret"
    finally:
        await runner.cleanup()


async def hears(answers: list[int]) -> bool:
    listens, over = asyncio.Event(), asyncio.Event()
    async with gateway(answers) as url, asyncio.timeout(WAIT_S):
        await view._hear_done(url, listens, over)
    assert listens.is_set() == over.is_set()
    return over.is_set()


async def test_an_address_that_is_no_more_is_not_listened_at_for_ever() -> None:
    assert not await hears([404])


async def test_a_person_is_heard_again_once_the_host_is_back() -> None:
    away = view.REFUSALS - 1
    assert await hears([*([404] * away), 502, *([404] * away), 101])


class Browser:
    def __init__(self, answer: Callable[[], dict[str, Any]]) -> None:
        self._answer = answer

    async def cdp(self) -> Browser:
        return self

    async def send(self, method: str) -> dict[str, Any]:
        return self._answer()


async def test_cookies_are_counted() -> None:
    assert await login._cookies(cast("Session", Browser(lambda: {"cookies": [1, 2]}))) == 2


@pytest.mark.parametrize(
    "problem", [CdpError("Storage.getCookies", -32000, "no"), CdpClosed("gone"), TimeoutError(), OSError()]
)
async def test_a_browser_that_does_not_tell_its_cookies_fails_no_sign_in(problem: Exception) -> None:
    def fails() -> dict[str, Any]:
        raise problem

    assert await login._cookies(cast("Session", Browser(fails))) is None
