"""Act: real input on the browser's own display, under the fence, one action after the other.

Each thing that is dispatched asks the gate right before it, and tells what it touches. What has been
begun is finished whole (a click's release, a drag's end), also when the token ends meanwhile; the next
is not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from weakref import WeakKeyDictionary

from browserhost.acting import keys, plan
from browserhost.acting.keys import Chord
from browserhost.acting.page import ActedPage
from browserhost.acting.plan import View
from browserhost.acting.settle import Patience, Reason
from browserhost.acting.settling import Settling
from browserhost.browser import Browser
from browserhost.hands_host import Hands
from browserhost.tasks import to_its_end
from tenure.errors import BrowserCrashed, InvalidField, TenureError
from tenure.v1.session_pb2 import Action
from tenure.v1.session_service_pb2 import ActionResult

_ESCAPE = "ff1b"
_MENU_MS = 1000
"""How long the menu of a right button may take to open, once the page leaves it to, or may."""
_TAKEN_MS = 1000
"""How long a cut waits for the browser to take what was sent to it."""
_DRAG_STEPS = 10
_STEP_S = 0.01
_WHEEL = {(0, -1): 4, (0, 1): 5, (-1, 0): 6, (1, 0): 7}


@dataclass(eq=False, slots=True)
class _Standing:
    """What Act knows of a browser from one call to the next."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    keyboard_left: bool = False
    """A Tab led out of the page; only a click brings the keyboard back."""
    shown: tuple[str, ...] = ()
    """The page and the document that were last seen to be drawn."""
    menu_due: bool = False
    """A right click's menu, which is the browser's, may still open."""


_standings: WeakKeyDictionary[Browser, _Standing] = WeakKeyDictionary()


@dataclass(slots=True)
class Progress:
    """How far an Act has come."""

    results: list[ActionResult] = field(default_factory=list)
    part: bool = False
    """Of the present action something is done."""

    def tell(self, error: TenureError, count: int) -> None:
        """Have an error say which action it was, and what is done."""
        done = len(self.results)
        some = ", and a part of it" if self.part else ""
        if done < count:
            said = str(error)
            at = "" if said.startswith("actions[") else f"actions[{done}]: "
            error.message = f"{at}{said} ({done} of {count} actions are done{some})"
        else:
            error.message = f"{error} (all {count} actions are done)"
        error.metadata = {**error.metadata, "actions_done": str(done)}


@dataclass(frozen=True, slots=True)
class Guard:
    """`gate` raises when the token may act no more; `touch` is told what is about to be done."""

    gate: Callable[[], None]
    touch: Callable[[str], None]


@asynccontextmanager
async def turn(browser: Browser) -> AsyncIterator[None]:
    """One at a time: Acts and pictures of a browser wait for each other."""
    async with _standings.setdefault(browser, _Standing()).turn:
        yield


async def act(
    browser: Browser, guard: Guard, actions: Sequence[Action], patience: Patience, progress: Progress
) -> Reason:
    """Do them in order, and return why waiting for the page to settle stopped. Within a `turn`.

    Raises InvalidField when nothing was done, or for what turns out on the way (then `progress` tells);
    what `gate` raises; BrowserCrashed. Cancelled, or refused on the way, it ends once the browser has
    taken what was sent to it, so that nothing of it happens later.
    """
    async with ActedPage.of(browser) as page:
        view = await page.view()
        plan.check_inside(actions, view)
        if not actions and not patience.cap_s:
            return Reason.NONE
        async with browser.hands.use() as hands:
            acting = _Acting(guard, page, hands, _standings[browser], progress)
            if not patience.cap_s:
                await acting.do_all(actions)
                return Reason.NONE
            async with Settling(page, hands).watching(view.top) as settling:
                await acting.do_all(actions)
                return await settling.wait(patience.minimum_s, patience.cap_s)


