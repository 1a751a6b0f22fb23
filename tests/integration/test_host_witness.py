"""The witness on real Chrome: what it records, what its pictures do not show, what outlives a kill."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web

from browserhost.browser import Browser
from browserhost.picture import NoPicture, Picture, Wish
from browserhost.witness.ledger import NOTE, STEP, URL
from tenure.cdp import CdpClient, connect
from tenure.errors import InvalidField
from tests.browserhost.fakes import ALICE
from tests.fixtures.chrome import Browsers, Site, until
from tests.fixtures.rig import Rig

BLACK = (0, 0, 0)
FIELD = "position:fixed;width:100px;height:20px;border:0;margin:0;padding:0;background:#ff0;color:#00f;left:"
SECRETS = {
    "password": (20, '<input type="password" value="hunter2"'),
    "card": (140, '<input autocomplete="billing cc-number" value="4111111111111111"'),
    "shown": (260, '<input type="text" name="user[passwd]" value="hunter2"'),
    "important": (380, '<input type="password" class="important" value="hunter2"'),
}
"""Each at its place from the left."""
PLAIN_AT = 500


@dataclass
class Bitmap:
    """A decoded PNG, three or four bytes a pixel."""

    rows: list[bytes]
    depth: int

    @classmethod
    def of(cls, picture: Picture) -> Bitmap:
        """https://www.w3.org/TR/png-3/#9Filters"""
        data, at, packed = picture.data, 8, b""
        depth = {2: 3, 6: 4}[data[25]]
        while at < len(data):
            length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
            packed += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
            at += 12 + length
        raw, size = zlib.decompress(packed), picture.width * depth
        rows, above = [], bytearray(size)
        for start in range(0, len(raw), size + 1):
            row = bytearray(raw[start + 1 : start + 1 + size])
            _unfilter(raw[start], row, above, depth)
            rows.append(bytes(row))
            above = row
        return cls(rows, depth)

    def colours(self, left: int, top: int, width: int, height: int) -> set[tuple[int, ...]]:
        """Every colour in an area."""
        return {
            tuple(row[x * self.depth : x * self.depth + 3])
            for row in self.rows[top : top + height]
            for x in range(left, left + width)
        }


