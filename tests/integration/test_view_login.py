"""People at a session: looking at it, signing in over it, taking it from its worker. On the whole system."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import WSMsgType
from playwright.async_api import Page as Screen
from playwright.async_api import async_playwright, expect

import tenure
from tenure.demo.site import PASSWORD, DemoSite, totp
from tenure.errors import HoldLost, NotFound
from tenure.session import Session
from tests.fixtures.faults import system_in, who
from tests.fixtures.system import RunningSystem

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

SECRET = b"12345678901234567890"
WAIT_S = 30.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    async with system_in(tmp_path_factory.mktemp("view") / "tenure") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[DemoSite]:
    async with DemoSite() as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(system: RunningSystem) -> AsyncIterator[tenure.Client]:
    async with tenure.connect(system.gateway) as connected:
        yield connected


class Looker:
    """A socket of a view, and what came over it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.pictures: list[bytes] = []
        self.page: dict[str, Any] = {}

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str) -> AsyncIterator[Looker]:
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/socket") as socket:
            yield cls(socket)

    async def next(self) -> dict[str, Any]:
        """The next word; pictures before it are kept."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.socket.receive()
                if message.type is WSMsgType.BINARY:
                    self.pictures.append(message.data)
                    continue
                if message.type is not WSMsgType.TEXT:
                    return {"type": "end", "code": self.socket.close_code, "reason": message.extra}
                word: dict[str, Any] = json.loads(message.data)
                if word["type"] == "page":
                    self.page = word
                return word

    async def until(self, **facts: Any) -> dict[str, Any]:
        """The first word, the last one heard of the page included, that has these facts."""
        word = self.page
        while not facts.items() <= word.items():
            assert word.get("type") != "end", word
            word = await self.next()
        return word

    async def picture(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            while not self.pictures:
                message = await self.socket.receive()
                assert message.type in (WSMsgType.BINARY, WSMsgType.TEXT), message
                if message.type is WSMsgType.BINARY:
                    self.pictures.append(message.data)
        return self.pictures[-1]

    async def ends(self) -> tuple[int | None, str]:
        word = await self.next()
        while word["type"] != "end":
            word = await self.next()
        return word["code"], word["reason"]


async def status(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        return answer.status


# --- looking -----------------------------------------------------------------------------


async def test_a_person_sees_the_page_and_cannot_touch_it(
    system: RunningSystem, client: tenure.Client, site: DemoSite
) -> None:
    async with (
        client.open("seen:shop", start_url=f"{site.url}/sign-in") as session,
        tenure.connect(system.gateway) as person,
    ):
        url = await person.view_url("seen:shop")
        async with Looker.at(url) as one, Looker.at(url) as other:
            assert (await one.until(type="page"))["url"].endswith("/sign-in")
            for looker in (one, other):
                assert (await looker.picture()).startswith(b"\xff\xd8")  # JPEG
            page = await session.cdp()
            await page.navigate(f"{site.url}/totp")
            await other.until(url=f"{site.url}/totp")
            await one.socket.send_str(json.dumps({"type": "text", "text": "touched"}))
            assert await one.ends() == (4020, "READ_ONLY")
            # The other one looks on, and nothing was typed.
            await page.navigate(f"{site.url}/sign-in")
            await other.until(url=f"{site.url}/sign-in")
            assert await page.evaluate("document.querySelector('#name').value") == ""


async def test_a_view_ends_with_its_session_and_is_for_nobody_else(
    system: RunningSystem, client: tenure.Client, site: DemoSite
) -> None:
    async with client.open("ends:shop", start_url=site.url) as session:
        url = await session.view_url()
        front, _, secret = url.rpartition("/")
        assert await status(url) == 200
        assert await status(f"{url}/socket", Origin="https://shop.example") == 403
        assert await status(url, Host="tenure.example") == 403
        assert await status(f"{front}/{'x' * len(secret)}/socket", **UPGRADE) == 404
        # An address to look is none to drive DevTools with.
        assert await status(url.replace("/view/", "/cdp/"), **UPGRADE) == 404
        looker = Looker.at(url)
        looks = await looker.__aenter__()
        await looks.picture()
    assert (await looks.ends())[1] == "SESSION_ENDED"
    await looker.__aexit__(None, None, None)
    assert await status(f"{url}/socket", **UPGRADE) == 404
    for log in (system.data_root / "logs").iterdir():
        assert secret not in await asyncio.to_thread(log.read_text)
    with pytest.raises(NotFound):
        await client.view_url("ends:shop")


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


# --- driving -----------------------------------------------------------------------------


@asynccontextmanager
async def screen(url: str) -> AsyncIterator[Screen]:
    """A person's own browser at a view's page."""
    async with async_playwright() as playwright:
        program = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1300, "height": 900})
        await page.goto(url)
        yield page
        await browser.close()


async def shows(page: Screen, path: str) -> None:
    await expect(page.locator("#url")).to_have_text(re.compile(f"{path}$"), timeout=WAIT_S * 1000)


async def is_told(page: Screen, state: str) -> None:
    await expect(page.locator("#state")).to_have_text(state, timeout=WAIT_S * 1000)


@asynccontextmanager
async def command(system: RunningSystem, *arguments: str) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """One of `tenure`'s, and what it said first."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from tenure.cli import main; main()"),
        *(*arguments, "--json", "--address", system.gateway),
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    try:
        first = await process.stdout.readline()
        assert first, (await process.communicate())[1]
        yield process, json.loads(first)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def test_a_person_signs_in_over_the_live_view_second_factor_and_all(
    system: RunningSystem, site: DemoSite
) -> None:
    site.authenticators["Olga"] = SECRET
    signing_in = ("login", "login:shop", f"{site.url}/sign-in")
    async with command(system, *signing_in) as (login, said):
        async with screen(said["url"]) as page:
            await is_told(page, "you drive")
            await shows(page, "/sign-in")
            # Where a person sees the field for the name.
            screen_box = await page.locator("#screen").bounding_box()
            assert screen_box is not None
            left, top, width, height = (screen_box[side] for side in ("x", "y", "width", "height"))
            await page.mouse.click(left + width * 0.5, top + height * 0.45)
            await page.keyboard.type("Ol")
            # As a layout's dead keys, AltGr and other ways of input do.
            await page.keyboard.insert_text("ga")
            await page.keyboard.press("Tab")
            await page.keyboard.type(PASSWORD)
            await page.keyboard.press("Enter")
            await shows(page, "/totp")
            await page.keyboard.type(totp(SECRET, time.time()))
            await page.keyboard.press("Enter")
            await shows(page, "/account")
            await page.click("#done")
            await is_told(page, "done")
        out, err = await login.communicate()
        assert login.returncode == 0, err
        over = json.loads(out.splitlines()[-1])
        assert over["cookies_after"] > over["cookies_before"] == 0
        assert PASSWORD not in out.decode() + err.decode()
    async with (
        tenure.connect(system.gateway) as client,
        client.open("login:shop", start_url=f"{site.url}/account") as session,
    ):
        assert await who(await session.cdp()) == "Olga"


