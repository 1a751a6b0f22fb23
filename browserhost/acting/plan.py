"""An Act, checked whole before anything of it is done, and where on the display its points are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from browserhost.acting import keys
from browserhost.picture import QUALITY, Wish
from tenure.errors import InvalidField
from tenure.v1.session_pb2 import Action, MouseButton
from tenure.v1.session_service_pb2 import ActRequest, ScreenshotOptions

MAX_ACTIONS = 100
MAX_TEXT = 10_000
MAX_WAIT_S = 60.0
MAX_SETTLE_S = 60.0
MAX_CLICKS = 3
MAX_TURNS = 100
SETTLE_S = 2.0
MINIMUM_S = 0.05
PIECE = 50
"""Characters typed between two looks at the fence."""
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")

_BUTTONS = {
    MouseButton.MOUSE_BUTTON_UNSPECIFIED: 1,
    MouseButton.MOUSE_BUTTON_LEFT: 1,
    MouseButton.MOUSE_BUTTON_MIDDLE: 2,
    MouseButton.MOUSE_BUTTON_RIGHT: 3,
}
RIGHT = 3
# A lone surrogate cannot be in a message; what is left of control characters has no key.
_NO_KEY = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class View:
    """The page's viewport: its size in CSS pixels, and where on the display it begins, in pixels of that.

    `scale` is how many of the display's pixels one of CSS takes. `window` is the browser window's place
    and size: left, top, width, height.
    """

    width: int
    height: int
    left: int
    top: int
    scale: float
    window: tuple[int, int, int, int]

    def on_display(self, x: int, y: int) -> tuple[int, int]:
        """The middle of a CSS pixel."""
        return self.left + int((x + 0.5) * self.scale), self.top + int((y + 0.5) * self.scale)


def view_of(window: tuple[int, int, int, int], inner: tuple[int, int], scale: float) -> View | None:
    """The viewport in a window (left, top, width, height) of which it is the lowest part, as wide as all.

    None when sizes do not agree: a DevTools client makes the page believe in another viewport.
    """
    left, top, width, height = window
    bars = height - round(inner[1] * scale)
    if abs(width - inner[0] * scale) > 2 or not 0 <= bars <= height // 2:
        return None
    return View(inner[0], inner[1], left, top + bars, scale, window)


def check(actions: Sequence[Action]) -> None:
    """Raises InvalidField naming the first action that cannot be done, and why; nothing was done then."""
    if len(actions) > MAX_ACTIONS:
        raise InvalidField(
            field="actions",
            value=str(len(actions)),
            problem="are too many",
            remedy=f"send at most {MAX_ACTIONS} a call",
        )
    for index, action in enumerate(actions):
        _check(action, f"actions[{index}]")


def check_inside(actions: Sequence[Action], view: View) -> None:
    """Raises InvalidField for a point that is not in the viewport: beside it is what is the browser's own."""
    for index, action in enumerate(actions):
        for name, value, limit in _coordinates(action, view):
            if not 0 <= value < limit:
                raise InvalidField(
                    field=f"actions[{index}].{name}",
                    value=str(value),
                    problem="is outside the page's viewport",
                    remedy=f"send 0 to {limit - 1}: the viewport has {view.width} x {view.height} CSS pixels",
                )


def settle_s(request: ActRequest) -> tuple[float, float]:
    """How long to wait for the page to settle, at least and at most; MINIMUM_S, SETTLE_S when not sent.

    Raises InvalidField.
    """
    most = _seconds(request.settle, "settle", MAX_SETTLE_S) if request.HasField("settle") else SETTLE_S
    if not request.HasField("settle_minimum"):
        return min(MINIMUM_S, most), most
    return _seconds(request.settle_minimum, "settle_minimum", most), most


def seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def button(value: int) -> int:
    """X's number of a button."""
    return _BUTTONS[MouseButton.ValueType(value)]


def pieces(text: str) -> Iterator[str]:
    """What to type between two looks at the fence. A Tab, which may leave the page, ends a piece."""
    text = text.replace("\r\n", "\n")
    for run in re.findall(r"[^\t]*\t|[^\t]+", text):
        for begin in range(0, len(run), PIECE):
            yield run[begin : begin + PIECE]


