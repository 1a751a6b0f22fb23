"""Ways out to where no browser may go, tried from inside a real Chrome."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

import pytest

from browserhost.browser import Browser
from tenure.cdp import CdpError
from tenure.errors import InvalidField, NavigationFailed
from tests.fixtures.chrome import Browsers, Site, until
from tests.fixtures.lair import Lair, sent_to

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Each sends a request to TARGET; PATHS of the site get it there in another way.
WAYS = {
    "fetch": "fetch(TARGET, {mode: 'no-cors'}).catch(() => 0)",
    "xhr": "(x => {x.open('GET', TARGET); x.send()})(new XMLHttpRequest())",
    "image": "void (new Image().src = TARGET)",
    "script": "document.head.append(Object.assign(document.createElement('script'), {src: TARGET}))",
    "module": "import(TARGET).catch(() => 0)",
    "style": "document.body.style.backgroundImage = `url(${TARGET})`",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'), {src: TARGET}))",
    "object": "document.body.append(Object.assign(document.createElement('object'), {data: TARGET}))",
    "prefetch": "document.head.append(Object.assign(document.createElement('link'), "
    "{rel: 'prefetch', href: TARGET}))",
    "window": "void window.open(TARGET)",
    "location": "void (location.href = TARGET)",
    "form": "(form => {document.body.append(form); form.submit()})"
    "(Object.assign(document.createElement('form'), {action: TARGET, method: 'post'}))",
    "beacon": "navigator.sendBeacon(TARGET)",
    "socket": "void new WebSocket(TARGET.replace('http', 'ws'))",
    "events": "void new EventSource(TARGET)",
    "worker": "void (self.kept = new Worker(BLOB))",
    "shared worker": "void (self.kept = new SharedWorker(BLOB))",
    "service worker": "navigator.serviceWorker.register('/sw.js?to=' + encodeURIComponent(TARGET))"
    ".catch(() => 0)",
    "redirect": "void (location.href = '/redirect?to=' + encodeURIComponent(TARGET))",
    "redirected fetch": "fetch('/redirect?to=' + encodeURIComponent(TARGET), {mode: 'no-cors'})"
    ".catch(() => 0)",
    "redirected frame": "document.body.append(Object.assign(document.createElement('iframe'), "
    "{src: '/redirect?to=' + encodeURIComponent(TARGET)}))",
    "meta refresh": "void (location.href = '/meta?to=' + encodeURIComponent(TARGET))",
    "data page": "document.body.append(Object.assign(document.createElement('iframe'), "
    "{src: 'data:text/html,<img src=' + TARGET + '>'}))",
}
# A script for a worker: it sends the request itself.
BLOB = "URL.createObjectURL(new Blob([`fetch('${TARGET}', {mode: 'no-cors'}).catch(() => 0)`]))"
METADATA = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "0.0.0.0",
    "rebound.test",
    "REBOUND.test",
]
OWN = ["127.0.0.1", "localhost", "a.localhost", "127.1", "2130706433", "0x7f.1", "017700000001", "127.0.0.2"]
OWN += ["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "own.test", "\uff11\uff12\uff17.0.0.1"]


@pytest.mark.parametrize("way", sorted(WAYS))
async def test_no_way_of_a_page_leads_to_a_service_of_tenures(lair: Lair, way: str) -> None:
    # The way works: it is the address that is refused.
    slug = way.replace(" ", "-")
    await send(lair, way, f"{lair.site.url}/{slug}", lambda: f"/{slug}" in lair.site.asked)
    # A name of its own, so that what an earlier page asks for late is not taken for this.
    host = f"{slug}.own.test:{lair.own.port}"
    said = f"{host}: 127.0.0.1 is one of Tenure's own services"
    await send(lair, way, f"http://{host}/", lambda: said in lair.failures)
    assert lair.own.touched == 0


async def send(lair: Lair, way: str, target: str, seen: Callable[[], bool]) -> None:
    async with lair.tab() as tab:
        await tab.run(f"(TARGET => {{ {WAYS[way].replace('BLOB', BLOB)} }})({json.dumps(target)})")
        await until(seen)


def refusals(lair: Lair) -> list[str]:
    """Without what Chrome asks for by itself, which the test's machine cannot resolve."""
    return [failure for failure in lair.failures if " is " in failure]


@pytest.mark.parametrize("host", METADATA)
async def test_no_spelling_of_a_metadata_address_is_reached(lair: Lair, host: str) -> None:
    await refused_fetch(lair, f"http://{host}/latest/meta-data/")


@pytest.mark.parametrize("host", OWN)
async def test_no_spelling_of_this_machine_leads_to_a_service_of_tenures(lair: Lair, host: str) -> None:
    await refused_fetch(lair, f"http://{host}:{lair.own.port}/")
    assert lair.own.touched == 0


async def refused_fetch(lair: Lair, url: str) -> None:
    lair.browser._forwarder._failures.clear()
    async with lair.tab() as tab:
        said = await tab.run(f"fetch({json.dumps(url)}, {{mode: 'no-cors'}}).then(() => 'reached', String)")
    assert said == "TypeError: Failed to fetch"
    assert refusals(lair)


