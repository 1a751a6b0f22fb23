"""A recording: on disk in order, bounded, going on where it was, and never in anybody's way."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from browserhost import durable
from browserhost.tasks import Tasks
from browserhost.witness import ledger as ledgers
from browserhost.witness.folder import KEPT, Folder
from browserhost.witness.ledger import NOTE, SCREENSHOT, STEP, URL
from browserhost.witness.recording import Recording
from tenure.errors import DiskFull


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks()
    yield made
    await made.aclose()


@pytest.fixture
def recording(tmp_path: Path, tasks: Tasks) -> Recording:
    return Recording(Folder(tmp_path / "evidence", 41), tasks)


async def texts(recording: Recording, kind: str = URL) -> list[str]:
    return [item.text for item in (await recording.ledger()).items.values() if item.kind == kind]


async def test_what_is_told_is_on_disk_in_order(recording: Recording, tmp_path: Path, tasks: Tasks) -> None:
    recording.opens("http://a.test/")
    recording.committed("http://a.test/", own=True)
    recording.committed("http://a.test/2", own=False)
    await recording.on_disk()
    assert await texts(Recording(Folder(tmp_path / "evidence", 41), tasks)) == [
        "http://a.test/",
        "http://a.test/2",
    ]


async def test_a_line_and_a_picture_are_synced_before_they_count(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    item = await recording.keep(SCREENSHOT, b"picture", "image/png")
    assert item is not None
    assert synced.index(f".{item.file}.new") < synced.index("log")
    assert synced.index("log") < len(synced) - 1, "and the log's name after it"


async def test_nobody_waits_for_the_disk_but_who_asks_to(recording: Recording) -> None:
    recording.opens("http://a.test/")
    recording.touch("Input.insertText")
    assert not recording.folder.exists
    assert recording.touched == "Input.insertText"
    await recording.on_disk()
    assert recording.folder.exists


async def test_an_opening_alone_is_put_on_disk_once_it_is_asked_to(recording: Recording) -> None:
    recording.opens("http://a.test/")
    before = recording._writing
    assert before is None
    recording.put_on_disk()
    recording.put_on_disk()
    writing = recording._writing
    assert writing is not None
    await asyncio.wait([writing])
    assert (await asyncio.to_thread(recording.folder.load)).start_url == "http://a.test/"


async def test_the_first_touch_is_the_one_that_is_told(recording: Recording) -> None:
    recording.touch("Page.navigate")
    recording.touch("Input.insertText")
    assert await texts(recording, NOTE) == ["the account is touched, first by Page.navigate"]


async def test_the_hosts_own_navigation_touches_nothing_and_its_redirect_is_noted(
    recording: Recording,
) -> None:
    recording.opens("http://a.test/")
    recording.committed("http://a.test/home", own=True)
    assert recording.touched == ""
    assert await texts(recording) == ["http://a.test/"]
    assert await texts(recording, NOTE) == ["start_url led to http://a.test/home"]


async def test_a_further_open_elsewhere_is_a_touch(recording: Recording) -> None:
    recording.opens("http://a.test/")
    recording.opens("http://a.test/")
    assert recording.touched == ""
    recording.opens("http://b.test/")
    assert "http://b.test/" in recording.touched
    assert recording.start_url == "http://a.test/"


async def test_a_form_is_in_flight_until_its_frame_shows_another_document(recording: Recording) -> None:
    recording.submits("F")
    recording.submits("G")
    recording.committed("http://a.test/#sent", own=False)
    assert recording.forms == {"F", "G"}
    recording.landed("F")
    assert recording.forms == {"G"}
    recording.landed("G")
    assert recording.forms == set()
    assert recording.touched == "a form"


async def test_a_recording_goes_on_where_an_earlier_process_stopped_and_vouches_for_nothing(
    recording: Recording, tmp_path: Path, tasks: Tasks
) -> None:
    recording.opens("http://a.test/")
    recording.say(URL, "http://a.test/")
    await recording.on_disk()
    log = recording.folder.path / "log"
    log.write_bytes(log.read_bytes() + b'{"item":{"id":2,"ki')
    later = Recording(Folder(tmp_path / "evidence", 41), tasks)
    later.opens("http://a.test/")
    item = await later.say(URL, "http://a.test/2")
    assert item is not None
    assert item.id == 2
    assert not later.whole
    assert recording.whole
    assert await texts(later) == ["http://a.test/", "http://a.test/2"]


async def test_a_full_disk_breaks_nothing_and_leaves_a_gap_that_is_told(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DiskFull(path="/full")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "append", refuse)
        assert await recording.say(URL, "http://a.test/") is None
        assert await recording.keep(SCREENSHOT, b"x", "image/png") is None
    assert recording.gap.startswith("2 entries could not be written")
    assert await recording.say(URL, "http://a.test/2") is not None


async def test_a_broken_disk_is_no_worse_than_a_full_one(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        assert await recording.say(URL, "http://a.test/") is None
    assert "Input/output error" in recording.gap


async def test_pictures_that_must_go_leave_the_disk_too(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MAX_PICTURES", 2)
    for _ in range(4):
        await recording.keep(SCREENSHOT, b"x", "image/webp")
    files = {path.name for path in recording.folder.path.iterdir()}
    assert files == {"log", "000003.webp", "000004.webp"}
    assert (await recording.ledger()).dropped == 2


async def test_a_log_stays_within_its_lines(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "MAX_LINES", 20)
    for number in range(50):
        recording.say(URL, f"http://a.test/{number}")
    found = await recording.ledger()
    assert len((recording.folder.path / "log").read_bytes().splitlines()) <= 20
    assert found.items[50].text == "http://a.test/49"
    assert found.dropped == 50 - len(found.items)


async def test_a_picture_that_comes_as_the_log_is_shortened_stays(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MAX_LINES", 20)
    monkeypatch.setattr(ledgers, "MAX_PICTURES", 1)
    await recording.keep(SCREENSHOT, b"older", "image/png")
    for number in range(19):
        recording.say(URL, f"http://a.test/{number}")
    item = await recording.keep(STEP, b"x", "image/png", text="checkout", step_seq=1)
    assert item is not None
    assert (await recording.ledger()).dropped > 1
    assert recording.folder.read(item.file) == b"x"
    assert {path.name for path in recording.folder.path.iterdir()} == {"log", item.file}


async def test_old_records_that_cannot_be_removed_keep_nothing_from_being_recorded(
    tmp_path: Path, tasks: Tasks
) -> None:
    (tmp_path / "evidence" / "0-not-ours" / "below").mkdir(parents=True)
    for token in range(1, KEPT + 1):
        assert await Recording(Folder(tmp_path / "evidence", token), tasks).say(NOTE, "x") is not None


async def test_a_picture_beyond_all_bounds_is_not_kept_but_its_step_is(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MAX_PICTURE_BYTES", 3)
    item = await recording.keep(STEP, b"much", "image/png", text="checkout", step_seq=1)
    assert item is not None
    assert (item.kind, item.size) == (STEP, 0)
    assert "4 bytes" in item.text


async def test_only_the_last_few_holds_are_kept_and_every_incident(tmp_path: Path, tasks: Tasks) -> None:
    for token in range(1, 8):
        folder = Folder(tmp_path / "evidence", token)
        await Recording(folder, tasks).keep(SCREENSHOT, b"x", "image/png")
        if token == 2:
            folder.flag()
            folder.flag()
    left = sorted(int(path.name) for path in (tmp_path / "evidence").iterdir())
    assert left == [2, 5, 6, 7]
    assert len(left) == KEPT + 1


async def test_what_is_no_picture_is_refused(recording: Recording) -> None:
    with pytest.raises(ValueError, match="text/html"):
        await recording.keep(SCREENSHOT, b"x", "text/html")


async def test_a_host_that_stops_cancels_what_is_not_written(recording: Recording, tasks: Tasks) -> None:
    waiting = recording.say(URL, "http://a.test/")
    await tasks.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_a_line_that_the_disk_took_half_of_spoils_no_other(tmp_path: Path) -> None:
    log, limits = tmp_path / "log", resource.getrlimit(resource.RLIMIT_FSIZE)
    durable.append(log, b"one")
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, limits[1]))
    try:
        with pytest.raises(DiskFull):
            durable.append(log, b"half of this")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    durable.append(log, b"two")
    assert log.read_bytes() == b"one\ntwo\n"


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 41)
    folder.put("000001.png", b"x")
    (folder.path / "000002.png").symlink_to("/etc/passwd")
    assert folder.read("000001.png") == b"x"
    assert folder.read("000002.png") is None
    assert folder.read("000003.png") is None
