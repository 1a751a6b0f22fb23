"""Checks of single fields. Pure; each raises InvalidField naming field, value and remedy."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

from google.protobuf.duration_pb2 import Duration

from gateway import limits
from tenure import names
from tenure.errors import InvalidField
from tenure.v1.hold_pb2 import RunResult
from tenure.v1.session_pb2 import Proxy

BLANK = "about:blank"

_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_CONTROL_BUT_SPACE = re.compile(r"[\x00-\x1f\x7f]")


def start_url(text: str) -> str:
    """Return where the browser goes first; "" means about:blank.

    Only http, https and about:blank: other schemes read the host's files (`file:`), drive
    the browser itself (`chrome:`), or run script in no site at all (`javascript:`, `data:`).
    """
    if not text or text.lower() == BLANK:
        return BLANK
    problem = _url_problem(text)
    if problem:
        raise InvalidField(
            field="start_url",
            value=text,
            problem=problem,
            remedy="send an http:// or https:// address, or about:blank",
        )
    return text


def _url_problem(text: str) -> str | None:
    if len(text) > limits.MAX_URL:
        return f"has {len(text)} characters, more than {limits.MAX_URL}"
    # Checked before parsing: parsers drop some of these silently, browsers others.
    if _CONTROL.search(text):
        return "has a space or a control character in it"
    scheme, colon, _ = text.partition(":")
    if not colon:
        return "has no scheme"
    scheme = scheme.lower()
    if scheme not in {"http", "https"}:
        return f"has the scheme '{scheme[:20]}', which is not opened"
    if not text[len(scheme) :].startswith("://"):
        return "is not a whole address"
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "is not a valid address"
    return None if has_host else "names no host"


def proxy_key(proxy: Proxy) -> str:
    """Return the key of the proxy asked for, as `names.proxy_key` makes it; "" for none."""
    return "" if proxy.disabled else names.proxy_key(proxy.city, proxy.state)


def run_id(text: str) -> str:
    """Return the run's name; "" leaves it to the lock service, which takes the request id."""
    return _label(text, "run_id", limits.MAX_RUN_ID)


def plan(text: str) -> str:
    """Return the plan's name; "" for none."""
    return _label(text, "plan", limits.MAX_PLAN)


def reason(text: str) -> str:
    """Return why something is done, for the record: some text."""
    if not text.strip():
        raise InvalidField(field="reason", value=text, problem="is empty", remedy="say why, for the record")
    return _label(text, "reason", limits.MAX_REASON)


def _label(text: str, field: str, longest: int) -> str:
    if len(text) > longest:
        problem = f"has {len(text)} characters"
    elif _CONTROL_BUT_SPACE.search(text):
        problem = "has a control character in it"
    else:
        return text
    raise InvalidField(
        field=field,
        value=text,
        problem=problem,
        remedy=f"use at most {longest} printable characters",
    )


def seconds(duration: Duration, field: str, least: float, most: float) -> float:
    """Return a duration in seconds when it is within its bounds."""
    value = duration.seconds + duration.nanos / 1e9
    if not least <= value <= most:
        raise InvalidField(
            field=field,
            value=f"{value:g}s",
            problem="is out of range",
            remedy=f"send {least:g}s to {most:g}s",
        )
    return value


def run_result(value: int) -> RunResult.ValueType:
    """Return how the run ended; unspecified means SUCCEEDED.

    A number that the enum does not have is refused: a newer client's wish must not be
    taken for a success.
    """
    if value not in RunResult.values():
        raise InvalidField(
            field="result",
            value=str(value),
            problem="is not a known value",
            remedy="send one of " + ", ".join(RunResult.keys()),
        )
    return RunResult.ValueType(value or RunResult.RUN_RESULT_SUCCEEDED)


def page_size(value: int) -> int:
    """Return how many to answer; 0 means the default."""
    if not 0 <= value <= limits.MAX_PAGE:
        raise InvalidField(
            field="page_size",
            value=str(value),
            problem="is out of range",
            remedy=f"send 1 to {limits.MAX_PAGE}, or 0 for {limits.DEFAULT_PAGE}",
        )
    return value or limits.DEFAULT_PAGE


def page_token(last: str) -> str:
    """Return the token of the page after the item named `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def page_after(token: str) -> str:
    """Return the name that `page_token` was made from; "" for the first page."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidField(
            field="page_token",
            value=token,
            problem="is not one that was answered",
            remedy="send next_page_token of the page before, or leave it empty",
        ) from None
