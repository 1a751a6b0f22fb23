"""What a session's DevTools clients may not do, whoever they are. Pure.

The fencing token says who acts; this says what. Refused: addresses that reach into the machine,
what clears a login, ways round this module. A client that ends the browser ends its session.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

_WEB = frozenset({"http", "https"})
_SCHEMES = _WEB | {"data", "blob", "javascript"}
_BLANK = ("about:blank", "about:srcdoc")
_IGNORED_IN_URLS = str.maketrans("", "", "\t\n\r")
_TRIMMED_FROM_URLS = "".join(map(chr, range(0x21)))

_ENDS_BROWSER = frozenset({"Browser.close", "Browser.crash"})
_CLEARS = (
    "Network.clearBrowserCookies",
    "Storage.clearCookies",
    "Storage.clearDataFor",
    "Storage.clearTrustTokens",
)
_CLEARING = "a profile's cookies and storage are its login, and nothing here may clear them"
_INSTALLS = ("Extensions.", "PWA.")
_INSTALLING = "what it installs would go on acting in the sessions after this one"
_DENIED = {
    "Browser.crashGpuProcess": "it breaks the browser for the sessions after this one",
    "Target.openDevTools": "its page may read the host's files, and send what this policy refuses",
    "Target.exposeDevToolsProtocol": "a page could then send what this policy refuses",
}


class Effect(Enum):
    """What becomes of a client's message."""

    PASS = "pass"
    REFUSE = "refuse"
    END_SESSION = "end the session, not the browser"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problem` says why a message is refused, as a clause."""

    effect: Effect
    problem: str = ""


_PASS = Verdict(Effect.PASS)


def judge(method: str, params: Mapping[str, Any]) -> Verdict:
    """Decide on one message of a client."""
    if method in _ENDS_BROWSER:
        return Verdict(Effect.END_SESSION)
    if method.startswith(_CLEARS):
        return Verdict(Effect.REFUSE, _CLEARING)
    if method.startswith(_INSTALLS):
        return Verdict(Effect.REFUSE, _INSTALLING)
    if method in _DENIED:
        return Verdict(Effect.REFUSE, _DENIED[method])
    special = _SPECIAL.get(method)
    return special(params) if special else _PASS


def start_url_problem(url: str) -> str | None:
    """Why a session may not start at `url`, as a clause; None when it may."""
    if _scheme(url) in _WEB or _is_blank(url):
        return None
    return f"has the scheme '{_scheme(url)}'" if _scheme(url) else "is not an address"


def _judge_url(params: Mapping[str, Any]) -> Verdict:
    url = str(params.get("url", ""))
    if not url or _is_blank(url) or _scheme(url) in _SCHEMES:
        return _PASS
    return Verdict(Effect.REFUSE, f"addresses of the scheme '{_scheme(url)}' reach into the machine")


def _judge_nested(params: Mapping[str, Any]) -> Verdict:
    """A message in a message, as older clients send to their sessions: it is judged as its inner one.

    One that would end the browser is refused: there is nobody to answer it in the inner session's name.
    """
    try:
        inner = json.loads(str(params.get("message", "")))
        verdict = judge(str(inner["method"]), inner.get("params") or {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Verdict(Effect.REFUSE, "its inner message cannot be read")
    if verdict.effect is Effect.END_SESSION:
        return Verdict(Effect.REFUSE, "close the connection to end the session")
    return verdict


_SPECIAL: Mapping[str, Callable[[Mapping[str, Any]], Verdict]] = {
    "Page.navigate": _judge_url,
    "Target.createTarget": _judge_url,
    "Target.sendMessageToTarget": _judge_nested,
}


def _clean(url: str) -> str:
    """As browsers read a URL: spaces and controls around it are cut, tabs and line ends inside left out.

    https://url.spec.whatwg.org/#concept-basic-url-parser
    """
    return url.strip(_TRIMMED_FROM_URLS).translate(_IGNORED_IN_URLS).lower()


def _scheme(url: str) -> str:
    scheme, colon, _ = _clean(url).partition(":")
    return scheme if colon else ""


def _is_blank(url: str) -> bool:
    """`about:` alone would not do: Chrome reads `about:settings` as `chrome://settings`."""
    cleaned = _clean(url)
    return cleaned in _BLANK or cleaned.startswith(("about:blank#", "about:blank?"))
