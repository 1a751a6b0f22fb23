"""A profile's marker: those who change it at once neither collide nor lose each other's word."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from browserhost import marker as marks
from browserhost.marker import Marker
from browserhost.record import Record

HELD = Marker(41, held=True, boot_id="b", used=True, driven=41)


class Disk:
    """Stores markers; the first one takes until `go_on`."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.at_once, self.most = 0, 0

    def store(self, path: Path, marker: Marker) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.begun.set()
        self.go_on.wait(30)
        try:
            _store(path, marker)
        finally:
            self.at_once -= 1


_store = marks.store


@pytest.fixture
async def record(tmp_path: Path) -> Record:
    made = Record(tmp_path / "marker", "b")
    await made.put(HELD)
    return made


@pytest.fixture
def disk(record: Record, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    monkeypatch.setattr(marks, "store", made.store)
    yield made
    made.go_on.set()


async def begun(disk: Disk) -> None:
    assert await asyncio.to_thread(disk.begun.wait, 30)


async def test_an_end_and_an_incident_at_once_are_both_on_record(
    record: Record, disk: Disk, tmp_path: Path
) -> None:
    ending = asyncio.create_task(record.change(lambda now: replace(now, held=False, end=marks.CLEAN)))
    await begun(disk)
    quarantining = asyncio.create_task(record.quarantine(41))
    disk.go_on.set()
    await asyncio.gather(ending, quarantining)
    both = replace(HELD, held=False, end=marks.CLEAN, suspected=True)
    assert (record.marker, marks.load(tmp_path / "marker")) == (both, both)


async def test_no_two_write_at_a_time_however_many_ask(record: Record, disk: Disk) -> None:
    asked = [asyncio.create_task(record.change(lambda now: replace(now, held=False)))]
    await begun(disk)
    asked += [asyncio.create_task(record.condemn(41, "BROWSER_CRASHED", f"{n}")) for n in range(3)]
    asked.append(asyncio.create_task(record.quarantine(41)))
    disk.go_on.set()
    await asyncio.gather(*asked)
    assert disk.most == 1


async def test_a_launch_that_is_taken_back_waits_for_a_write_under_way(
    record: Record, disk: Disk, tmp_path: Path
) -> None:
    tried = replace(HELD, token=42, driven=42)
    putting = asyncio.create_task(record.put(tried))
    await begun(disk)
    back = asyncio.create_task(asyncio.to_thread(record.take_back, HELD, tried, ran=False))
    disk.go_on.set()
    await asyncio.gather(putting, back)
    assert disk.most == 1
    assert (record.marker, marks.load(tmp_path / "marker")) == (HELD, HELD)


async def test_a_later_hold_is_not_taken_off_the_record_by_a_report_of_the_one_before(
    record: Record, disk: Disk
) -> None:
    later = replace(HELD, token=42, driven=42)
    handing_over = asyncio.create_task(record.put(later))
    await begun(disk)
    condemning = asyncio.create_task(record.condemn(41, "BROWSER_CRASHED", ""))
    disk.go_on.set()
    await asyncio.gather(handing_over, condemning)
    assert record.marker == later


async def test_a_change_whose_waiter_is_cancelled_is_on_record(record: Record, disk: Disk) -> None:
    quarantining = asyncio.create_task(record.quarantine(41))
    await begun(disk)
    quarantining.cancel()
    disk.go_on.set()
    await asyncio.wait([quarantining])
    assert record.marker == replace(HELD, suspected=True)


def test_a_hold_that_was_begun_and_is_taken_back_leaves_everything_else_as_it_came_to_be() -> None:
    before = Marker(41, held=False, boot_id="boot", pid=7, flushed_at=5.0, suspected=True, driven=40)
    begun = before.begun(50)
    assert (begun.token, begun.held, begun.used, begun.suspected, begun.driven) == (50, True, True, False, 50)
    assert begun.taken_back(before, 50) == before
    ended = replace(begun, end=marks.UNCLEAN, flushed_at=None, detail="new")
    assert ended.taken_back(before, 50) == replace(before, end=marks.UNCLEAN, detail="new")
    flushed = replace(begun, end=marks.CLEAN, flushed_at=9.0)
    assert flushed.taken_back(before, 50) == replace(before, end=marks.CLEAN, flushed_at=9.0)


@pytest.mark.parametrize(
    "said", [{"suspected": True}, {"report": "BROWSER_LOST"}, {"token": 60, "suspected": True}, {"token": 60}]
)
def test_a_hold_of_which_something_was_said_is_not_taken_back(said: dict[str, Any]) -> None:
    before = Marker(41, held=False, boot_id="boot")
    now = replace(before.begun(50), **said)
    assert now.taken_back(before, 50) == now
