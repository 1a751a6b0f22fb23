"""What was recorded, as lines and back, and what goes when it grows."""

from __future__ import annotations

import json

import pytest

from browserhost.witness import ledger as ledgers
from browserhost.witness.ledger import MAX_LINES, MAX_PICTURE_BYTES, MAX_PICTURES, Item, Ledger
from browserhost.witness.touch import observes


def picture(number: int, kind: str = "screenshot", size: int = 10) -> Item:
    return Item(number, kind, 1.5, "checkout", "image/jpeg", size, "ab", step_seq=2 if kind == "step" else 0)


def told(*items: Item) -> Ledger:
    return Ledger.read([item.line() for item in items])


def test_a_ledger_comes_back_from_its_lines() -> None:
    item = picture(7, "step")
    found = Ledger.read([ledgers.opened("http://a.test/"), item.line()])
    assert found.items == {7: item}
    assert found.start_url == "http://a.test/"
    assert (found.last_id, found.lines) == (7, 2)
    assert item.file == "000007.jpg"
    assert found.files == {"000007.jpg"}


def test_a_log_that_breaks_off_is_read_as_far_as_it_goes() -> None:
    lines = [Item(1, "url", 1.0, "http://a.test/").line(), Item(2, "url", 2.0, "http://b.test/").line()[:-9]]
    assert list(Ledger.read(lines).items) == [1]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"7",
        b'{"item":7}',
        b'{"item":{"id":1,"size":9,"media_type":"../../x"}}',
        b'{"item":{"id":1,"file":"../x"}}',
    ],
)
def test_a_line_that_is_none_is_passed_over(line: bytes) -> None:
    assert Ledger.read([line, Item(1, "url", 1.0, "u").line()]).items[1].text == "u"


def test_the_oldest_pictures_go_first_and_those_of_steps_last() -> None:
    ledger = told(picture(1, "step"), *(picture(n) for n in range(2, MAX_PICTURES + 1)))
    gone = ledger.make_room(10)
    assert [json.loads(line) for line in gone] == [{"gone": 2}]
    for line in gone:
        ledger.take(line)
    assert 2 not in ledger.items
    assert ledger.dropped == 1


def test_a_step_outlives_its_picture() -> None:
    ledger = told(*(picture(n, "step") for n in range(1, MAX_PICTURES + 1)))
    for line in ledger.make_room(10):
        ledger.take(line)
    assert (ledger.items[1].text, ledger.items[1].step_seq, ledger.items[1].size) == ("checkout", 2, 0)
    assert ledger.items[1].file == ""
    assert list(ledger.items) == list(range(1, MAX_PICTURES + 1))


def test_pictures_are_bounded_in_bytes_too() -> None:
    ledger = told(*(picture(n, size=MAX_PICTURE_BYTES // 4) for n in range(1, 5)))
    assert len(ledger.make_room(1)) == 1
    assert len(ledger.make_room(MAX_PICTURE_BYTES)) == 4
    assert told(picture(1)).make_room(10) == []


def test_a_long_log_is_shortened_at_its_beginning_and_says_so() -> None:
    urls = [Item(n, "url", float(n), f"http://a.test/{n}") for n in range(2, MAX_LINES + 1)]
    ledger = Ledger.read(
        [ledgers.opened("http://a.test/"), picture(1, "step").line(), *(u.line() for u in urls)]
    )
    short = Ledger.read(ledger.shortened())
    assert short.lines < MAX_LINES
    assert short.dropped == len(ledger.items) - len(short.items) > 0
    assert min(short.items) == 1, "the step is kept"
    assert max(short.items) == short.last_id == MAX_LINES
    assert short.start_url == "http://a.test/"
    again = Ledger.read(short.shortened())
    assert again.dropped == short.dropped
    assert again.items == short.items


def test_ids_go_on_though_everything_was_dropped() -> None:
    ledger = Ledger.read([b'{"dropped":5,"last_id":9}'])
    assert (ledger.last_id, ledger.dropped) == (9, 5)


def test_an_address_that_carries_a_whole_page_is_cut_short() -> None:
    assert ledgers.clipped("data:" + "x" * 9999).endswith("x…")
    assert ledgers.clipped("http://a.test/") == "http://a.test/"


@pytest.mark.parametrize(
    "method",
    [
        "Page.captureScreenshot",
        "Target.attachToTarget",
        "DOM.describeNode",
        "Network.enable",
        "Page.getFrameTree",
    ],
)
def test_looking_is_no_touch(method: str) -> None:
    assert observes(method)


@pytest.mark.parametrize(
    "method",
    [
        "Input.dispatchMouseEvent",
        "Page.navigate",
        "Page.reload",
        "Runtime.evaluate",
        "Runtime.callFunctionOn",
        "Page.addScriptToEvaluateOnNewDocument",
        "Target.createTarget",
        "Target.sendMessageToTarget",
        "DOM.setFileInputFiles",
        "Network.setCookie",
        "Fetch.fulfillRequest",
        "Runtime.getProperties",
        "New.method",
        "",
    ],
)
def test_whatever_else_a_client_calls_may_have_touched_the_account(method: str) -> None:
    assert not observes(method)
