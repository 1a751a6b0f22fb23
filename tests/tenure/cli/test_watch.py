"""`tenure watch`: what it shows, and that it goes on after a break."""

from __future__ import annotations

import io
import json
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rich.console import Console

from tenure import errors
from tenure.cli import watch
from tenure.cli.output import Output
from tenure.v1 import hold_pb2, profile_pb2
from tenure.v1.profile_service_pb2 import Waiter, WatchProfilesResponse
from tests.tenure.cli.test_commands import start, tenure
from tests.tenure.fake_gateway import FakeGateway, fake_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as served:
        yield served


def held(name: str, token: int, *queue: str) -> profile_pb2.Profile:
    return profile_pb2.Profile(
        name=f"tenants/default/profiles/{name}",
        state=hold_pb2.PROFILE_STATE_HELD,
        hold=hold_pb2.Hold(run_id=f"run-{token}", fencing_token=token),
        waiters=len(queue),
    )


def places(*queue: str) -> list[Waiter]:
    return [Waiter(position=position, run_id=run) for position, run in enumerate(queue, 1)]


def snapshot(name: str, token: int, *queue: str) -> WatchProfilesResponse:
    return WatchProfilesResponse(snapshot=held(name, token, *queue), queue=places(*queue))


def change(name: str, token: int, *queue: str) -> WatchProfilesResponse:
    return WatchProfilesResponse(change=held(name, token, *queue), queue=places(*queue))


def bookmark(cursor: str) -> WatchProfilesResponse:
    return WatchProfilesResponse(bookmark=cursor)


async def read(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    value: dict[str, Any] = json.loads(await process.stdout.readline())
    return value


async def test_a_broken_watch_goes_on_where_it_was_and_ends_well_at_ctrl_c(gateway: FakeGateway) -> None:
    gateway.watches = [
        [snapshot("alice", 7), bookmark("c1"), errors.StoreUnavailable()],
        # It ends well, because the service stops.
        [bookmark("c2")],
        [change("alice", 8, "next")],
    ]
    process = await start("watch", "alice", "--queues", "--json", "-a", gateway.target)
    first, broken, second = [await read(process) for _ in range(3)]
    assert (first["event"], first["fencing_token"]) == ("snapshot", 7)
    assert broken["event"] == "note"
    assert (second["event"], second["run_id"]) == ("change", "run-8")
    assert [(w["position"], w["run_id"]) for w in second["queue"]] == [(1, "next")]
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")
    asked = gateway.calls["WatchProfiles"]
    assert [(r.profile, r.queues, r.resume_cursor) for r in asked] == [
        ("alice", True, ""),
        ("alice", True, "c1"),
        ("alice", True, "c2"),
    ]


async def test_people_without_a_terminal_get_a_line_a_change(gateway: FakeGateway) -> None:
    gateway.watches = [[snapshot("alice", 7, "a", "b"), bookmark(""), snapshot("bob", 9)]]
    process = await start("watch", "--queues", "-a", gateway.target)
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(5)]
    assert lines[0].endswith("alice HELD  run run-7, token 7  2 waiting")
    assert [line.strip() for line in lines[1:3]] == ["1. a waits for alice", "2. b waits for alice"]
    assert "counts no more" in lines[3]
    assert lines[4].endswith("bob HELD  run run-9, token 9")
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


async def test_a_refusal_ends_it(gateway: FakeGateway) -> None:
    gateway.watches = [[errors.NotFound(name="nobody")]]
    status, out, err = await tenure("watch", "nobody", "-a", gateway.target)
    assert (status, out) == (1, "")
    assert err.startswith("NOT_FOUND")


async def test_a_gateway_that_cannot_serve_from_the_start_is_told(gateway: FakeGateway) -> None:
    gateway.watches = [[errors.StoreUnavailable()]]
    status, _, err = await tenure("watch", "-a", gateway.target)
    assert status == 4
    assert err.startswith("STORE_UNAVAILABLE")


def test_the_table_shows_what_changed_last_first_and_only_what_has_room() -> None:
    output = Output(as_json=False)
    output.console = Console(file=io.StringIO(), force_terminal=True, width=100, height=9, color_system=None)
    table = watch._Table(output)

    def shown() -> str:
        with output.console.capture() as capture:
            output.console.print(table._shown())
        return capture.get()

    assert "No profile yet." in shown()
    for token, name in enumerate(("alice", "bob", "carol", "dave"), 1):
        table.tell("change", watch._facts(change(name, token, "next")))
    table.tell("change", watch._facts(change("bob", 9)))
    text = shown()
    assert text.index("bob") < text.index("dave") < text.index("carol")
    assert "alice" not in text
    assert "and 1 that changed earlier" in text
    table.broken(errors.StoreUnavailable())
    assert "Trying again" in shown()
    table.reached("")
    assert "No profile yet." in shown()
