"""What clients see of a browser's targets."""

from __future__ import annotations

from typing import Any

import pytest

from browserhost.targets import CHANGED, CREATED, DESTROYED, Targets, View, is_shown


def info(url: str, target: str = "T", kind: str = "page", context: str = "C") -> dict[str, Any]:
    return {"targetId": target, "type": kind, "url": url, "browserContextId": context}


@pytest.mark.parametrize(
    ("kind", "url", "shown"),
    [
        ("page", "https://a.example/", True),
        ("page", "", True),
        ("page", "about:blank", True),
        ("page", "chrome-error://chromewebdata/", True),
        ("iframe", "data:text/html,x", True),
        ("service_worker", "https://a.example/sw.js", True),
        ("worker", "blob:https://a.example/1", True),
        ("browser", "", True),
        ("page", "chrome://newtab/", False),
        ("page", "file:///etc/passwd", False),
        ("page", "view-source:https://a.example/", False),
        ("other", "devtools://devtools/bundled/devtools_app.html", False),
        ("iframe", "chrome-extension://abc/index.html", False),
        ("browser_ui", "chrome://omnibox-popup.top-chrome/", False),
        ("browser_ui", "", False),
    ],
)
def test_targets_of_the_web_are_shown_and_no_others(kind: str, url: str, shown: bool) -> None:
    assert is_shown(info(url, kind=kind)) is shown


def test_a_target_that_leaves_the_web_is_told_and_hidden_until_it_returns_or_goes() -> None:
    targets = Targets()
    assert targets.hear(CREATED, {"targetInfo": info("https://a.example/")}) is None
    assert not targets.is_hidden("T")
    assert targets.hear(CHANGED, {"targetInfo": info("file:///x")}) == info("file:///x")
    assert targets.is_hidden("T")
    assert targets.hear(CHANGED, {"targetInfo": info("https://a.example/")}) is None
    assert not targets.is_hidden("T")
    targets.hear(CHANGED, {"targetInfo": info("file:///x")})
    targets.hear(DESTROYED, {"targetId": "T"})
    assert not targets.is_hidden("T")
    assert not targets.is_hidden("never heard of")


def test_tabs_beside_one_are_those_of_the_web_in_its_context() -> None:
    targets = Targets()
    local = info("chrome://settings", "LOCAL")
    for each in (local, info("https://a", "WEB"), info("https://a", "ELSEWHERE", context="D")):
        targets.hear(CREATED, {"targetInfo": each})
    targets.hear(CREATED, {"targetInfo": info("https://a", "WORKER", kind="worker")})
    assert targets.others(local) == ["WEB"]


def test_a_client_sees_a_target_that_leaves_the_web_as_closed_and_one_that_returns_as_new() -> None:
    view = View()
    web, local = {"targetInfo": info("https://a")}, {"targetInfo": info("chrome://settings")}
    assert view.event(CREATED, local) is None
    assert view.event(CHANGED, local) is None
    assert view.event(CHANGED, web) == (CREATED, web)
    assert view.event(CHANGED, web) == (CHANGED, web)
    assert view.event(CHANGED, local) == (DESTROYED, {"targetId": "T"})
    assert view.event(DESTROYED, {"targetId": "T"}) is None
    assert view.event(CREATED, web) == (CREATED, web)
    assert view.event(DESTROYED, {"targetId": "T"}) == (DESTROYED, {"targetId": "T"})
