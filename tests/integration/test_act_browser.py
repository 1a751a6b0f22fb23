"""Act on real Chrome: what arrives in the page, and what never gets past it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from browserhost.acting import act, settle
from browserhost.acting import page as acting_page
from browserhost.acting.act import Guard, Progress
from browserhost.acting.settle import Patience, Reason
from browserhost.browser import Browser
from browserhost.hands_host import Hands
from tenure.errors import BrowserCrashed, InvalidField, TokenSuperseded
from tenure.v1.session_pb2 import Action, Click, Drag, MouseButton, Move, PressKey, Scroll, TypeText, Wait
from tests.fixtures.chrome import browsers_in, data_root_made, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = """<!doctype html><meta charset="utf-8"><title>Act</title>
<body style="margin:0;height:3000px;width:2000px">
<style>body > * { position: absolute }</style>
<button id="button" style="left:100px;top:100px;width:80px;height:30px">button</button>
<input id="field" style="left:100px;top:200px;width:300px">
<input id="next" style="left:100px;top:240px;width:300px">
<textarea id="text" style="left:100px;top:300px;width:500px;height:100px"></textarea>
<select id="choice" style="left:500px;top:100px"><option>one<option>two<option>three</select>
<div id="knob" style="left:500px;top:200px;width:40px;height:40px;background:teal"></div>
<script>
const seen = [];
for (const kind of ["mousedown", "mouseup", "click", "dblclick", "contextmenu", "mousemove", "keydown"])
    addEventListener(kind, e => seen.push([kind, e.key ?? e.button, e.clientX, e.clientY]), true);
let held = false;
knob.onmousedown = e => { held = true; e.preventDefault() };
addEventListener("mousemove", e => { if (held) { knob.style.left = e.clientX - 20 + "px" } });
addEventListener("mouseup", () => held = false);
</script>"""


@dataclass
class Acted:
    """A browser on the page, the fence's guard as a test sets it, and what was touched."""

    browser: Browser
    touched: list[str] = field(default_factory=list)
    gate: Callable[[], None] = lambda: None
    progress: Progress = field(default_factory=Progress)

    async def act(self, *actions: Action, settle_s: float = 0, minimum_s: float = 0.05) -> Reason:
        self.progress = Progress()
        guard = Guard(lambda: self.gate(), self.touched.append)  # noqa: PLW0108 - as it is then
        async with act.turn(self.browser):
            patience = Patience(min(minimum_s, settle_s), settle_s)
            return await act.act(self.browser, guard, actions, patience, self.progress)

    async def refused(self, *actions: Action) -> InvalidField:
        with pytest.raises(InvalidField) as caught:
            await self.act(*actions)
        return caught.value

    async def js(self, expression: str) -> Any:
        page = await self.browser.in_view()
        wanted = {"expression": expression, "returnByValue": True}
        answer = await self.browser.mux.root.call("Runtime.evaluate", wanted, page.session)
        return answer["result"].get("value")


def click(x: int, y: int, button: str = "LEFT", count: int = 1) -> Action:
    number = MouseButton.Value(f"MOUSE_BUTTON_{button}")
    return Action(click=Click(x=x, y=y, button=number, count=count))


def type_(text: str) -> Action:
    return Action(type=TypeText(text=text))


