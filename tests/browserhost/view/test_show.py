"""What one browser shows for all who look at it: pictures for those who want them, and what is said of it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from browserhost.browser import Browser
from browserhost.view import show as shows
from browserhost.view.show import Show
from browserhost.view.viewer import Viewer

WAIT_S = 30.0


@dataclass
class Page:
    session: str
    url: str = "https://shop.example/"
    dialog: str = ""


class Screen:
    """A browser with one page in view, as a show asks it."""

    def __init__(self) -> None:
        self.pid, self.mux, self.root = 1, self, self
        self.page = Page("page-1")
        self.posted: list[tuple[str, str]] = []
        self.event: Callable[[str, dict[str, Any], str], None]
        self.looked = asyncio.Event()

    def listen(self, listener: Callable[[str, dict[str, Any], str], None]) -> Callable[[], None]:
        self.event = listener
        return lambda: None

    def post(self, method: str, params: dict[str, Any], session: str) -> None:
        self.posted.append((method, session))

    async def in_view(self) -> Page:
        self.looked.set()
        return self.page

    async def looks(self) -> None:
        """Return once it was looked again, and what was found is said."""
        self.looked.clear()
        self.event("Target.attachedToTarget", {}, "")
        async with asyncio.timeout(WAIT_S):
            await self.looked.wait()
        await asyncio.sleep(0)

    def draws(self, picture: bytes, session: str = "page-1") -> None:
        data = {"data": base64.b64encode(picture).decode(), "sessionId": 1}
        self.event(
            "Page.screencastFrame", data | {"metadata": {"deviceWidth": 9, "deviceHeight": 8}}, session
        )

    def count(self, method: str) -> int:
        return sum(posted == f"Page.{method}" for posted, _ in self.posted)


class Person:
    def __init__(self, *, wants_pictures: bool = True) -> None:
        self.wants_pictures, self.busy = wants_pictures, False
        self.words: list[dict[str, Any]] = []
        self.pictures: list[bytes] = []
        self.on_room: Callable[[], None] = lambda: None

    def hear(self, word: dict[str, Any]) -> None:
        self.words.append(word)

    def see(self, picture: bytes) -> None:
        self.pictures.append(picture)


class Stage:
    def __init__(self) -> None:
        self.screen = Screen()
        self.show = Show(cast("Browser", self.screen))
        self._people: list[Person] = []

    async def joins(self, *, wants_pictures: bool = True) -> Person:
        person = Person(wants_pictures=wants_pictures)
        self._people.append(person)
        self.show.join(cast("Viewer", person))
        await asyncio.sleep(0)  # the first one has it begin to look
        await self.screen.looks()
        return person

    async def leaves(self, person: Person) -> None:
        self._people.remove(person)
        await self.show.leave(cast("Viewer", person))

    async def ends(self) -> None:
        for person in tuple(self._people):
            await self.leaves(person)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.ends()


async def test_nothing_is_drawn_for_those_who_only_listen(stage: Stage) -> None:
    listener = await stage.joins(wants_pictures=False)
    assert listener.words[-1]["url"] == stage.screen.page.url
    assert stage.screen.count("startScreencast") == 0
    looker = await stage.joins()
    assert stage.screen.count("startScreencast") == 1
    stage.screen.draws(b"one")
    assert looker.pictures == [b"one"]
    await stage.leaves(looker)
    await stage.screen.looks()
    assert stage.screen.count("stopScreencast") == 1
    assert listener.words[-1] == {
        "type": "page", "url": stage.screen.page.url, "width": 9, "height": 8, "dialog": "", "message": "",
    }  # fmt: skip
    again = await stage.joins()
    assert again.pictures == [], "what was drawn before it stopped is old"


async def test_who_comes_later_sees_what_was_drawn_last_and_the_last_one_ends_it(stage: Stage) -> None:
    first = await stage.joins()
    stage.screen.draws(b"one")
    second = await stage.joins()
    assert second.pictures == [b"one"]
    assert stage.screen.count("startScreencast") == 1
    await stage.leaves(first)
    assert stage.screen.count("stopScreencast") == 0
    await stage.leaves(second)
    assert stage.screen.count("stopScreencast") == 1


async def test_another_page_in_view_is_drawn_in_place_of_the_one_before(stage: Stage) -> None:
    looker = await stage.joins()
    stage.screen.page = Page("page-2", "https://shop.example/2")
    await stage.screen.looks()
    stage.screen.draws(b"late", "page-1")
    stage.screen.draws(b"new", "page-2")
    assert looker.pictures == [b"new"]
    assert looker.words[-1]["url"].endswith("/2")
    cast_of = [posted for posted in stage.screen.posted if posted[0].endswith("Screencast")]
    assert cast_of == [
        ("Page.startScreencast", "page-1"),
        ("Page.stopScreencast", "page-1"),
        ("Page.startScreencast", "page-2"),
    ]


async def test_the_browser_draws_on_once_somebody_has_taken_what_it_drew(stage: Stage) -> None:
    quick, slow = await stage.joins(), await stage.joins()
    quick.busy = slow.busy = True
    stage.screen.draws(b"one")
    assert stage.screen.count("screencastFrameAck") == 0
    quick.busy = False
    quick.on_room()
    assert stage.screen.count("screencastFrameAck") == 1


async def test_addresses_and_what_a_dialog_asks_are_told_up_to_a_length(stage: Stage) -> None:
    looker = await stage.joins()
    stage.screen.page.url = "https://shop.example/" + "x" * 100_000
    stage.screen.page.dialog = "alert"
    stage.screen.event("Page.javascriptDialogOpening", {"message": "y" * 100_000}, "page-1")
    await stage.screen.looks()
    told = looker.words[-1]
    assert told["url"] == stage.screen.page.url[: shows.LONGEST]
    assert told["message"] == "y" * shows.LONGEST
