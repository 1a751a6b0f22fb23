"""Page tokens: opaque to callers, and refused when they are not ours."""

from __future__ import annotations

import base64
import binascii

from tenure.errors import InvalidField

DEFAULT = 100
MAX = 1000


def token(place: str) -> str:
    """The page token that leads to a place."""
    return base64.urlsafe_b64encode(place.encode()).decode()


def place(page_token: str) -> str:
    """Where a page token leads to. Raises InvalidField."""
    try:
        return base64.b64decode(page_token, b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise not_ours(page_token) from None


def revision(page_token: str) -> int:
    """The revision that a page token leads to, 0 for the first page. Raises InvalidField."""
    text = place(page_token)
    if text and (not text.isdigit() or len(text) > 16):
        raise not_ours(page_token)
    return int(text or 0)


def not_ours(page_token: str) -> InvalidField:
    """A page token that was not answered here."""
    return InvalidField(
        field="page_token",
        value=page_token,
        problem="is not one that was answered",
        remedy="send next_page_token of the page before, or leave it out",
    )
