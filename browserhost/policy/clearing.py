"""What clears a login: cookies and storage, by whatever door. Pure.

A page's own script may clear what is its own, as sites do on signing out: the two cannot be told apart.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from browserhost.policy import urls
from browserhost.policy.verdict import PASS, Effect, Room, Verdict, refuse

CLEARS = (
    "CacheStorage.delete",
    "DOMStorage.clear",
    "DOMStorage.remove",
    "IndexedDB.clear",
    "IndexedDB.delete",
    "Network.clearBrowserCookies",
    "Network.deleteCookies",
    "Network.deleteDeviceBoundSession",
    "Page.deleteCookie",
    "ServiceWorker.unregister",
    "Storage.clear",
    "Storage.delete",
    "Storage.runBounceTrackingMitigations",
)
"""Beginnings of the methods that do nothing else."""
REFUSAL = refuse(
    "a profile's cookies and storage are its login, and nothing here may clear them",
    "sign out on the site itself, or set a cookie anew without deleting it first",
)

_MAX_AGE = re.compile(r";\s*max-age\s*=\s*\"?(-?)(?=[0-9])0*([0-9]?)", re.IGNORECASE)
_EXPIRES = re.compile(r";\s*expires\s*=\s*\"?([^;\"]*)", re.IGNORECASE)
_REFRESH = re.compile(r"[;,]\s*(?:url\s*=)?\s*[\"']?(.*)", re.IGNORECASE | re.DOTALL)


def judge_cookie(cookie: Mapping[str, Any], room: Room) -> Verdict:
    """A cookie that is set: its end passed, that is a deletion. Below 0 it ends with the browser."""
    expires = cookie.get("expires")
    past = isinstance(expires, int | float) and 0 <= expires < room.now
    return REFUSAL if past else PASS


def judge_cookies(params: Mapping[str, Any], room: Room) -> Verdict:
    """All or nothing."""
    for cookie in _dicts(params.get("cookies")):
        verdict = judge_cookie(cookie, room)
        if verdict.effect is not Effect.PASS:
            return verdict
    return PASS


def judge_response(params: Mapping[str, Any], room: Room) -> Verdict:
    """A response that a client makes up: it may not lead inside, nor clear what the site did not ask to."""
    try:
        headers = list(_headers(params))
    except ValueError:
        return refuse("its headers cannot be read", "send binaryResponseHeaders as base64")
    for name, value in headers:
        verdict = PASS
        if name == "location":
            verdict = urls.judge_redirect(value)
        elif name == "refresh":
            found = _REFRESH.search(value)
            verdict = urls.judge_redirect(found[1]) if found else PASS
        elif name == "clear-site-data" or (name == "set-cookie" and _is_over(value, room.now)):
            verdict = REFUSAL
        if verdict.effect is not Effect.PASS:
            return verdict
    return PASS


def _headers(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Raises ValueError for what is no base64: Chrome reads none of it either."""
    for header in _dicts(params.get("responseHeaders")):
        # A line end inside begins another header.
        for line in f"{header.get('name', '')}: {header.get('value', '')}".splitlines():
            yield _header(line)
    raw = base64.b64decode(str(params.get("binaryResponseHeaders", "")))
    for line in re.split(r"[\0\r\n]+", raw.decode("latin-1")):
        yield _header(line)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _is_over(cookie: str, now: float) -> bool:
    age = _MAX_AGE.search(cookie)
    if age:
        return bool(age[1]) or not age[2]
    expires = _EXPIRES.search(cookie)
    if not expires:
        return False
    try:
        return parsedate_to_datetime(expires[1].strip()).timestamp() < now
    except (ValueError, OverflowError):
        return False


def _dicts(value: object) -> Iterator[Mapping[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())
