"""Which input fields hold a secret, from their attributes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# https://html.spec.whatwg.org/#autofill-field; all of cc-* are a card's.
_SECRET_AUTOFILL = frozenset({"current-password", "new-password", "one-time-code"})
_CARD = "cc-"
_SECRET_NAMES = re.compile(r"passw|passcode|passphrase|pwd|otp|cvv|cvc|one.?time.?code", re.IGNORECASE)

_NO_TEXT = frozenset(
    {"button", "checkbox", "color", "file", "hidden", "image", "radio", "range", "reset", "submit"}
)


def may_be_typed_into(attributes: Mapping[str, str]) -> bool:
    """Whether the field shows text of which its attributes may say nothing."""
    return attributes.get("type", "").strip().lower() not in _NO_TEXT


def is_secret(attributes: Mapping[str, str]) -> bool:
    """Whether a picture must not show what is in the field; its type may be `text` while it is shown."""
    if attributes.get("type", "").strip().lower() == "password":
        return True
    purposes = attributes.get("autocomplete", "").lower().split()
    if any(purpose in _SECRET_AUTOFILL or purpose.startswith(_CARD) for purpose in purposes):
        return True
    return any(_SECRET_NAMES.search(attributes.get(name, "")) for name in ("name", "id"))


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """Attributes as DevTools lists them, name and value in turn."""
    return {name.lower(): value for name, value in zip(flat[::2], flat[1::2], strict=False)}