def _unfilter(kind: int, row: bytearray, above: bytearray, depth: int) -> None:
    for i in range(len(row)):
        left, up = row[i - depth] if i >= depth else 0, above[i]
        corner = above[i - depth] if i >= depth else 0
        if kind == 1:
            row[i] = (row[i] + left) & 255
        elif kind == 2:
            row[i] = (row[i] + up) & 255
        elif kind == 3:
            row[i] = (row[i] + (left + up) // 2) & 255
        elif kind == 4:
            guess = left + up - corner
            nearest = min((left, up, corner), key=lambda value: abs(guess - value))
            row[i] = (row[i] + nearest) & 255


@dataclass
class Bank:
    """Pages that ask for secrets, in every corner of a page; `other` is another site's address."""

    url: str
    other: str


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    places = Bank("", "")

    def html(body: str) -> web.Response:
        style = "<style>body{margin:0;background:#fff}.important{background:#0f0 !important}</style>"
        return web.Response(text=f"<!doctype html>{style}{body}", content_type="text/html")

    async def fields(request: web.Request) -> web.Response:
        inputs = [f'{text} style="{FIELD}{left}px;top:20px">' for left, text in SECRETS.values()]
        inputs.append(f'<input value="plain" style="{FIELD}{PLAIN_AT}px;top:20px">')
        observed = "{subtree: true, childList: true, attributes: true}"
        script = f"new MutationObserver(() => window.seen = true).observe(document, {observed})"
        return html("".join(inputs) + f"<script>onload = () => {script}</script>")

    async def framed(request: web.Request) -> web.Response:
        frame = f'<iframe src="{places.other}/fields" style="border:0;width:700px;height:80px"></iframe>'
        return html(f'{frame}<iframe src="/fields" style="border:0;width:700px;height:80px"></iframe>')

    async def shadows(request: web.Request) -> web.Response:
        script = "".join(
            f"document.getElementById('{mode}').attachShadow({{mode: '{mode}'}}).innerHTML = "
            f"`<input type=password value=hunter2 style='{FIELD}{left}px;top:20px'>`;"
            for mode, left in (("open", 20), ("closed", 140))
        )
        return html(f"<div id=open></div><div id=closed></div><script>{script}</script>")

    async def disguised(request: web.Request) -> web.Response:
        return html(
            f'<input value=hunter2 style="-webkit-text-security:disc;{FIELD}20px;top:20px">'
            f'<input id=shown type=password value=hunter2 style="{FIELD}140px;top:20px">'
        )

    async def stubborn(request: web.Request) -> web.Response:
        return html('<input type=password value=hunter2 style="filter:none !important">')

    async def restless(request: web.Request) -> web.Response:
        add = "document.body.insertAdjacentHTML('beforeend', '<input type=password value=hunter2>')"
        more = f"requestAnimationFrame(function more() {{ {add}; requestAnimationFrame(more); }})"
        return html(f"<script>{more}</script>")

    async def pay(request: web.Request) -> web.Response:
        return html('<form method=post action="/never"><input name=amount><button>Pay</button></form>')

    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    app = web.Application()
    for handler in (fields, framed, shadows, disguised, stubborn, restless, pay):
        app.router.add_get(f"/{handler.__name__}", handler)
    app.router.add_post("/never", never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    places.url, places.other = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    yield places
    await runner.cleanup()


async def evaluate(browser: Browser, script: str) -> object:
    front = browser._pages.front
    assert front is not None
    answer = await browser.mux.root.call("Runtime.evaluate", {"expression": script}, front.session)
    return answer["result"].get("value")


# --- pictures -----------------------------------------------------------------------------


async def test_secret_fields_are_black_in_a_picture_and_the_page_sees_nothing_of_it(
    browsers: Browsers, bank: Bank
) -> None:
    browser = await browsers.launch()
    await browser.open(f"{bank.url}/fields")
    seen = Bitmap.of(await browser.picture())
    for name, (left, _) in SECRETS.items():
        assert seen.colours(left, 20, 100, 20) == {BLACK}, name
    assert {(0, 0, 255), (255, 255, 0)} <= seen.colours(PLAIN_AT, 20, 100, 20), "the others are shown"
    assert await evaluate(browser, "window.seen") is None
    assert await evaluate(browser, "document.getAnimations().length") == 0
    assert await evaluate(browser, "getComputedStyle(document.querySelector('input')).filter") == "none"


async def test_frames_of_this_and_of_another_site_are_masked_as_well(browsers: Browsers, bank: Bank) -> None:
    browser = await browsers.launch()
    await browser.open(f"{bank.url}/framed")
    front = browser._pages.front
    assert front is not None
    assert len(front.frames) == 1, "the other site's frame runs in a process of its own"
    for _ in range(5):
        seen = Bitmap.of(await browser.picture())
        for top in (20, 104):
            for name, (left, _) in SECRETS.items():
                assert seen.colours(left, top, 100, 16) == {BLACK}, (name, top)
            assert (0, 0, 255) in seen.colours(PLAIN_AT, top, 100, 16)


async def test_shadow_trees_are_masked_the_closed_ones_too(browsers: Browsers, bank: Bank) -> None:
    browser = await browsers.launch()
    await browser.open(f"{bank.url}/shadows")
    seen = Bitmap.of(await browser.picture())
    assert seen.colours(20, 20, 100, 20) == {BLACK}
    assert seen.colours(140, 20, 100, 20) == {BLACK}


async def test_what_looks_like_a_password_or_was_one_is_masked_whatever_it_is_called(
    browsers: Browsers, bank: Bank
) -> None:
    browser = await browsers.launch()
    await browser.open(f"{bank.url}/disguised")
    for _ in range(2):
        seen = Bitmap.of(await browser.picture())
        assert seen.colours(20, 20, 100, 20) == {BLACK}
        assert seen.colours(140, 20, 100, 20) == {BLACK}
        # As a page does that has a button to show what was typed.
        await evaluate(browser, "document.getElementById('shown').type = 'text'")


async def test_where_covering_is_not_sure_there_is_no_picture(browsers: Browsers, bank: Bank) -> None:
    browser = await browsers.launch()
    await browser.open(f"{bank.url}/stubborn")
    with pytest.raises(NoPicture, match="could not be covered"):
        await browser.picture()
    await browser.open(f"{bank.url}/restless")
    with pytest.raises(NoPicture, match="faster than they can be covered"):
        await browser.picture()
    await browser.open(f"{bank.url}/fields")
    assert (await browser.picture()).data


async def test_a_dialog_is_why_there_is_no_picture(browsers: Browsers, bank: Bank) -> None:
    browser = await browsers.launch()
    await browser.open(f"{bank.url}/fields")
    front = browser._pages.front
    assert front is not None
    browser.mux.root.post("Runtime.evaluate", {"expression": "alert('stay')"}, front.session)
    await until(lambda: front.dialog)
    with pytest.raises(NoPicture, match="alert"):
        await browser.picture()
    await browser.mux.root.call("Page.handleJavaScriptDialog", {"accept": False}, front.session)


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
async def test_pictures_come_in_each_format_scaled_and_whole(
    browsers: Browsers, bank: Bank, media_type: str
) -> None:
    browser = await browsers.launch()
    await browser.open(f"{bank.url}/fields")
    whole = await browser.picture(Wish(media_type))
    half = await browser.picture(Wish(media_type, 0.5))
    assert (whole.media_type, half.media_type) == (media_type, media_type)
    assert abs(half.width - whole.width / 2) <= 1
    assert abs(half.height - whole.height / 2) <= 1
    await evaluate(browser, "document.body.style.height = '3000px'")
    long = await browser.picture(Wish(media_type, full_page=True))
    assert long.height == 3000
    assert (await browser.picture(Wish(media_type))).height == whole.height
    await evaluate(browser, "scrollTo(0, 700)")
    part = await browser.picture(Wish(media_type, 0.5, region=(100, 50, 200, 80)))
    assert (part.width, part.height) == (100, 40)
    with pytest.raises(InvalidField, match="not all inside the page's viewport"):
        await browser.picture(Wish(media_type, region=(whole.width - 10, 0, 50, 50)))


async def test_the_page_in_view_is_the_one_that_is_taken(browsers: Browsers, bank: Bank, site: Site) -> None:
    """One behind it is never drawn, and a picture of it would be waited for in vain."""
    browser = await browsers.launch()
    await browser.open(f"{site.url}/a")
    tab = await browser._pages.open_tab()
    await browser._pages.documents.navigate(tab, f"{bank.url}/fields")
    async with asyncio.timeout(30):
        seen = Bitmap.of(await browser.picture())
    assert seen.colours(20, 20, 100, 20) == {BLACK}


async def test_a_picture_that_is_given_up_leaves_nothing_covered(browsers: Browsers, bank: Bank) -> None:
    browser = await browsers.launch()
    await browser.open(f"{bank.url}/fields")
    for delay in (0.001, 0.005, 0.02, 0.04):
        taking = asyncio.create_task(browser.picture())
        asyncio.get_running_loop().call_later(delay, taking.cancel)
        await asyncio.wait([taking])
        assert await evaluate(browser, "document.getAnimations().length") == 0


# --- records ------------------------------------------------------------------------------


async def client_page(client: CdpClient) -> str:
    targets = (await client.call("Target.getTargets"))["targetInfos"]
    target = next(each["targetId"] for each in targets if each["type"] == "page")
    answer = await client.call("Target.attachToTarget", {"targetId": target, "flatten": True})
    return str(answer["sessionId"])


async def test_a_client_that_looks_touches_nothing_and_one_that_acts_does(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        opened = await running.open(41, f"{site.url}/a")
        async with connect(opened.session.cdp_url) as client:
            page = await client_page(client)
            await client.call("Page.captureScreenshot", {}, page)
            found, _ = await running.profile.examiner.examine(41)
            assert (found.browser_opened, found.account_touched, found.start_url) == (
                True,
                False,
                f"{site.url}/a",
            )
            await client.call("Page.navigate", {"url": f"{site.url}/b"}, page)
            await until(lambda: running.browser().url.endswith("/b"))
            found, ledger = await running.profile.examiner.examine(41)
        assert found.account_touched
        assert found.last_url == f"{site.url}/b"
        assert [item.text for item in ledger.items.values() if item.kind == URL] == [
            f"{site.url}/{x}" for x in "ab"
        ]
        assert "Page.navigate" in next(item.text for item in ledger.items.values() if item.kind == NOTE)
        await running.close(41)


async def test_a_form_that_is_being_sent_is_in_flight_until_it_lands(
    rig: Rig, bank: Bank, site: Site
) -> None:
    async with rig.host() as running:
        await running.open(41, f"{bank.url}/pay")
        await evaluate(running.browser(), "document.querySelector('form').submit()")
        recording = running.profile.witness.recording(41)
        await until(lambda: recording.forms)
        found, _ = await running.profile.examiner.examine(41)
        assert (found.form_in_flight, found.account_touched) == (True, True)
        await running.open(50, f"{site.url}/sign-in")
        await evaluate(running.browser(), "document.querySelector('form').submit()")
        await until(lambda: running.browser().url.endswith("/account"))
        found, _ = await running.profile.examiner.examine(50)
        assert (found.form_in_flight, found.account_touched) == (False, True)
        await running.close(50)


async def test_evidence_is_read_after_browser_and_host_were_killed(rig: Rig, bank: Bank) -> None:
    async with rig.host() as running:
        await running.open(41, f"{bank.url}/fields")
        item = await running.profile.step(41, 1, "checkout")
        assert item is not None
        assert item.size
        await running.kill_chrome()
    async with rig.host() as later:
        ledger = await later.host.profile(ALICE).witness.ledger(41)
        steps = [each for each in ledger.items.values() if each.kind == STEP]
        assert steps == [item]
        content = await later.host.profile(ALICE).witness.picture(41, item.name)
        assert content is not None
        assert content.startswith(b"\xff\xd8")
        assert len(content) == item.size
