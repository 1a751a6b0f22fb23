"""Ways into the machine, and of clearing a login, tried by a client of a real Chrome."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tenure.cdp import CdpError
from tests.fixtures.chrome import until
from tests.fixtures.lair import SECRET, Lair, Tab

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRAME = "(url => document.body.append(Object.assign(document.createElement('iframe'), {src: url})))"
# Each tries to come to TARGET, a file or one of Chrome's own pages, from inside a page.
WAYS = {
    "location": "void (location.href = TARGET)",
    "window": "void window.open(TARGET)",
    "blank window": "void (w => { w.location = TARGET })(window.open('about:blank'))",
    "link": "(a => { document.body.append(a); a.click() })(Object.assign(document.createElement('a'), "
    "{href: TARGET}))",
    "frame": f"{FRAME}(TARGET)",
    "form": "(form => {document.body.append(form); form.submit()})"
    "(Object.assign(document.createElement('form'), {action: TARGET}))",
    "source": "void window.open('view-source:' + TARGET)",
    "source frame": f"{FRAME}('view-source:' + TARGET)",
    "script address": f"{FRAME}('javascript:location=' + JSON.stringify(TARGET))",
    "data page": f"{FRAME}('data:text/html,<iframe src=' + TARGET + '></iframe><script>location=`' + TARGET"
    " + '`</script>')",
    "blob page": f"{FRAME}(URL.createObjectURL(new Blob(['<script>location=`' + TARGET + '`</script>'], "
    "{type: 'text/html'})))",
    "redirect": "void (location.href = '/redirect?to=' + encodeURIComponent(TARGET))",
    "redirected frame": f"{FRAME}('/redirect?to=' + encodeURIComponent(TARGET))",
    "meta refresh": "void (location.href = '/meta?to=' + encodeURIComponent(TARGET))",
    "refresh header": "void (location.href = '/refresh?to=' + encodeURIComponent(TARGET))",
    "history": "try { history.pushState(null, '', TARGET) } catch (error) {}",
    "worker": "try { new Worker(TARGET) } catch (error) {}",
    "worker's import": "void (self.kept = new Worker(URL.createObjectURL("
    "new Blob([`importScripts('${TARGET}')`]))))",
}
READS = {
    "fetch": "fetch(TARGET).then(answer => answer.text())",
    "redirected fetch": "fetch('/redirect?to=' + encodeURIComponent(TARGET)).then(answer => answer.text())",
    "xhr": "new Promise((done, fail) => { const x = new XMLHttpRequest(); "
    "x.onload = () => done(x.responseText); x.onerror = fail; x.open('GET', TARGET); x.send() })",
    "import": "import(TARGET).then(String)",
}


@pytest.mark.parametrize("way", sorted(WAYS))
async def test_no_way_of_a_page_leads_into_the_machine(lair: Lair, way: str) -> None:
    for target in (lair.secret.as_uri(), "chrome://version/"):
        async with lair.tab() as tab:
            await tab.run(f"(TARGET => {{ {WAYS[way]} }})({json.dumps(target)})")
            # Two round trips through the browser and the renderer: what was begun has been decided by then.
            for _ in range(3):
                await no_local_page(lair)
            assert SECRET not in json.dumps(await everything(tab))


async def no_local_page(lair: Lair) -> None:
    seen = (await lair.client.call("Target.getTargets", {"filter": [{}]}))["targetInfos"]
    assert [
        each["url"] for each in seen if each["url"].startswith(("file:", "chrome:", "view-source:"))
    ] == []


async def everything(tab: Tab) -> Any:
    """All text of a page and its frames."""
    try:
        return await tab.call("DOMSnapshot.captureSnapshot", computedStyles=[])
    except CdpError:
        return None  # it is being replaced


@pytest.mark.parametrize("way", sorted(READS))
@pytest.mark.parametrize("world", ["page", "isolated world with universal access"])
async def test_no_script_reads_the_machines_files(lair: Lair, way: str, world: str) -> None:
    async with lair.tab() as tab:
        where = {}
        if world != "page":
            frame = (await tab.call("Page.getFrameTree"))["frameTree"]["frame"]["id"]
            made = await tab.call("Page.createIsolatedWorld", frameId=frame, grantUniveralAccess=True)
            where["contextId"] = made["executionContextId"]
        script = f"(TARGET => {READS[way]}.catch(() => 'nothing'))({json.dumps(lair.secret.as_uri())})"
        assert await tab.run(script, **where) == "nothing"


def denials(lair: Lair) -> dict[str, dict[str, Any]]:
    secret = lair.secret.as_uri()
    return {
        "Page.navigate": {"url": f"view-source:{lair.site.url}/"},
        "Target.createTarget": {"url": secret},
        "Network.loadNetworkResource": {"url": secret, "options": {}},
        "Fetch.continueRequest": {"requestId": "1", "url": secret},
        "Fetch.fulfillRequest": {
            "requestId": "1",
            "responseCode": 302,
            "binaryResponseHeaders": base64.b64encode(f"Location: {secret}".encode()).decode(),
        },
        "DOM.setFileInputFiles": {"files": [str(lair.secret)]},
        "Input.dispatchDragEvent": {"type": "drop", "x": 1, "y": 1, "data": {"files": [str(lair.secret)]}},
        "Input.dispatchKeyEvent": {"type": "rawKeyDown", "modifiers": 2, "windowsVirtualKeyCode": ord("O")},
        "Target.openDevTools": {"targetId": "x"},
        "Target.exposeDevToolsProtocol": {"targetId": "x"},
        "Tethering.bind": {"port": 1},
        "Extensions.loadUnpacked": {"path": "/tmp"},
        "Tracing.start": {"perfettoConfig": "AAAA"},
        "Page.deleteCookie": {"cookieName": "login", "url": lair.site.url},
        "Network.deleteCookies": {"name": "login", "url": lair.site.url},
        "Network.setCookie": {"name": "login", "value": "", "url": lair.site.url, "expires": 1},
        "Network.setCookies": {
            "cookies": [{"name": "login", "value": "", "url": lair.site.url, "expires": 0}]
        },
        "Storage.setCookies": {
            "cookies": [{"name": "login", "value": "", "url": lair.site.url, "expires": 1.5}]
        },
        "Network.clearBrowserCookies": {},
        "Storage.clearCookies": {},
        "Storage.clearDataForOrigin": {"origin": lair.site.url, "storageTypes": "all"},
        "Storage.clearDataForStorageKey": {"storageKey": f"{lair.site.url}/", "storageTypes": "all"},
        "DOMStorage.clear": {"storageId": {"securityOrigin": lair.site.url, "isLocalStorage": True}},
        "IndexedDB.deleteDatabase": {"securityOrigin": lair.site.url, "databaseName": "x"},
    }


async def test_what_is_refused_is_named_with_a_remedy_flat_or_inside_a_call(lair: Lair) -> None:
    async with lair.tab() as tab:
        await tab.run("localStorage.setItem('kept', 'yes')")
        old = (await lair.client.call("Target.attachToTarget", {"targetId": tab.target}))["sessionId"]
        heard: list[dict[str, Any]] = []
        stop = lair.client.listen(
            lambda method, params, _: heard.append(params) if "message" in params else None
        )
        for method, params in denials(lair).items():
            with pytest.raises(CdpError, match=f"{method} is refused by the session's policy") as refused:
                await tab.call(method, **params)
            data = json.loads(str(refused.value.data))
            assert data["reason"] == "CDP_METHOD_DENIED"
            assert data["remedy"]
            inner = json.dumps({"id": 1, "method": method, "params": params})
            heard.clear()
            await lair.client.call("Target.sendMessageToTarget", {"sessionId": old, "message": inner})
            await until(lambda: heard)
            assert "is refused by the session's policy" in heard[0]["message"]
        stop()
        assert await tab.run("localStorage.getItem('kept') + document.cookie") == "yeslogin=alice"


async def test_what_chrome_would_not_read_is_refused_and_the_browser_lives(lair: Lair) -> None:
    deep = "[" * 400 + "]" * 400
    async with aiohttp.ClientSession() as http, http.ws_connect(lair.url) as socket:
        for value in ("NaN", "-Infinity", "1e999", "1" * 400, deep, f'{deep},"y":"{"z" * 5000}"'):
            await socket.send_str(f'{{"id":1,"method":"Browser.getVersion","params":{{"x":{value}}}}}')
            assert (await socket.receive_json(timeout=30))["error"]["code"] == -32600
        await socket.send_json({"id": 2, "method": "Browser.getVersion", "params": {}})
        assert "product" in (await socket.receive_json(timeout=30))["result"]
    # And what should come to Chrome all the same ends nothing.
    lair.browser.mux.pipe.write(b'{"id":1,"method":"Browser.getVersion","params":{"x":NaN}}')
    assert "product" in await lair.client.call("Browser.getVersion", timeout=30)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("Page.setBypassCSP", {"enabled": True}),
        ("Security.setIgnoreCertificateErrors", {"ignore": True}),
        (
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
        ),
        ("Network.clearBrowserCache", {}),
        ("Input.dispatchKeyEvent", {"type": "rawKeyDown", "modifiers": 2, "windowsVirtualKeyCode": ord("A")}),
        ("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"}),
    ],
)
async def test_what_harms_nobody_passes(lair: Lair, method: str, params: dict[str, Any]) -> None:
    async with lair.tab() as tab:
        await tab.call(method, **params)


async def test_files_of_the_upload_folder_are_given_to_a_page_and_links_out_of_it_are_not(lair: Lair) -> None:
    good, link = lair.browser.uploads / "cv.txt", lair.browser.uploads / "link.txt"
    good.write_text("my life")
    link.symlink_to(lair.secret)
    async with lair.tab() as tab:
        chosen = await tab.call("Runtime.evaluate", expression="document.querySelector('input')")
        at = {"objectId": chosen["result"]["objectId"]}
        await tab.call("DOM.setFileInputFiles", files=[str(good)], **at)
        assert await tab.run("document.querySelector('input').files[0].text()") == "my life"
        for path in (link, lair.browser.uploads / ".." / "Xauthority", lair.secret, Path("cv.txt")):
            with pytest.raises(CdpError, match="is not in the session's upload folder"):
                await tab.call("DOM.setFileInputFiles", files=[str(path)], **at)


async def test_downloads_land_in_the_sessions_folder_whatever_the_client_asks_for(lair: Lair) -> None:
    elsewhere = lair.secret.parent / "elsewhere"
    wish = {"behavior": "allow", "downloadPath": str(elsewhere)}
    await lair.client.call("Browser.setDownloadBehavior", wish)
    async with lair.tab() as tab:
        await tab.call("Page.setDownloadBehavior", **wish)
        await tab.run("void (location.href = '/download')")
        await until((lair.browser.downloads / "got.bin").exists)
    assert not elsewhere.exists()


async def test_chromes_own_targets_are_neither_listed_nor_told_of_nor_attached_to(lair: Lair) -> None:
    own = [each for each in await lair.targets() if each["url"].startswith("chrome:")]
    assert own, "Chrome has pages of its own from the start"
    everything: dict[str, Any] = {"filter": [{"type": "tab", "exclude": True}, {}]}
    told: list[str] = []
    stop = lair.client.listen(
        lambda method, params, _: told.append(params["targetInfo"]["url"]) if "targetInfo" in params else None
    )
    await lair.client.call("Target.setDiscoverTargets", {"discover": True, **everything})
    auto = {"waitForDebuggerOnStart": False, "flatten": True}
    await lair.client.call("Target.setAutoAttach", {**auto, "autoAttach": True, **everything})
    listed = (await lair.client.call("Target.getTargets", everything))["targetInfos"]
    await lair.client.call("Target.setAutoAttach", {**auto, "autoAttach": False})
    await lair.client.call("Target.setDiscoverTargets", {"discover": False})
    stop()
    assert told
    assert [url for url in [*told, *(each["url"] for each in listed)] if url.startswith("chrome:")] == []
    for each in own:
        for method in ("Target.attachToTarget", "Target.getTargetInfo", "Target.closeTarget"):
            with pytest.raises(CdpError, match="is no page of the web"):
                await lair.client.call(method, {"targetId": each["targetId"], "flatten": True})


@pytest.mark.parametrize("url", ["FILE", "chrome://version/", "view-source:SITE", "chrome://newtab/"])
async def test_a_page_that_leaves_the_web_all_the_same_is_taken_from_its_clients_and_closed(
    lair: Lair, url: str
) -> None:
    root = lair.browser.mux.root
    address = url.replace("FILE", lair.secret.as_uri()).replace("SITE", f"{lair.site.url}/")
    async with lair.tab() as tab:
        flat = {"targetId": tab.target, "flatten": True}
        hosts = (await root.call("Target.attachToTarget", flat))["sessionId"]
        detached: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = lair.client.listen(
            lambda method, params, _: (
                detached.set_result(params["sessionId"])
                if method == "Target.detachedFromTarget" and not detached.done()
                else None
            )
        )
        root.post("Page.navigate", {"url": address}, hosts)
        assert await asyncio.wait_for(detached, 30) == tab.session
        stop()
        with pytest.raises(CdpError, match="Session with given id not found"):
            await tab.call("Runtime.evaluate", expression="document.body.innerText")
        async with asyncio.timeout(30):  # Chrome takes up to 0.2 s to close a tab
            while tab.target in {each["targetId"] for each in await lair.targets()}:
                continue


async def test_a_file_dropped_on_a_page_that_does_not_take_it_opens_nothing(lair: Lair) -> None:
    dropped = lair.browser.uploads / "dropped.html"
    dropped.write_text(SECRET)
    async with lair.tab() as tab:
        data = {"items": [], "files": [str(dropped)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await tab.call("Input.dispatchDragEvent", type=kind, x=400, y=400, data=data)
        for _ in range(3):
            await no_local_page(lair)


async def test_a_redirect_that_the_client_makes_up_leads_nowhere_inside(lair: Lair) -> None:
    async with lair.tab() as tab:
        paused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = tab.client.listen(
            lambda method, params, _: (
                paused.set_result(params["requestId"])
                if method == "Fetch.requestPaused" and not paused.done()
                else None
            )
        )
        # Not what else the page asks for, such as its icon.
        await tab.call("Fetch.enable", patterns=[{"urlPattern": "*/x"}])
        fetching = asyncio.create_task(tab.run("fetch('/x').then(answer => answer.text(), String)"))
        request = await paused
        stop()
        for name, value in (("Location", lair.secret.as_uri()), ("Clear-Site-Data", '"cookies"')):
            with pytest.raises(CdpError, match="refused by the session's policy"):
                headers = [{"name": name, "value": value}]
                await tab.call(
                    "Fetch.fulfillRequest", requestId=request, responseCode=302, responseHeaders=headers
                )
        body = base64.b64encode(b"made up").decode()
        await tab.call("Fetch.fulfillRequest", requestId=request, responseCode=200, body=body)
        assert await fetching == "made up"
