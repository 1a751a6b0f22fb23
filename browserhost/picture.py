"""Pictures: what one is, and how big, from its own header. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
"""Media types that can be had, and what DevTools calls them."""
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


QUALITY = 80
"""Of formats that lose something, unless another is asked for: 100 is best."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What picture is wanted. `media_type` is one of FORMATS, `scale` above 0 and at most 1.

    `region` is a part of the viewport in CSS pixels (left, top, width, height), and not with `full_page`.
    """

    media_type: str = "image/png"
    scale: float = 1.0
    full_page: bool = False
    region: tuple[int, int, int, int] | None = None
    quality: int = QUALITY


class NoPicture(Exception):
    """None could be had, or none on which every secret is sure to be covered. `why` is a clause."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture. `width` and `height` in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int


def decoded(data: bytes, media_type: str) -> Picture:
    """A picture from its bytes. Raises NoPicture for what is none of that type."""
    try:
        width, height = _SIZES[media_type](data)
    except (IndexError, ValueError):
        raise NoPicture(f"the browser answered no {media_type}") from None
    return Picture(data, media_type, width, height)


def _png(data: bytes) -> tuple[int, int]:
    """https://www.w3.org/TR/png-3/#11IHDR"""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _jpeg(data: bytes) -> tuple[int, int]:
    """The first frame header's, ITU T.81 B.2.2."""
    if data[:2] != b"\xff\xd8":
        raise ValueError
    at = 2
    while data[at] == 0xFF:
        if data[at + 1] in _JPEG_SIZES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    raise ValueError


def _webp(data: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    raise ValueError


_SIZES = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}