class _Acting:
    def __init__(
        self, guard: Guard, page: ActedPage, hands: Hands, standing: _Standing, progress: Progress
    ) -> None:
        self._guard, self._page, self._hands = guard, page, hands
        self._standing, self._progress = standing, progress

    async def do_all(self, actions: Sequence[Action]) -> None:
        """Do them in order; on every way out, what has been sent is taken."""
        try:
            for action in actions:
                began = monotonic()
                await self.do(action)
                result = ActionResult()
                result.duration.FromNanoseconds(round((monotonic() - began) * 1e9))
                self._progress.results.append(result)
                self._progress.part = False
            if actions:
                await self.finish()
        except BaseException:
            if self._progress.results or self._progress.part:
                with suppress(BrowserCrashed):
                    await self._hands.do("sync", _TAKEN_MS)
            raise

    async def do(self, action: Action) -> None:
        """Do one action."""
        index = len(self._progress.results)
        match action.WhichOneof("action"):
            case "click":
                number, count = plan.button(action.click.button), action.click.count or 1
                await self._point(action.click.x, action.click.y, index, "click")
                if number == plan.RIGHT:
                    await self._page.listen_for_menu()
                await self._dispatch("click", lambda: self._click(number, count))
            case "drag":
                drag = action.drag
                await self._point(drag.from_x, drag.from_y, index, "drag")
                view = await self._page.view()
                start, end = view.on_display(drag.from_x, drag.from_y), view.on_display(drag.to_x, drag.to_y)
                button = plan.button(drag.button)
                if button == plan.RIGHT:
                    await self._page.listen_for_menu()
                await self._dispatch("drag", lambda: self._drag(button, start, end, index))
            case "move":
                await self._point(action.move.x, action.move.y, index, "move")
            case "scroll":
                await self._point(action.scroll.x, action.scroll.y, index, "scroll")
                right, down = action.scroll.delta_x, action.scroll.delta_y
                await self._dispatch("scroll", lambda: self._turn_wheel(right, down))
            case "type":
                await self._type(action.type.text, index)
            case "key":
                chord = keys.parse(action.key.chord)
                assert isinstance(chord, Chord)  # it has been checked
                await self._press(chord, index)
            case "wait":
                self._guard.gate()
                await asyncio.sleep(plan.seconds(action.wait.duration))

    async def finish(self) -> None:
        """Return when the browser has taken everything, and nothing of its own is left open."""
        await self._dismiss_menu()
        await self._hands.do("sync")

    async def _dispatch(self, what: str, begin: Callable[[], Coroutine[None, None, None]]) -> None:
        """Ask, tell, do: nothing is awaited in between. What is begun is finished."""
        self._guard.gate()
        self._guard.touch(what)
        self._progress.part = True
        await to_its_end(begin())

    # --- the pointer -------------------------------------------------------------------------

    async def _point(self, x: int, y: int, index: int, what: str) -> None:
        """Bring the pointer there. Raises InvalidField when something of the browser's own is there."""
        await self._dismiss_menu()
        document = (self._page.page.target, *list(self._page.page.loaders)[-1:])
        if self._standing.shown != document:
            # Until its first frame is drawn, what is clicked is the page before it.
            await self._page.shown()
            self._standing.shown = document
        view = await self._page.view()
        if not (0 <= x < view.width and 0 <= y < view.height):
            raise _refused(f"actions[{index}].{what}", f"{x},{y}", "is no longer inside the page's viewport")
        await self._dispatch(what, lambda: self._move(view, x, y))
        on_top = await self._hands.do("under")
        if on_top not in {"menu", "window {} {} {} {}".format(*view.window)}:
            raise _refused(
                f"actions[{index}].{what}", f"{x},{y}", "is covered by a window that is not the page's"
            )

    async def _move(self, view: View, x: int, y: int) -> None:
        await self._hands.do("move", *view.on_display(x, y))

    async def _click(self, button: int, count: int) -> None:
        for _ in range(count):
            await self._hands.do("press", button)
            await self._hands.do("release", button)
        if button == plan.RIGHT:
            self._standing.menu_due = True
        else:
            self._standing.keyboard_left = False
        await self._hands.do("sync")

    async def _drag(self, button: int, start: tuple[int, int], end: tuple[int, int], index: int) -> None:
        """Raises InvalidField when the page leaves a right button to the browser, whose menu opens."""
        await self._hands.do("press", button)
        try:
            if button == plan.RIGHT and await self._close_menu():
                problem = "opens the browser's menu, which the page does not keep from opening"
                raise _refused(f"actions[{index}].drag.button", "MOUSE_BUTTON_RIGHT", problem, "use another")
            for step in range(1, _DRAG_STEPS + 1):
                # Pages take a drag for one only when it moves on the way.
                await asyncio.sleep(_STEP_S)
                part = step / _DRAG_STEPS
                await self._hands.do(
                    "move", *(round(a + (b - a) * part) for a, b in zip(start, end, strict=True))
                )
            await self._hands.do("sync")
        finally:
            await self._hands.do("release", button)

    async def _turn_wheel(self, right: int, down: int) -> None:
        for axis, clicks in (((1, 0), right), ((0, 1), down)):
            sign = 1 if clicks > 0 else -1
            button = _WHEEL[axis[0] * sign, axis[1] * sign]
            for _ in range(abs(clicks)):
                await self._hands.do("press", button)
                await self._hands.do("release", button)

    # --- the keyboard ------------------------------------------------------------------------

    async def _type(self, text: str, index: int) -> None:
        for piece in plan.pieces(text):
            await self._need_keyboard(f"actions[{index}].type")
            words = piece.encode().hex()
            await self._dispatch("type", lambda words=words: self._send("type", words))  # type: ignore[misc]
            if piece.endswith("\t"):
                await self._look_for_keyboard()

    async def _press(self, chord: Chord, index: int) -> None:
        await self._need_keyboard(f"actions[{index}].key")
        modifiers = ",".join(chord.modifiers) or "-"
        await self._dispatch("key", lambda: self._send("chord", modifiers, f"{chord.keysym:x}"))
        if chord.moves_focus:
            await self._look_for_keyboard()

    async def _need_keyboard(self, at: str) -> None:
        """Raises InvalidField when keys would go to the browser's own bars, or to another tab."""
        await self._dismiss_menu()
        await self._hands.do("sync")
        if self._standing.keyboard_left or not await self._page.has_keyboard():
            raise _refused(at, "", "finds the keyboard outside the page", "click into the page first")

    async def _look_for_keyboard(self) -> None:
        await self._hands.do("sync")
        self._standing.keyboard_left = not await self._page.kept_keyboard()

    async def _send(self, command: str, *words: str) -> None:
        await self._hands.do(command, *words)

    # --- what is the browser's ---------------------------------------------------------------

    async def _dismiss_menu(self) -> None:
        """Close the menu of a right click. The page has had its say; what is in it is the browser's."""
        if self._standing.menu_due:
            await self._close_menu()
            self._standing.menu_due = False

    async def _close_menu(self) -> bool:
        """Close the browser's menu once the page has left it to open; whether there was one."""
        await self._hands.do("sync")
        if await self._page.keeps_menu() or await self._hands.do("menu", _MENU_MS) != "1":
            return False
        self._guard.gate()
        await to_its_end(self._send("chord", "-", _ESCAPE))
        await self._hands.do("sync")
        return True


def _refused(field: str, value: str, problem: str, remedy: str = "look at a new screenshot") -> InvalidField:
    return InvalidField(field=field, value=value, problem=problem, remedy=remedy)
