"""The debugging pipe, with this test at its other end."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from browserhost.pipe import DebuggingPipe
from tenure.transported import transported
from tests.fixtures.chrome import until


@dataclass
class Ends:
    """The host's pipe, Chrome's two ends, and what the host heard."""

    pipe: DebuggingPipe
    reading: int
    writing: int
    heard: list[bytes | bytearray] = field(default_factory=list)
    lost: list[bool] = field(default_factory=list)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    heard: list[bytes | bytearray] = []
    lost: list[bool] = []
    pipe, (reading, writing) = await DebuggingPipe.open(heard.append, lambda: lost.append(True))
    made = Ends(pipe, reading, writing, heard, lost)
    yield made
    pipe.close()
    for end in (made.reading, made.writing):
        if end >= 0:
            os.close(end)


async def test_messages_are_cut_at_their_nul_however_they_arrive(ends: Ends) -> None:
    for part in (b"on", b"e\0two\0th", b"r", b"ee\0"):
        os.write(ends.writing, part)
        await asyncio.sleep(0)
    await until(lambda: len(ends.heard) == 3)
    assert ends.heard == [b"one", b"two", b"three"]


async def test_a_message_larger_than_the_pipe_arrives_whole(ends: Ends) -> None:
    large = b"x" * 5_000_000
    async with asyncio.timeout(30):
        await asyncio.to_thread(_write_all, ends.writing, large + b"\0")
        await until(lambda: ends.heard)
    assert ends.heard == [large]


async def test_what_is_written_ends_with_a_nul(ends: Ends) -> None:
    ends.pipe.write(b"{}")
    assert os.read(ends.reading, 10) == b"{}\0"


async def test_a_reader_that_stands_still_leaves_no_room_until_it_reads(ends: Ends) -> None:
    for _ in range(8):
        ends.pipe.write(b"x" * (1 << 20))
    assert ends.pipe.full
    room = asyncio.Event()
    ends.pipe.when_room(room.set)
    assert not room.is_set()
    os.set_blocking(ends.reading, False)
    loop = asyncio.get_running_loop()
    loop.add_reader(ends.reading, os.read, ends.reading, 1 << 20)
    await asyncio.wait_for(room.wait(), 30)
    assert [each.full for each in (ends.pipe,)] == [False]
    loop.remove_reader(ends.reading)


async def test_nothing_is_read_from_chrome_until_nobody_pauses_it(ends: Ends) -> None:
    for who in ("one", "two", "one"):
        ends.pipe.pause(who)
    os.write(ends.writing, b"one\0")
    for who in ("one", "one"):
        ends.pipe.resume(who)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ends.heard == []
    ends.pipe.resume("two")
    await until(lambda: ends.heard)
    assert ends.heard == [b"one"]


async def test_a_pipe_that_is_lost_keeps_nobody_waiting_for_room(ends: Ends) -> None:
    for _ in range(8):
        ends.pipe.write(b"x" * (1 << 20))
    told: list[bool] = []
    ends.pipe.when_room(lambda: told.append(True))
    ends.pipe.close()
    ends.pipe.when_room(lambda: told.append(True))
    ends.pipe.resume("anybody")
    assert told == [True, True]


async def test_a_message_never_changes_once_it_was_passed_on(ends: Ends) -> None:
    for part in (b"fir", b"st\0sec", b"ond\0th", b"ird\0"):
        ends.pipe.received(part)
    assert ends.heard == [b"first", b"second", b"third"]


async def test_the_other_sides_end_is_told_once(ends: Ends) -> None:
    os.close(ends.writing)
    ends.writing = -1
    await until(lambda: ends.lost)
    ends.pipe.close()
    ends.pipe.write(b"{}")
    assert ends.lost == [True]


async def test_closing_closes_both_ends(ends: Ends) -> None:
    ends.pipe.close()
    assert await asyncio.to_thread(os.read, ends.reading, 1) == b""
    with pytest.raises(BrokenPipeError):
        os.write(ends.writing, b"{}\0")


async def test_no_child_inherits_either_end(ends: Ends) -> None:
    assert not os.get_inheritable(ends.reading)
    assert not os.get_inheritable(ends.writing)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


async def test_its_transports_are_made_of_files_that_close_their_descriptors_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def noted(descriptor: int, mode: str) -> io.FileIO:
        made.append((descriptor, mode))
        return transported(descriptor, mode)

    monkeypatch.setattr("browserhost.pipe.transported", noted)
    pipe, ends = await DebuggingPipe.open(lambda _: None, lambda: None)
    write, read = pipe.descriptors
    assert made == [(read, "rb"), (write, "wb")]
    pipe.close()
    for end in ends:
        os.close(end)


async def test_at_rest_it_has_read_to_the_end_of_a_message_and_nothing_behind_it(ends: Ends) -> None:
    os.write(ends.writing, b"one\0tw")
    await until(lambda: ends.heard)
    resting = asyncio.create_task(ends.pipe.rest())
    await asyncio.sleep(0)
    assert not resting.done()
    os.write(ends.writing, b"o\0")
    await asyncio.wait_for(resting, 30)
    os.write(ends.writing, b"three\0")
    # Nobody's leave to go on is any.
    ends.pipe.pause("somebody")
    ends.pipe.resume("somebody")
    for _ in range(10):
        await asyncio.sleep(0)
    assert ends.heard == [b"one", b"two"]
    assert os.read(ends.pipe.descriptors[1], 100) == b"three\0"


async def test_it_is_not_at_rest_before_all_that_was_written_is_taken(ends: Ends) -> None:
    ends.pipe.write(b"x" * (3 << 20))
    resting = asyncio.create_task(ends.pipe.rest())
    taken = len(await asyncio.to_thread(os.read, ends.reading, 1 << 20))
    assert not resting.done()  # more waits than the kernel keeps
    while taken < (3 << 20) + 1:
        taken += len(await asyncio.to_thread(os.read, ends.reading, 1 << 20))
    await asyncio.wait_for(resting, 30)


@pytest.mark.parametrize("which", ["writing", "reading"])
async def test_a_chrome_that_closed_one_end_finds_the_other_closed(ends: Ends, which: str) -> None:
    other = ends.writing if which == "reading" else ends.reading
    os.close(ends.reading if which == "reading" else ends.writing)
    setattr(ends, which, -1)
    await until(lambda: ends.lost == [True])
    if which == "writing":
        os.set_blocking(other, False)
        await until(lambda: _is_over(other))
    else:
        await until(lambda: _breaks(other))


def _is_over(reading: int) -> bool:
    try:
        return os.read(reading, 1) == b""
    except BlockingIOError:
        return False


def _breaks(writing: int) -> bool:
    try:
        os.write(writing, b"x")
    except BrokenPipeError:
        return True
    return False
