"""Taking a hold over, with a gateway in memory: where its page opens anew, and what becomes of it else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import tenure
from tenure import errors
from tenure.client import LONGEST_URL, Client
from tenure.hold import Result
from tests.tenure.fake_gateway import FakeGateway, fake_gateway

NAME = "tenants/default/profiles/alice"


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as served:
        hold = served.grant("alice", "workers/other", "theirs")
        served.explanation.profile.name = NAME
        served.explanation.profile.hold.CopyFrom(hold)
        served.shown_url = "https://shop.example/cart"
        yield served


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[Client]:
    async with tenure.connect(gateway.target) as connected:
        yield connected


async def take_over(client: Client) -> None:
    async with client.take_over("alice", "a captcha"):
        raise AssertionError("the body must not begin")


@pytest.mark.parametrize(
    ("shown", "opened"),
    [
        ("https://shop.example/cart", True),
        ("HTTP://shop.example/", True),
        ("https://shop.example/".ljust(LONGEST_URL, "x"), True),
        ("https://shop.example/".ljust(LONGEST_URL + 1, "x"), False),
        ("chrome-error://chromewebdata/", False),
        ("blob:https://shop.example/1b2c", False),
        ("data:text/html,hello", False),
        ("", False),
    ],
)
async def test_a_page_is_opened_anew_where_it_was_when_that_can_be_opened(
    shown: str, opened: bool, client: Client, gateway: FakeGateway
) -> None:
    gateway.shown_url = shown
    async with client.take_over("alice", "a captcha") as session:
        assert session.fencing_token == 102
    [sent] = gateway.calls["OpenSession"]
    assert sent.start_url == (shown if opened else "")


async def test_a_hold_under_which_nothing_can_be_opened_is_let_go(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.faults["OpenSession"] = [errors.NavigationFailed()]
    with pytest.raises(errors.NavigationFailed):
        await take_over(client)
    assert gateway.ended == {"alice": Result.FAILED_UNTOUCHED}


async def test_a_take_over_that_is_cancelled_while_it_opens_lets_the_hold_go(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.stalled.add("OpenSession")
    taking = asyncio.create_task(take_over(client))
    await gateway.called["OpenSession"].wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert gateway.ended == {"alice": Result.FAILED_UNTOUCHED}


async def test_a_hold_that_could_not_be_let_go_either_is_a_note_on_why_it_was_to_be(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.faults["OpenSession"] = [errors.NavigationFailed()]
    gateway.faults["ReleaseHold"] = [errors.HostUnreachable(host="h")]
    with pytest.raises(errors.NavigationFailed) as raised:
        await take_over(client)
    assert "host 'h' does not answer" in raised.value.__notes__[0]
