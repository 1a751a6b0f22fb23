"""Which fields are secret, and what size a picture has."""

from __future__ import annotations

import struct

import pytest

from browserhost.picture import NoPicture, decoded
from browserhost.secret_fields import is_secret, pairs


@pytest.mark.parametrize(
    "flat",
    [
        ["type", "password"],
        ["TYPE", " PassWord "],
        ["autocomplete", "section-a current-password webauthn"],
        ["autocomplete", "NEW-PASSWORD"],
        ["autocomplete", "one-time-code"],
        ["autocomplete", "billing cc-number"],
        ["autocomplete", "cc-csc"],
        ["type", "text", "name", "user[Password]"],
        ["type", "text", "id", "login_pwd"],
        ["type", "tel", "name", "otp1"],
        ["name", "card-CVV"],
        ["id", "cvc2"],
        ["id", "oneTimeCode"],
    ],
)
def test_a_field_that_holds_a_secret_is_known_by_its_attributes(flat: list[str]) -> None:
    assert is_secret(pairs(flat))


@pytest.mark.parametrize(
    "flat",
    [[], ["type", "text"], ["type", "email", "name", "user"], ["autocomplete", "username"], ["id", "search"]],
)
def test_other_fields_stay_in_the_picture(flat: list[str]) -> None:
    assert not is_secret(pairs(flat))


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480)
JPEG = (
    b"\xff\xd8\xff\xe0" + struct.pack(">H", 4) + b"ab" + b"\xff\xc0" + struct.pack(">HBHH", 17, 8, 480, 640)
)
VP8X = b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")
VP8L = b"RIFF\0\0\0\0WEBPVP8L" + bytes(4) + b"\x2f" + (639 | 479 << 14).to_bytes(4, "little")
VP8 = b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 640, 480)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (VP8X, "image/webp"),
        (VP8L, "image/webp"),
        (VP8, "image/webp"),
    ],
)
def test_a_picture_tells_its_size(data: bytes, media_type: str) -> None:
    taken = decoded(data, media_type)
    assert (taken.width, taken.height) == (640, 480)


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\x00\x00", b"RIFF\0\0\0\0WEBPnone" + bytes(20)])
def test_what_is_no_picture_is_none(data: bytes, media_type: str) -> None:
    with pytest.raises(NoPicture, match=media_type):
        decoded(data, media_type)
