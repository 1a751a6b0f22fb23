"""What DevTools clients may not do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from browserhost.policy import Effect, judge, start_url_problem

LOCAL = [
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    " file:///etc/passwd",
    "\x01file:///etc/passwd",
    "fi\tle:///etc/\npasswd",
    "chrome://settings",
    "chrome-untrusted://x",
    "chrome-extension://abc/x.html",
    "devtools://devtools/bundled/inspector.html",
    "view-source:file:///etc/passwd",
    "filesystem:http://x/y",
    "about:settings",
    "about:blankets",
    "/etc/passwd",
]
WEB = ["http://a.example/", "https://a.example/#x", "HTTPS://A.example", "about:blank", "about:blank#x"]


@pytest.mark.parametrize("url", LOCAL)
@pytest.mark.parametrize("method", ["Page.navigate", "Target.createTarget"])
def test_an_address_that_reaches_into_the_machine_is_refused(method: str, url: str) -> None:
    verdict = judge(method, {"url": url})
    assert verdict.effect is Effect.REFUSE
    assert verdict.problem


@pytest.mark.parametrize("url", [*WEB, "", "data:text/html,x", "blob:https://a.example/1", "javascript:1"])
def test_addresses_of_the_web_and_of_pages_pass(url: str) -> None:
    assert judge("Page.navigate", {"url": url}).effect is Effect.PASS


@pytest.mark.parametrize("url", [*LOCAL, "", "javascript:1", "data:text/html,x", "x"])
def test_a_session_starts_at_no_other_address_than_one_of_the_web(url: str) -> None:
    assert start_url_problem(url)


@pytest.mark.parametrize("url", WEB)
def test_a_session_may_start_on_the_web_or_blank(url: str) -> None:
    assert start_url_problem(url) is None


@pytest.mark.parametrize("method", ["Browser.close", "Browser.crash"])
def test_who_ends_the_browser_ends_the_session(method: str) -> None:
    assert judge(method, {}).effect is Effect.END_SESSION


@pytest.mark.parametrize(
    "method",
    [
        "Network.clearBrowserCookies",
        "Storage.clearCookies",
        "Storage.clearDataForOrigin",
        "Storage.clearDataForStorageKey",
        "Browser.crashGpuProcess",
        "Target.exposeDevToolsProtocol",
    ],
)
def test_what_clears_a_login_or_harms_later_sessions_is_refused(method: str) -> None:
    assert judge(method, {}).effect is Effect.REFUSE


@pytest.mark.parametrize(
    "method", ["Runtime.evaluate", "Storage.getCookies", "Network.deleteCookies", "Page.close"]
)
def test_everything_else_passes(method: str) -> None:
    assert judge(method, {"url": "file:///is/not/looked/at"}).effect is Effect.PASS


def nested(method: str, **params: Any) -> dict[str, str]:
    return {"message": json.dumps({"id": 1, "method": method, "params": params})}


@pytest.mark.parametrize(
    ("params", "effect"),
    [
        (nested("Runtime.evaluate", expression="1"), Effect.PASS),
        (nested("Page.navigate", url="file:///x"), Effect.REFUSE),
        (nested("Browser.close"), Effect.REFUSE),
        (nested("Target.sendMessageToTarget", **nested("Storage.clearCookies")), Effect.REFUSE),
        ({"message": "{"}, Effect.REFUSE),
        ({"message": "[]"}, Effect.REFUSE),
        ({"message": '{"method": "Page.navigate", "params": 5}'}, Effect.REFUSE),
        ({}, Effect.REFUSE),
    ],
)
def test_a_message_in_a_message_is_judged_as_the_inner_one(params: dict[str, Any], effect: Effect) -> None:
    assert judge("Target.sendMessageToTarget", params).effect is effect
