"""What Chrome keeps of a client until it ends: a browser in which one did that is not handed on."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from tenure.cdp import CdpClient, CdpError, connect
from tenure.errors import NavigationFailed
from tests.fixtures.rig import Rig
from tests.fixtures.upstreams import certificate

IGNORE, PARAMS = "Security.setIgnoreCertificateErrors", {"ignore": True}


@pytest.fixture
async def impostor(tmp_path: Path) -> AsyncIterator[str]:
    """A site whose certificate nobody else vouches for."""
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>impostor</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def let_pass(client: CdpClient, page: str) -> bool:
    await client.call(IGNORE, PARAMS, page)
    return True


async def let_pass_as_older_clients_do(client: CdpClient, page: str, number: float = 1) -> bool:
    pages = (await client.call("Target.getTargets"))["targetInfos"]
    target = next(each["targetId"] for each in pages if each["type"] == "page")
    inner = (await client.call("Target.attachToTarget", {"targetId": target, "flatten": False}))["sessionId"]
    message = json.dumps({"id": number, "method": IGNORE, "params": PARAMS})
    try:
        await client.call("Target.sendMessageToTarget", {"sessionId": inner, "message": message})
    except CdpError:
        return False
    return True


async def let_pass_with_a_number_that_chrome_alone_takes(client: CdpClient, page: str) -> bool:
    return await let_pass_as_older_clients_do(client, page, 1.0)


@pytest.mark.parametrize(
    "how", [let_pass, let_pass_as_older_clients_do, let_pass_with_a_number_that_chrome_alone_takes]
)
async def test_a_bad_certificate_that_one_session_let_pass_is_refused_in_the_next(
    rig: Rig, impostor: str, how: Callable[[CdpClient, str], Awaitable[bool]]
) -> None:
    async with rig.host() as running:
        with pytest.raises(NavigationFailed, match="ERR_CERT"):
            await running.open(41, f"{impostor}/before")
        opened = await running.open(41, "about:blank")
        async with connect(opened.session.cdp_url) as client:
            pages = (await client.call("Target.getTargets"))["targetInfos"]
            target = {"targetId": next(each["targetId"] for each in pages if each["type"] == "page")}
            page = (await client.call("Target.attachToTarget", {**target, "flatten": True}))["sessionId"]
            passes = await how(client, page)
            answer = await client.call("Page.navigate", {"url": f"{impostor}/a"}, page)
            assert ("errorText" not in answer) is passes
        await running.close(41)
        with pytest.raises(NavigationFailed, match="ERR_CERT"):
            await running.open(42, f"{impostor}/b")
        await running.close(42)