async def test_what_a_person_does_is_done_under_the_sessions_own_token(
    client: tenure.Client, site: DemoSite
) -> None:
    async with client.open("drives:shop", start_url=f"{site.url}/sign-in") as session:
        page = await session.cdp()
        url = await session.view_url(control=True)
        async with Looker.at(url) as person:
            await person.until(type="control")
            where = await page.evaluate(
                "(b => [b.x + b.width / 2, b.y + b.height / 2])"
                "(document.querySelector('#name').getBoundingClientRect())"
            )
            for word in (
                {"type": "click", "x": where[0], "y": where[1], "button": 0},
                {"type": "text", "text": "Ada"},
            ):
                await person.socket.send_json(word)
            typed = "new Promise(done => { const look = () => name.value === 'Ada' ? done(true) : "
            typed += "setTimeout(look, 20); const name = document.querySelector('#name'); look(); })"
            assert await page.evaluate(typed)
            asked = asyncio.create_task(page.evaluate("confirm('sure?')", timeout=WAIT_S))
            await person.until(type="page", dialog="confirm", message="sure?")
            await person.socket.send_json({"type": "dialog", "accept": True})
            assert await asked is True
            await person.socket.send_json({"type": "key", "chord": "ctrl+shift+delete"})
            assert (await person.until(type="refused"))["problem"].startswith("Not done: ")
            await person.socket.send_str("nonsense")
            assert await person.ends() == (4021, "NOT_UNDERSTOOD")


# --- taking over -------------------------------------------------------------------------


async def worker_is_cut(
    opened: asyncio.Future[Session], client: tenure.Client, profile: str, url: str
) -> HoldLost:
    """A worker's run that ends by the loss of its hold."""
    with pytest.raises(HoldLost) as lost:
        async with client.open(profile, start_url=url) as session:
            opened.set_result(session)
            await asyncio.Event().wait()
    return lost.value


async def test_control_is_a_transfer_and_the_worker_is_cut_with_its_reason(
    system: RunningSystem, site: DemoSite
) -> None:
    async with (
        tenure.connect(system.gateway, lease_ttl=6) as worker,
        tenure.connect(system.gateway) as person,
        tenure.connect(system.gateway) as third,
        aiohttp.ClientSession() as http,
    ):
        opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        working = asyncio.create_task(worker_is_cut(opened, worker, "taken:shop", f"{site.url}/sign-in"))
        first = await opened
        old = await first.view_url(control=True)

        async def waits() -> int:
            async with third.open("taken:shop", start_url=site.url, wait=60) as session:
                return session.fencing_token

        waiting = asyncio.create_task(waits())
        async with http.ws_connect(first.cdp_url) as socket, Looker.at(old) as driver:
            await driver.until(type="control")
            async with person.take_over("taken:shop", "a captcha") as session:
                assert session.fencing_token > first.fencing_token
                assert session.reused_session, "it is the same browser"
                assert await who(await session.cdp()) == "/sign-in"
                message = await socket.receive()
                assert (message.data, message.extra) == (4002, "TOKEN_SUPERSEDED")
                assert (await driver.ends())[1] == "TOKEN_SUPERSEDED"
                assert await status(f"{old}/socket", **UPGRADE) == 404
                # It was handed over, so there is no incident, and the heartbeat tells it to the worker.
                assert isinstance(await working, HoldLost)
                assert not [each for each in await person.incidents() if "/taken_shop/" in each.name]
                assert not waiting.done()
        assert await waiting > session.fencing_token


async def test_a_person_takes_over_with_the_command_and_lets_go_with_done(
    system: RunningSystem, client: tenure.Client, site: DemoSite
) -> None:
    opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
    working = asyncio.create_task(worker_is_cut(opened, client, "command:shop", f"{site.url}/sign-in"))
    await opened
    taking_over = ("view", "command:shop", "--control", "--reason", "a captcha")
    async with command(system, *taking_over) as (process, said):
        async with Looker.at(said["url"]) as person:
            await person.until(type="control")
            await person.socket.send_json({"type": "done"})
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert json.loads(out.splitlines()[-1])["event"] == "closed"
    assert isinstance(await working, HoldLost)
    async with client.open("command:shop", start_url=site.url) as session:
        assert session.reused_session