async def test_a_context_of_the_clients_own_goes_through_the_same_forwarder(lair: Lair) -> None:
    context = (await lair.client.call("Target.createBrowserContext"))["browserContextId"]
    made = {"url": f"{lair.own.url}/", "browserContextId": context}
    lair.browser._forwarder._failures.clear()
    await lair.client.call("Target.createTarget", made)
    await until(lambda: refusals(lair))
    await lair.client.call("Target.disposeBrowserContext", {"browserContextId": context})
    assert lair.own.touched == 0


@pytest.mark.parametrize(
    "params", [{"proxyServer": "direct://"}, {"proxyServer": "", "proxyBypassList": "*"}]
)
async def test_a_context_with_a_way_out_of_its_own_is_refused(lair: Lair, params: dict[str, str]) -> None:
    with pytest.raises(CdpError, match="goes through its own proxy only"):
        await lair.client.call("Target.createBrowserContext", params)


async def test_devtools_own_loading_and_continued_requests_go_the_same_way(lair: Lair) -> None:
    async with lair.tab() as tab:
        frame = (await tab.call("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        options = {"disableCache": True, "includeCredentials": False}
        answer = await tab.call(
            "Network.loadNetworkResource", frameId=frame, url=lair.own.url, options=options
        )
        assert answer["resource"]["success"] is False
        paused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = tab.client.listen(
            lambda method, params, _: (
                paused.set_result(params["requestId"])
                if method == "Fetch.requestPaused" and not paused.done()
                else None
            )
        )
        # That one alone: a page's icon may be asked for at any time.
        await tab.call("Fetch.enable", patterns=[{"urlPattern": "*/fine"}])
        fetching = asyncio.create_task(tab.run("fetch('/fine').then(() => 'reached', String)"))
        await tab.call("Fetch.continueRequest", requestId=await paused, url=f"{lair.own.url}/")
        assert await fetching == "TypeError: Failed to fetch"
        stop()
    assert lair.own.touched == 0


async def test_nothing_goes_by_udp(lair: Lair) -> None:
    class Ear(asyncio.DatagramProtocol):
        heard: list[bytes] = []  # noqa: RUF012 - one ear

        def datagram_received(self, data: bytes, address: object) -> None:
            self.heard.append(data)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Ear, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    rtc = f"""new Promise(done => {{
        const peer = new RTCPeerConnection({{iceServers: [{{urls: 'stun:127.0.0.1:{port}'}}]}});
        const found = [];
        peer.createDataChannel('x');
        peer.onicecandidate = event => event.candidate ? found.push(event.candidate.candidate) : done(found);
        peer.createOffer().then(offer => peer.setLocalDescription(offer));
    }})"""
    web = f"""(async () => {{
        try {{ await new WebTransport('https://127.0.0.1:{port}/').ready; return 'reached' }}
        catch (error) {{ return error.name }}
    }})()"""
    async with lair.tab() as tab:
        assert await tab.run(rtc) == []
        assert await tab.run(web) == "WebTransportError"
    transport.close()
    assert Ear.heard == []


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://169.254.169.254/", "link-local or a cloud's metadata service"),
        ("http://[::ffff:169.254.169.254]/", "link-local or a cloud's metadata service"),
        ("OWN", "one of Tenure's own services"),
    ],
)
async def test_a_session_does_not_start_at_a_refused_address(lair: Lair, url: str, named: str) -> None:
    with pytest.raises(InvalidField, match=named) as refused:
        await lair.browser.open(url.replace("OWN", f"http://localhost:{lair.own.port}/x"))
    assert refused.value.field == "start_url"
    assert "send another address" in str(refused.value)


@pytest.mark.parametrize("path", ["http://rebound.test/", "REDIRECT"])
async def test_a_start_that_leads_to_a_refused_address_names_it(lair: Lair, path: str) -> None:
    url = path.replace("REDIRECT", lair.site.url + sent_to("/redirect", "http://169.254.169.254/"))
    with pytest.raises(NavigationFailed, match=r"169\.254\.169\.254 is link-local"):
        await lair.browser.open(url)
    await lair.browser.open(f"{lair.site.url}/again")


@pytest.fixture
async def alone(browsers: Browsers, site: Site) -> Browser:
    browser = await browsers.launch()
    await browser.open(f"{site.url}/first")
    return browser


@pytest.mark.asyncio(loop_scope="function")
async def test_without_its_forwarder_a_browser_reaches_nothing(alone: Browser, site: Site) -> None:
    # The keeper has the socket too, so that nobody else gets its port: it is closed for both.
    with alone._forwarder.listening as way_out:
        way_out.shutdown(socket.SHUT_RDWR)
    alone._forwarder.close()
    with pytest.raises(NavigationFailed, match="ERR_PROXY_CONNECTION_FAILED"):
        await alone.open(f"{site.url}/second")
    assert "GET /second" not in site.requests
