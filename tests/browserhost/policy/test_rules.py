"""What DevTools clients may not do."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from typing import Any

import pytest

from browserhost.policy import Effect, Room, Verdict, by_name, judge, reads, start_url_problem

NOW = 1_000_000.0
LINKS = {"/tmp/b/uploads/link": "/etc/passwd", "/tmp/b/uploads/../secret": "/tmp/b/secret"}
ROOM = Room(
    uploads="/tmp/b/uploads",
    downloads="/tmp/b/downloads",
    real=lambda path: LINKS.get(path, path),
    hidden=lambda name: name == "HIDDEN",
    now=NOW,
)
LOCAL = [
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    " file:///etc/passwd",
    "\x01file:///etc/passwd",
    "fi\tle:///etc/\npasswd",
    "chrome://settings",
    "chrome-untrusted://x",
    "chrome-search://x",
    "chrome-extension://abc/x.html",
    "chrome-error://chromewebdata/",
    "devtools://devtools/bundled/inspector.html",
    "view-source:https://a.example/",
    "view-source:file:///etc/passwd",
    "filesystem:http://x/y",
    "blob:file:///1",
    "blob:chrome://settings/1",
    "isolated-app://x",
    "ftp://a.example/",
    "about:settings",
    "about:blankets",
    "/etc/passwd",
]
WEB = ["http://a.example/", "https://a.example/#x", "HTTPS://A.example", "about:blank", "about:blank#x"]
GOES = ["Page.navigate", "Target.createTarget", "Network.loadNetworkResource", "Fetch.continueRequest"]
CTRL, SHIFT, ALT = 2, 8, 1


def asked(method: str, **params: Any) -> Verdict:
    return judge(method, params, ROOM)


def passes(method: str, **params: Any) -> bool:
    verdict = asked(method, **params)
    assert verdict.effect in (Effect.PASS, Effect.REFUSE)
    assert (verdict.effect is Effect.PASS) or (verdict.problem and verdict.remedy)
    return verdict.effect is Effect.PASS


@pytest.mark.parametrize("url", LOCAL)
@pytest.mark.parametrize("method", GOES)
def test_an_address_that_reaches_into_the_machine_is_refused(method: str, url: str) -> None:
    assert not passes(method, url=url)


@pytest.mark.parametrize(
    "url", [*WEB, "", "data:text/html,x", "blob:https://a.example/1", "blob:null/1", "javascript:1"]
)
@pytest.mark.parametrize("method", GOES)
def test_addresses_of_the_web_and_of_pages_pass(method: str, url: str) -> None:
    assert passes(method, url=url)


def test_a_request_that_goes_on_as_it_is_passes() -> None:
    assert passes("Fetch.continueRequest", requestId="1")


@pytest.mark.parametrize("url", [*LOCAL, "", "javascript:1", "data:text/html,x", "x"])
def test_a_session_starts_at_no_other_address_than_one_of_the_web(url: str) -> None:
    assert start_url_problem(url)


@pytest.mark.parametrize("url", WEB)
def test_a_session_may_start_on_the_web_or_blank(url: str) -> None:
    assert start_url_problem(url) is None


@pytest.mark.parametrize("method", ["Browser.close", "Browser.crash"])
def test_who_ends_the_browser_ends_the_session(method: str) -> None:
    assert asked(method).effect is Effect.END_SESSION


@pytest.mark.parametrize(
    "method",
    [
        "CacheStorage.deleteCache",
        "CacheStorage.deleteEntry",
        "DOMStorage.clear",
        "DOMStorage.removeDOMStorageItem",
        "IndexedDB.clearObjectStore",
        "IndexedDB.deleteDatabase",
        "IndexedDB.deleteObjectStoreEntries",
        "Network.clearBrowserCookies",
        "Network.deleteCookies",
        "Network.deleteDeviceBoundSession",
        "Page.deleteCookie",
        "ServiceWorker.unregister",
        "Storage.clearCookies",
        "Storage.clearDataForOrigin",
        "Storage.clearDataForStorageKey",
        "Storage.clearSharedStorageEntries",
        "Storage.clearTrustTokens",
        "Storage.deleteSharedStorageEntry",
        "Storage.deleteStorageBucket",
        "Storage.runBounceTrackingMitigations",
        "Browser.crashGpuProcess",
        "Browser.executeBrowserCommand",
        "Cast.startDesktopMirroring",
        "BackgroundService.setRecording",
        "DeviceAccess.selectPrompt",
        "Extensions.loadUnpacked",
        "PWA.launchFilesInApp",
        "Target.exposeDevToolsProtocol",
        "Target.getDevToolsTarget",
        "Target.openDevTools",
        "Target.setRemoteLocations",
        "Tethering.bind",
        "SomeLaterDomain.method",
        "",
    ],
)
def test_what_clears_a_login_or_reaches_beyond_the_session_is_refused(method: str) -> None:
    assert not passes(method)


@pytest.mark.parametrize(
    "method",
    [
        "Browser.grantPermissions",
        "Browser.setPermission",
        "Browser.setWindowBounds",
        "Emulation.setUserAgentOverride",
        "Network.clearBrowserCache",
        "Network.emulateNetworkConditions",
        "Network.getCookies",
        "Page.close",
        "Page.setBypassCSP",
        "Runtime.evaluate",
        "Security.setIgnoreCertificateErrors",
        "Storage.getCookies",
        "Target.createBrowserContext",
        "Tracing.start",
    ],
)
def test_everything_else_passes(method: str) -> None:
    assert passes(method, url="file:///is/not/looked/at")


@pytest.mark.parametrize(
    ("expires", "fine"),
    [(NOW + 1, True), (NOW - 1, False), (1, False), (0, False), (-1, True), (None, True)],
)
def test_a_cookie_whose_end_has_passed_is_a_deletion(expires: float | None, fine: bool) -> None:
    cookie = {"name": "a", "value": "b", "expires": expires}
    assert passes("Network.setCookie", **cookie) is fine
    for method in ("Network.setCookies", "Storage.setCookies"):
        assert passes(method, cookies=[{"name": "other"}, cookie]) is fine


HEADERS = [
    ("Location", "file:///etc/passwd", False),
    ("location", "chrome://settings", False),
    ("Location", "/elsewhere", True),
    ("Location", "https://a.example/", True),
    ("Refresh", "0; url=file:///etc/passwd", False),
    ("Refresh", "0;file:///etc/passwd", False),
    ("Refresh", "5", True),
    ("Refresh", "5; url=/next", True),
    ("Clear-Site-Data", '"cookies"', False),
    ("Set-Cookie", "user=; Max-Age=0", False),
    ("Set-Cookie", "user=; expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
    ("Set-Cookie", "user=x; Max-Age=60", True),
    ("Set-Cookie", "user=x; Max-Age=" + "9" * 5000, True),
    ("Set-Cookie", "user=x; Max-Age=-" + "9" * 5000, False),
    ("Set-Cookie", "user=x; Max-Age=000", False),
    ("Set-Cookie", "user=x; Max-Age=0090", True),
    ("Set-Cookie", "user=x; Max-Age=soon", True),
    ("Set-Cookie", "user=x; expires=Thu, 01 Jan 2970 00:00:00 GMT", True),
    ("Set-Cookie", "user=x; expires=whenever", True),
    ("X-Any", "a\r\nClear-Site-Data: *", False),
]


@pytest.mark.parametrize(("name", "value", "fine"), HEADERS)
@pytest.mark.parametrize("method", ["Fetch.fulfillRequest", "Fetch.continueResponse"])
def test_a_made_up_response_leads_nowhere_inside_and_clears_nothing(
    method: str, name: str, value: str, fine: bool
) -> None:
    headers = [{"name": "Content-Type", "value": "text/html"}, {"name": name, "value": value}]
    assert passes(method, requestId="1", responseCode=302, responseHeaders=headers) is fine
    binary = base64.b64encode(f"Content-Type: text/html\0{name}: {value}".encode()).decode()
    assert passes(method, requestId="1", binaryResponseHeaders=binary) is fine


@pytest.mark.parametrize(
    ("path", "fine"),
    [
        ("/tmp/b/uploads/cv.pdf", True),
        ("/tmp/b/uploads/deep/cv.pdf", True),
        ("/etc/passwd", False),
        ("/tmp/b/uploads", False),
        ("/tmp/b/uploads-of-another/x", False),
        ("/tmp/b/uploads/link", False),
        ("/tmp/b/uploads/../secret", False),
        ("uploads/cv.pdf", False),
        ("", False),
    ],
)
def test_files_are_chosen_from_the_upload_folder_only(path: str, fine: bool) -> None:
    assert passes("DOM.setFileInputFiles", files=["/tmp/b/uploads/first", path]) is fine
    assert passes("Input.dispatchDragEvent", data={"items": [], "files": [path]}) is fine


@pytest.mark.parametrize(
    ("item", "fine"),
    [
        ({"mimeType": "text/uri-list", "data": "# a comment\r\nfile:///etc/passwd"}, False),
        ({"mimeType": "Text/URI-list; x", "data": "chrome://settings"}, False),
        ({"mimeType": "text/html", "data": "<p>", "baseURL": "file:///"}, False),
        ({"mimeType": "text/uri-list", "data": "https://a.example/"}, True),
        ({"mimeType": "text/plain", "data": "file:///only/words"}, True),
    ],
)
def test_a_drag_carries_no_address_that_leads_inside(item: dict[str, str], fine: bool) -> None:
    assert passes("Input.dispatchDragEvent", type="drop", data={"items": [item]}) is fine


@pytest.mark.parametrize("method", ["Browser.setDownloadBehavior", "Page.setDownloadBehavior"])
def test_downloads_go_to_the_sessions_folder_whatever_is_asked_for(method: str) -> None:
    named = asked(method, behavior="allowAndName", downloadPath="/etc", eventsEnabled=True)
    assert named.params == {
        "behavior": "allowAndName",
        "downloadPath": "/tmp/b/downloads",
        "eventsEnabled": True,
    }
    for behavior in ("allow", "default", "something else"):
        params = asked(method, behavior=behavior, downloadPath="/etc").params
        assert params == {"behavior": "allow", "downloadPath": "/tmp/b/downloads"}
    assert asked(method, behavior="deny") == Verdict(Effect.PASS)


@pytest.mark.parametrize(
    ("modifiers", "key", "code", "number"),
    [
        (CTRL, "t", "KeyT", 84),
        (CTRL, "n", "KeyN", 78),
        (CTRL, "o", "KeyO", 79),
        (CTRL, "u", "KeyU", 85),
        (CTRL, "h", "KeyH", 72),
        (CTRL, "j", "KeyJ", 74),
        (CTRL, "s", "KeyS", 83),
        (CTRL, "p", "KeyP", 80),
        (CTRL | SHIFT, "I", "KeyI", 73),
        (CTRL | SHIFT, "N", "KeyN", 78),
        (CTRL | SHIFT, "Delete", "Delete", 46),
        (SHIFT, "Escape", "Escape", 27),
        (ALT, "Home", "Home", 36),
        (ALT, "f", "KeyF", 70),
        (0, "F12", "F12", 123),
        (0, "BrowserHome", "BrowserHome", 172),
    ],
)
def test_a_chord_that_leaves_the_page_is_refused_by_each_of_its_names(
    modifiers: int, key: str, code: str, number: int
) -> None:
    for named in ({"key": key}, {"code": code}, {"windowsVirtualKeyCode": number}):
        assert not passes("Input.dispatchKeyEvent", type="rawKeyDown", modifiers=modifiers, **named)
    # Chrome takes 2.0 for 2.
    as_floats = {"modifiers": float(modifiers), "windowsVirtualKeyCode": float(number)}
    assert not passes("Input.dispatchKeyEvent", type="rawKeyDown", **as_floats)


@pytest.mark.parametrize(
    "params",
    [
        {"modifiers": CTRL, "key": "a", "windowsVirtualKeyCode": 65},
        {"modifiers": CTRL, "key": "c", "windowsVirtualKeyCode": 67},
        {"modifiers": CTRL | SHIFT, "key": ".", "windowsVirtualKeyCode": 190},
        {"modifiers": SHIFT, "key": "T", "windowsVirtualKeyCode": 84},
        {"key": "t", "text": "t"},
        {"key": "Delete", "windowsVirtualKeyCode": 46},
        {"key": "Escape", "windowsVirtualKeyCode": 27},
        {"modifiers": CTRL, "key": "Enter", "windowsVirtualKeyCode": 13},
    ],
)
def test_keys_that_stay_in_the_page_pass(params: dict[str, Any]) -> None:
    assert passes("Input.dispatchKeyEvent", type="rawKeyDown", **params)


@pytest.mark.parametrize(
    "params",
    [
        {"proxyServer": "http://1.2.3.4:1"},
        {"proxyServer": "direct://"},
        {"proxyBypassList": "*"},
        {"originsWithUniversalNetworkAccess": ["https://a.example"]},
    ],
)
def test_a_context_brings_no_network_of_its_own(params: dict[str, Any]) -> None:
    assert not passes("Target.createBrowserContext", **params)
    assert passes("Target.createBrowserContext", disposeOnDetach=True, proxyServer="")


def test_a_trace_configuration_that_may_name_a_file_is_refused() -> None:
    assert not passes("Tracing.start", perfettoConfig="AAAA")


@pytest.mark.parametrize("method", ["attachToTarget", "getTargetInfo", "closeTarget", "autoAttachRelated"])
def test_what_is_hidden_cannot_be_reached_by_its_name(method: str) -> None:
    assert not passes(f"Target.{method}", targetId="HIDDEN")
    assert passes(f"Target.{method}", targetId="OTHER")


@pytest.mark.parametrize("name", ["/tmp/\0", "/tmp/b/uploads/\ud800"])
def test_a_name_that_no_file_can_have_is_in_no_folder(name: str) -> None:
    room = replace(ROOM, real=os.path.realpath)
    assert judge("DOM.setFileInputFiles", {"files": [name]}, room).effect is Effect.REFUSE


@pytest.mark.parametrize("text", ["é", "Zm9v é", "x"])
def test_headers_that_cannot_be_read_are_refused(text: str) -> None:
    assert not passes("Fetch.fulfillRequest", binaryResponseHeaders=text)


def nested(method: str, **params: Any) -> dict[str, str]:
    return {"message": json.dumps({"id": 1, "method": method, "params": params})}


@pytest.mark.parametrize(
    ("params", "effect"),
    [
        (nested("Runtime.evaluate", expression="1"), Effect.PASS),
        (nested("Page.navigate", url="file:///x"), Effect.REFUSE),
        (nested("Browser.close"), Effect.REFUSE),
        (nested("Target.sendMessageToTarget", **nested("Storage.clearCookies")), Effect.REFUSE),
        ({"sessionId": "HIDDEN", **nested("Runtime.evaluate")}, Effect.REFUSE),
        (
            nested("Target.sendMessageToTarget", sessionId="HIDDEN", **nested("Runtime.evaluate")),
            Effect.REFUSE,
        ),
        ({"message": "{"}, Effect.REFUSE),
        ({"message": "[]"}, Effect.REFUSE),
        ({"message": '{"id": 1, "method": "Page.navigate", "params": 5}'}, Effect.REFUSE),
        ({"message": '{"id": 1.0, "method": "Page.enable"}'}, Effect.REFUSE),
        ({"message": '{"id": 1, "method": "Page.enable", "sessionId": 5}'}, Effect.REFUSE),
        ({}, Effect.REFUSE),
    ],
)
def test_a_message_in_a_message_is_judged_as_the_inner_one(params: dict[str, Any], effect: Effect) -> None:
    assert judge("Target.sendMessageToTarget", params, ROOM).effect is effect


def test_a_message_in_a_message_is_sent_on_as_it_was_read() -> None:
    twice = '{"id": 1, "method": "Page.navigate", "params": {"url": "file:///x", "url": "http://a.example"}}'
    params = asked("Target.sendMessageToTarget", sessionId="S", message=twice).params
    assert params is not None
    assert "file:" not in params["message"]


def test_a_message_in_a_message_is_changed_as_the_inner_one() -> None:
    message = nested("Page.setDownloadBehavior", behavior="allow", downloadPath="/etc")
    params = asked("Target.sendMessageToTarget", sessionId="S", **message).params
    assert params is not None
    assert params["sessionId"] == "S"
    assert json.loads(params["message"])["params"]["downloadPath"] == "/tmp/b/downloads"


def test_a_name_alone_decides_nothing_that_parameters_may_change() -> None:
    looked_into = ["Page.navigate", "Input.dispatchKeyEvent", "Target.attachToTarget", "Target.getTargets"]
    assert [by_name(method) for method in looked_into if reads(method)] == [None] * len(looked_into)
    for method in ("Runtime.evaluate", "Browser.close", "Storage.clearCookies", "Cast.enable", "New.method"):
        assert by_name(method) == judge(method, {"targetId": "CHROME"}, ROOM)