def key(chord: str) -> Action:
    return Action(key=PressKey(chord=chord))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_url() -> AsyncIterator[str]:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def late(request: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.Response(text="late")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/late", late)
    app.router.add_get("/other", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Browser]:
    with data_root_made() as root:
        async with browsers_in(root) as browsers:
            yield await browsers.launch()


@pytest_asyncio.fixture(loop_scope="module")
async def acted(shared: Browser, page_url: str) -> Acted:
    """The one browser, handed over from test to test."""
    await shared.hand_over(page_url)
    return Acted(shared)


async def test_a_click_right_after_a_navigation_is_the_new_pages(acted: Acted, page_url: str) -> None:
    for number in range(5):
        await acted.browser.open(f"{page_url}?{number}")
        await acted.act(click(140, 115))
        assert ["click", 0, 140, 115] in await acted.js("seen")


async def test_a_click_arrives_where_the_page_has_it(acted: Acted) -> None:
    await acted.act(click(140, 115))
    assert ["click", 0, 140, 115] in await acted.js("seen")
    assert await acted.js("document.activeElement.id") == "button"
    assert acted.touched == ["click", "click"]
    assert len(acted.progress.results) == 1
    # Two clicks that Chrome hears of more than half a second apart are two: a busy machine gets another try.
    for _ in range(10):
        await acted.act(click(120, 320, count=2))
        if ["dblclick", 0, 120, 320] in await acted.js("seen"):
            break
    assert ["dblclick", 0, 120, 320] in await acted.js("seen")


async def test_text_arrives_as_it_was_sent(acted: Acted) -> None:
    text = "Hello ~`{}|@ naïve Ünïcödé ÀÉÎ ß ẞ €5 漢字かな Привет ПРИВЕТ שלום 😀👩‍🚀" + "".join(
        chr(0x4E00 + number) for number in range(100)
    )
    await acted.act(click(200, 210), type_(text))
    assert await acted.js("field.value") == text


async def test_line_feeds_and_tabs_are_keys(acted: Acted) -> None:
    await acted.act(click(200, 210), type_("a\tb\tone\ntwo"))
    assert await acted.js("[field.value, next.value, text.value]") == ["a", "b", "one\ntwo"]


async def test_a_chord_selects_and_typing_replaces(acted: Acted) -> None:
    await acted.act(click(200, 210), type_("old"), key("ctrl+a"), type_("new"), key("Home"), type_("a "))
    assert await acted.js("field.value") == "a new"


async def test_the_wheel_scrolls_both_ways(acted: Acted) -> None:
    await acted.act(Action(scroll=Scroll(x=400, y=500, delta_y=5, delta_x=2)), settle_s=20)
    across, down = await acted.js("[scrollX, scrollY]")
    assert across > 0
    assert down > 200
    await acted.act(Action(scroll=Scroll(x=400, y=500, delta_y=-10)), settle_s=20)
    assert await acted.js("scrollY") == 0


async def test_a_drag_holds_the_button_on_its_way(acted: Acted) -> None:
    await acted.act(Action(drag=Drag(from_x=520, from_y=220, to_x=700, to_y=230)))
    assert await acted.js("parseInt(knob.style.left)") == 680
    assert await acted.js("held") is False


async def test_a_right_drag_is_the_pages_where_it_keeps_the_menu_away(acted: Acted) -> None:
    drag = Action(
        drag=Drag(from_x=520, from_y=220, to_x=700, to_y=230, button=MouseButton.MOUSE_BUTTON_RIGHT)
    )
    error = await acted.refused(click(140, 115), drag)
    assert (error.field, len(acted.progress.results)) == ("actions[1].drag.button", 1)
    assert await acted.js("[parseInt(knob.style.left), held]") == [500, False]
    await acted.js("addEventListener('contextmenu', e => e.preventDefault())")
    await acted.act(drag, click(200, 210), type_("no menu"))
    assert await acted.js("[parseInt(knob.style.left), held, field.value]") == [680, False, "no menu"]
    assert ["mousedown", 2, 520, 220] in await acted.js("seen")


async def test_moving_is_no_click(acted: Acted) -> None:
    # A page hears of moves once a frame.
    await acted.act(Action(move=Move(x=30, y=40)), settle_s=20)
    seen = await acted.js("seen")
    assert ["mousemove", 0, 30, 40] in seen
    assert not [each for each in seen if each[0] == "mousedown"]


async def test_the_list_of_a_select_can_be_chosen_from(acted: Acted) -> None:
    await acted.act(click(510, 110), settle_s=20)
    await acted.act(click(520, 150))
    assert await acted.js("choice.value") == "two"


async def test_the_menu_of_a_right_click_is_closed_before_anything_can_be_chosen(acted: Acted) -> None:
    await acted.act(click(800, 500, "RIGHT"), click(830, 520), click(200, 210), type_("still here"))
    assert ["contextmenu", 2, 800, 500] in await acted.js("seen")
    assert ["click", 0, 830, 520] in await acted.js("seen")
    assert await acted.js("field.value") == "still here"
    assert len(acted.browser._pages.own) == 1


async def test_the_menu_is_closed_also_at_the_end_of_a_call(acted: Acted) -> None:
    await acted.act(click(800, 500, "RIGHT"))
    async with await Hands.on(acted.browser.display) as hands:
        assert await hands.do("menu", 0) == "0"
    await acted.act(click(200, 210), key("Down"), key("Return"), type_("x"))
    assert await acted.js("field.value") == "x"


async def test_points_outside_the_viewport_are_refused_before_anything_is_done(acted: Acted) -> None:
    width, height = await acted.js("[innerWidth, innerHeight]")
    for x, y, which in ((-1, 5, "x"), (5, -60, "y"), (width, 5, "x"), (5, height, "y")):
        error = await acted.refused(click(140, 115), click(x, y))
        assert error.field == f"actions[1].click.{which}"
    assert not [each for each in await acted.js("seen") if each[0] == "mousedown"]
    assert acted.touched == []


async def test_keys_go_nowhere_before_the_page_was_clicked_into() -> None:
    with data_root_made() as root:
        async with browsers_in(root) as browsers:
            acted = Acted(await browsers.launch())
            error = await acted.refused(type_("chrome://settings\n"))
            assert (error.field, error.remedy) == ("actions[0].type", "click into the page first")
            assert acted.browser.url == "about:blank"


async def test_a_tab_out_of_the_page_leads_to_no_address_bar(acted: Acted) -> None:
    out = [key("Tab")] * 6
    error = await acted.refused(click(200, 245), *out, type_("chrome://version\n"))
    assert error.remedy == "click into the page first"
    error = await acted.refused(key("Return"))
    assert error.remedy == "click into the page first"
    await acted.act(click(200, 210), type_("back"))
    assert await acted.js("field.value") == "back"


async def test_a_tab_out_is_noticed_also_where_a_client_has_the_page_believe_in_its_focus(
    acted: Acted,
) -> None:
    page = await acted.browser.in_view()
    emulate = "Emulation.setFocusEmulationEnabled"
    await acted.browser.mux.root.call(emulate, {"enabled": True}, page.session)
    error = await acted.refused(click(200, 245), type_("\t\t\t\t\tchrome://version\n"))
    await acted.browser.mux.root.call(emulate, {"enabled": False}, page.session)
    assert error.remedy == "click into the page first"
    assert acted.browser.url.startswith("http://127.0.0.1")


async def test_an_emulated_viewport_is_not_acted_on(acted: Acted) -> None:
    page = await acted.browser.in_view()
    phone = {"width": 375, "height": 667, "deviceScaleFactor": 2, "mobile": True}
    await acted.browser.mux.root.call("Emulation.setDeviceMetricsOverride", phone, page.session)
    error = await acted.refused(click(10, 10))
    assert "clearDeviceMetricsOverride" in error.remedy
    await acted.browser.mux.root.call("Emulation.clearDeviceMetricsOverride", {}, page.session)


async def test_a_page_that_lies_about_its_window_moves_no_click_out_of_it(acted: Acted) -> None:
    await acted.js(
        "for (const [name, value] of [['innerHeight', 790], ['outerHeight', 800], ['screenY', -100]])"
        " Object.defineProperty(window, name, {get: () => value}); 1"
    )
    await acted.act(click(140, 115))
    assert ["click", 0, 140, 115] in await acted.js("seen")


async def test_a_page_that_another_has_come_before_is_acted_on_no_more(acted: Acted) -> None:
    await acted.js("button.onclick = () => { window.open('/other') }; 1")
    wait = Action(wait=Wait(duration={"seconds": 1}))  # type: ignore[arg-type]
    error = await acted.refused(click(140, 115), wait, click(140, 115))
    assert "another one has come before" in error.problem
    assert len(acted.progress.results) == 2
    await acted.act(click(20, 20))  # what is in view now is
    assert acted.touched == ["click"] * 4


async def test_choosing_a_file_opens_no_window_over_the_page(acted: Acted) -> None:
    await acted.js("field.type = 'file'; 1")
    await acted.act(click(140, 210), settle_s=20)
    await acted.act(click(200, 245), type_("not covered"), click(600, 320), click(300, 500), settle_s=1)
    assert await acted.js("next.value") == "not covered"


async def test_a_page_that_hangs_is_told_of(acted: Acted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting_page, "ANSWER_S", 0.5)
    page = await acted.browser.in_view()
    hang = {"expression": "for (const end = Date.now() + 3000; Date.now() < end;);"}
    hung = acted.browser.mux.root.post("Runtime.evaluate", hang, page.session)
    with pytest.raises(BrowserCrashed, match=r"cannot be acted on: it did not answer within 0\.5 s"):
        await acted.act(click(140, 115))
    await hung


async def test_an_open_dialog_is_told_of(acted: Acted) -> None:
    await acted.js("setTimeout(() => alert('stop'), 0)")
    page = await acted.browser.in_view()
    await until(lambda: page.dialog)
    error = await acted.refused(click(140, 115))
    assert (error.value, error.field) == ("alert", "session")


async def test_the_first_refused_action_ends_the_call_and_those_before_it_are_done(acted: Acted) -> None:
    asked = 0

    def superseded_at_the_third() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise TokenSuperseded(profile="p", token=5)

    acted.gate = superseded_at_the_third
    actions = [click(140, 115), click(200, 210), type_("late")]
    with pytest.raises(TokenSuperseded) as caught:
        await acted.act(*actions)
    acted.progress.tell(caught.value, len(actions))
    assert "actions[1]: " in str(caught.value)
    assert "(1 of 3 actions are done" in str(caught.value)
    assert caught.value.metadata["actions_done"] == "1"
    downs = [each for each in await acted.js("seen") if each[0] == "mousedown"]
    assert downs == [["mousedown", 0, 140, 115]]
    assert await acted.js("field.value") == ""


async def test_a_cut_waits_for_the_present_action_and_begins_no_other(acted: Acted) -> None:
    pulled = asyncio.Event()

    def touch(what: str) -> None:
        if what == "drag" and len(acted.touched) == 1:
            pulled.set()
        acted.touched.append(what)

    guard = Guard(lambda: None, touch)
    drag = Action(drag=Drag(from_x=520, from_y=220, to_x=700, to_y=220))

    async def run() -> None:
        async with act.turn(acted.browser):
            await act.act(acted.browser, guard, [drag, click(200, 210)], Patience(), acted.progress)

    acts = asyncio.create_task(run())
    await pulled.wait()
    acts.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acts
    assert await acted.js("[parseInt(knob.style.left), held]") == [680, False]
    assert acted.touched == ["drag", "drag"]


async def test_what_was_sent_before_a_cut_has_been_taken_when_it_returns(acted: Acted) -> None:
    await acted.act(click(200, 210))
    acts = asyncio.create_task(acted.act(type_("a" * 5000)))
    await until(lambda: len(acted.touched) > 12)
    acts.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acts
    typed = await acted.js("field.value.length")
    await acted.act(Action(move=Move(x=30, y=40)), settle_s=20, minimum_s=0.3)
    assert typed >= 50
    assert await acted.js("field.value.length") == typed


async def test_a_wait_is_cut_at_once(acted: Acted) -> None:
    wait = Action(wait=Wait(duration={"seconds": 60}))  # type: ignore[arg-type]
    acts = asyncio.create_task(acted.act(click(140, 115), wait))
    await until(lambda: acted.progress.results)
    acts.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(30):
            await acts


async def test_hands_that_lose_their_host_let_go(acted: Acted) -> None:
    await acted.act(Action(move=Move(x=520, y=220)))
    async with await Hands.on(acted.browser.display) as hands:
        await hands.do("press", 1)
    await acted.act(Action(move=Move(x=30, y=40)))
    pressed = await acted.js("seen.map(e => e[0]).filter(e => e == 'mousedown' || e == 'mouseup')")
    assert pressed == ["mousedown", "mouseup"]


async def test_hands_are_kept_from_call_to_call_and_end_with_their_browser(acted: Acted) -> None:
    await acted.act(click(140, 115))
    async with acted.browser.hands.use() as hands:
        process = hands._process
        assert await hands.do("sync") == ""
    async with acted.browser.hands.use() as hands:
        assert hands._process is process
    acted.browser.hands.drop()
    assert await process.wait() == 0
    await acted.act(click(140, 115))
    assert len([each for each in await acted.js("seen") if each[0] == "click"]) == 2


async def test_settling_sees_what_is_drawn_and_not_the_caret(
    acted: Acted, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A caret blinks every 0.6 s; a busy machine may draw nothing for a while.
    monkeypatch.setattr(settle, "QUIET_S", 0.8)
    assert await acted.act(click(200, 210), settle_s=20) is Reason.SETTLED
    assert await acted.js("document.activeElement.id") == "field"
    await acted.js("""button.onclick = () => {
        let steps = 0
        const timer = setInterval(() => {
            knob.style.left = 500 + 10 * ++steps + "px"
            if (steps == 20) clearInterval(timer)
        }, 50)
    }; 1""")
    assert await acted.act(click(140, 115), settle_s=20) is Reason.SETTLED
    assert await acted.js("knob.style.left") == "700px"


async def test_settling_waits_for_a_page_that_is_busy_with_the_click(acted: Acted) -> None:
    await acted.js(
        "button.onclick = () => { for (const end = Date.now() + 800; Date.now() < end;); field.value = 1 }"
    )
    assert await acted.act(click(140, 115), settle_s=20) is Reason.SETTLED
    assert await acted.js("field.value") == "1"


async def test_a_dialog_that_the_click_opens_settles_the_page(acted: Acted) -> None:
    await acted.js("button.onclick = () => alert('stop')")
    assert await acted.act(click(140, 115), settle_s=20) is Reason.SETTLED
    page = await acted.browser.in_view()
    assert page.dialog == "alert"


async def test_settling_waits_for_what_the_click_set_off(acted: Acted) -> None:
    await acted.js("button.onclick = () => fetch('/late').then(r => r.text()).then(t => field.value = t)")
    assert await acted.act(click(140, 115), settle_s=20) is Reason.SETTLED
    assert await acted.js("field.value") == "late"


async def test_settling_ends_at_its_cap_on_a_page_that_never_rests(
    acted: Acted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "QUIET_S", 0.8)
    await acted.js("setInterval(() => { knob.style.top = Math.random() * 300 + 'px' }, 30)")
    assert await acted.act(click(140, 115), settle_s=1) is Reason.CAP
    assert await acted.act(settle_s=0) is Reason.NONE


async def test_settling_waits_for_a_navigation_to_land(acted: Acted, page_url: str) -> None:
    await acted.js("button.onclick = () => location.href = '/late'")
    assert await acted.act(click(140, 115), settle_s=20) is Reason.SETTLED
    assert await acted.js("document.body.innerText") == "late"
    assert acted.browser.url == f"{page_url}late"


async def test_acts_on_one_browser_wait_for_each_other(acted: Acted) -> None:
    await acted.act(click(200, 210))
    first, second = (asyncio.create_task(acted.act(type_(each * 200))) for each in "ab")
    await asyncio.gather(first, second)
    assert await acted.js("field.value") in {"a" * 200 + "b" * 200, "b" * 200 + "a" * 200}