def picture(options: ScreenshotOptions) -> Wish:
    """What picture is wanted. Raises InvalidField. Whether a region is in view, the camera sees."""
    media_type, scale = options.media_type or MEDIA_TYPES[0], options.scale or 1.0
    if media_type not in MEDIA_TYPES:
        raise _bad_picture(
            "media_type",
            media_type,
            "is not a type that pictures are taken in",
            "send one of " + ", ".join(MEDIA_TYPES),
        )
    if not 0.05 <= scale <= 1:
        raise _bad_picture("scale", f"{scale:g}", "is out of range", "send 0.05 to 1, or leave it out for 1")
    quality = options.quality or QUALITY
    if not 1 <= quality <= 100 or (options.quality and media_type == MEDIA_TYPES[0]):
        raise _bad_picture(
            "quality",
            str(options.quality),
            "is out of range, or for image/png, which loses nothing",
            "send 1 to 100 with image/jpeg or image/webp",
        )
    region = None
    if options.HasField("region"):
        part = options.region
        region = (part.x, part.y, part.width, part.height)
        if options.full_page or min(part.x, part.y) < 0 or min(part.width, part.height) < 1:
            raise _bad_picture(
                "region",
                "{},{} {}x{}".format(*region),
                "is no part of the viewport, or comes with full_page",
                "send a place from 0,0 on and a size above 0, and no full_page",
            )
    return Wish(media_type, scale, options.full_page, region, quality)


def _bad_picture(field: str, value: str, problem: str, remedy: str) -> InvalidField:
    return InvalidField(field=f"screenshot.{field}", value=value, problem=problem, remedy=remedy)


def _check(action: Action, at: str) -> None:
    match action.WhichOneof("action"):
        case "click":
            _among(action.click.button, MouseButton.values(), f"{at}.click.button")
            _within(action.click.count, 0, MAX_CLICKS, f"{at}.click.count")
        case "drag":
            _among(action.drag.button, MouseButton.values(), f"{at}.drag.button")
        case "scroll":
            _within(action.scroll.delta_x, -MAX_TURNS, MAX_TURNS, f"{at}.scroll.delta_x")
            _within(action.scroll.delta_y, -MAX_TURNS, MAX_TURNS, f"{at}.scroll.delta_y")
        case "type":
            _check_text(action.type.text, f"{at}.type.text")
        case "key":
            chord = keys.parse(action.key.chord)
            if isinstance(chord, str):
                field, sent = f"{at}.key.chord", action.key.chord[: keys.LONGEST]
                raise InvalidField(field=field, value=sent, problem=chord, remedy=keys.REMEDY)
        case "wait":
            _seconds(action.wait.duration, f"{at}.wait.duration", MAX_WAIT_S)
        case "move":
            pass
        case None:
            raise InvalidField(
                field=at,
                problem="says nothing to do",
                remedy="send one of click, drag, move, scroll, type, key, wait",
            )


def _check_text(text: str, field: str) -> None:
    if len(text) > MAX_TEXT:
        raise InvalidField(
            field=field,
            value=str(len(text)),
            problem="has too many characters",
            remedy=f"send at most {MAX_TEXT:,} an action",
        )
    found = _NO_KEY.search(text.replace("\r\n", "\n"))
    if found is not None:
        raise InvalidField(
            field=field,
            value=f"U+{ord(found[0]):04X}",
            problem="is a control character that no key types",
            remedy="send text with line feeds and tabs at most, and keys as key actions",
        )


def _among(value: int, buttons: Sequence[int], field: str) -> None:
    if value not in buttons:
        names = ", ".join(MouseButton.Name(MouseButton.ValueType(each)) for each in buttons if each)
        raise InvalidField(
            field=field, value=str(value), problem="is no button for this", remedy=f"send one of {names}"
        )


def _within(value: int, least: int, most: int, field: str) -> None:
    if not least <= value <= most:
        raise InvalidField(
            field=field, value=str(value), problem="is out of range", remedy=f"send {least} to {most}"
        )


def _seconds(duration: Duration, field: str, most: float) -> float:
    value = seconds(duration)
    if not 0 <= value <= most:
        raise InvalidField(
            field=field, value=f"{value:g}s", problem="is out of range", remedy=f"send 0s to {most:g}s"
        )
    return value


def _coordinates(action: Action, view: View) -> Iterator[tuple[str, int, int]]:
    """Each coordinate as it was sent: its name, its value, and what it must be below."""
    kind = action.WhichOneof("action")
    if kind in {"click", "move", "scroll"}:
        of = getattr(action, kind)
        yield from ((f"{kind}.x", of.x, view.width), (f"{kind}.y", of.y, view.height))
    elif kind == "drag":
        of = action.drag
        yield from (("drag.from_x", of.from_x, view.width), ("drag.from_y", of.from_y, view.height))
        yield from (("drag.to_x", of.to_x, view.width), ("drag.to_y", of.to_y, view.height))
