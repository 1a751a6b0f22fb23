"""What recovery is told of the moment a hold ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from browserhost import examiner, marker
from browserhost.evidence import items
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.session import State
from browserhost.witness import watch
from browserhost.witness.ledger import NOTE, SCREENSHOT, STEP, Item, Ledger
from tenure.errors import BrowserCrashed, HoldRevoked
from tenure.names import IncidentName
from tenure.v1 import incident_pb2
from tenure.v1.incident_pb2 import Evidence
from tests.browserhost.fakes import ALICE, Machine

INCIDENT = IncidentName(ALICE, 41)


async def examine(machine: Machine, token: int = 41) -> Evidence:
    return (await machine.profile().examiner.examine(token))[0]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fakes write no stores; what an inspection makes of real ones is tested where they are."""

    def found(*_: object) -> Inspection:
        return Inspection(Verdict.UNCLEAN_CONSISTENT, ("left",), "http://session.test/", 7)

    monkeypatch.setattr(examiner, "inspect", found)


# --- the browser --------------------------------------------------------------------------


async def test_the_hosts_own_browser_counts_as_sound_once_it_answered_and_flushed(machine: Machine) -> None:
    await machine.open(41, url="http://a.test/")
    await machine.profile().quarantine(41)
    found = await examine(machine)
    assert found.directory == incident_pb2.DIRECTORY_FINDING_LIVE
    assert found.browser_alive
    assert machine.browser().flushed_at is not None
    assert found.last_url == "http://a.test/"
    assert "its cookies are on disk" in found.findings[0]
    assert not found.HasField("cookies")


async def test_one_that_does_not_answer_does_not(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    await machine.open(41)
    machine.chrome.fail["flush"] = BrowserCrashed(problem="hangs")
    found = await examine(machine)
    assert found.directory == incident_pb2.DIRECTORY_FINDING_LIVE
    assert found.HasField("browser_alive")
    assert not found.browser_alive
    machine.chrome.fail.clear()
    machine.chrome.pause("flush")
    monkeypatch.setattr(examiner, "ANSWER_S", 0.01)
    assert "does not answer" in (await examine(machine)).findings[0]


@pytest.mark.usefixtures("clean")
async def test_without_a_browser_the_directory_is_looked_at(machine: Machine) -> None:
    await machine.open(41, url="http://a.test/")
    machine.browser().die()
    found = await examine(machine)
    assert found.directory == incident_pb2.DIRECTORY_FINDING_UNCLEAN_CONSISTENT
    assert not found.browser_alive
    assert (list(found.findings), found.cookies) == (["left"], 7)
    assert found.last_url == "http://a.test/", "the witness knows better than the session files"


async def test_a_directory_that_is_not_there_is_missing(machine: Machine) -> None:
    found = await examine(machine)
    assert found.directory == incident_pb2.DIRECTORY_FINDING_MISSING
    assert not found.browser_opened


# --- the session --------------------------------------------------------------------------


async def test_a_session_that_only_opened_touched_nothing(machine: Machine) -> None:
    await machine.open(41, url="http://a.test/", proxy_key="miami__fl")
    machine.endpoint.on_calls["s0"]("Page.captureScreenshot")
    found = await examine(machine)
    assert found.browser_opened
    assert (found.HasField("account_touched"), found.account_touched) == (True, False)
    assert (found.HasField("form_in_flight"), found.form_in_flight) == (True, False)
    assert (found.start_url, found.proxy_key) == ("http://a.test/", "miami__fl")


async def test_a_call_that_acts_touches_the_account(machine: Machine) -> None:
    await machine.open(41)
    machine.endpoint.on_calls["s0"]("Input.insertText")
    assert (await examine(machine)).account_touched


async def test_a_form_that_is_being_sent_is_in_flight(machine: Machine) -> None:
    await machine.open(41)
    observer = machine.browser().observer
    assert observer is not None
    observer.submits("F")
    assert (await examine(machine)).form_in_flight
    observer.committed("http://a.test/#sent", own=False)
    assert (await examine(machine)).form_in_flight
    observer.landed("F")
    assert not (await examine(machine)).form_in_flight


@pytest.mark.usefixtures("clean")
async def test_a_host_that_did_not_live_through_the_session_cannot_vouch_for_it(machine: Machine) -> None:
    await machine.open(41, url="http://a.test/")
    await machine.profile().witness.aclose()
    await machine.killed()
    await machine.host.start()
    found = await examine(machine)
    assert found.browser_opened
    assert not found.HasField("account_touched")
    assert not found.HasField("form_in_flight")
    assert found.start_url == "http://a.test/"
    assert found.last_url == "http://a.test/"
    assert "not known" in found.findings[-1]


@pytest.mark.usefixtures("clean")
async def test_a_hold_that_never_opened_a_browser_is_proven_untouched_also_after_a_restart(
    machine: Machine,
) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    await machine.killed()
    await machine.host.start()
    found = await examine(machine, 50)
    assert not found.browser_opened
    assert (found.HasField("account_touched"), found.account_touched) == (True, False)
    assert (found.HasField("form_in_flight"), found.form_in_flight) == (True, False)
    assert (found.start_url, found.proxy_key) == ("", "")


@pytest.mark.usefixtures("clean")
async def test_a_launch_that_failed_opened_nothing(machine: Machine) -> None:
    machine.chrome.fail["launch"] = BrowserCrashed(problem="Xvfb did not start")
    with pytest.raises(BrowserCrashed):
        await machine.open(41)
    found = await examine(machine)
    assert not found.browser_opened
    assert not found.account_touched
    assert found.start_url == ""


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("content", ["{", '{"token": 1, "held": false, "boot_id": "b"}'])
async def test_a_marker_that_tells_nothing_proves_nothing(machine: Machine, content: str) -> None:
    paths = machine.root.profile(ALICE)
    paths.custody_dir.mkdir(parents=True)
    paths.marker.write_text(content)
    found = await examine(machine)
    assert found.browser_opened
    assert not found.HasField("account_touched")


@pytest.mark.usefixtures("clean")
async def test_a_directory_without_a_marker_proves_nothing_either(machine: Machine) -> None:
    paths = machine.root.profile(ALICE)
    paths.profile_dir.mkdir(parents=True)
    (paths.profile_dir / "Local State").touch()
    assert not (await examine(machine)).HasField("account_touched")


async def test_a_later_holds_browser_says_nothing_of_an_earlier_one(machine: Machine) -> None:
    await machine.open(41, url="http://a.test/")
    await machine.profile().close_hold(41)
    await machine.open(50, url="http://b.test/")
    found = await examine(machine)
    assert found.last_url == "http://a.test/"
    assert found.proxy_key == ""


async def test_a_gap_in_the_record_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("browserhost.witness.folder.Folder.add", refuse)
        await machine.open(41)
        await machine.profile().witness.aclose()
    assert any("gap" in each for each in (await examine(machine)).findings)
    with monkeypatch.context() as patch:
        patch.setattr("browserhost.witness.witness.Witness.ledger", refuse)
        assert any("cannot be read" in each for each in (await examine(machine)).findings)


# --- steps and pictures -------------------------------------------------------------------


async def test_a_step_is_on_disk_with_its_picture_before_it_is_answered(machine: Machine) -> None:
    await machine.open(41)
    item = await machine.profile().step(41, 3, "checkout")
    assert item is not None
    assert (item.kind, item.text, item.step_seq, item.media_type) == (STEP, "checkout", 3, "image/jpeg")
    folder = machine.root.profile(ALICE).evidence_dir / f"{41:016d}"
    assert (folder / item.file).read_bytes().startswith(b"picture")
    assert (await examine(machine)).last_screenshot == f"{INCIDENT}/evidence/{item.name}"


async def test_a_step_without_a_session_or_a_picture_is_recorded_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = await machine.profile().step(41, 1, "sign in")
    assert item is not None
    assert (item.size, item.text) == (0, "sign in (no picture: no session is open)")
    await machine.open(41)
    machine.chrome.unsafe = True
    item = await machine.profile().step(41, 2, "checkout")
    assert item is not None
    assert "could not be covered" in item.text
    machine.chrome.unsafe = False
    machine.chrome.pause("picture")
    monkeypatch.setattr(watch, "STEP_S", 0.5)
    item = await machine.profile().step(41, 3, "pay")
    assert item is not None
    assert "took longer" in item.text


async def test_a_step_whose_session_is_cut_meanwhile_keeps_no_picture(machine: Machine) -> None:
    await machine.open(41)
    reached, go_on = machine.chrome.pause("picture")
    step = asyncio.create_task(machine.profile().step(41, 1, "pay"))
    await reached.wait()
    await machine.profile().end_session(41)
    go_on.set()
    item = await step
    assert item is not None
    assert "the session was cut" in item.text
    await machine.profile().quarantine(41)
    with pytest.raises(HoldRevoked):
        await machine.profile().step(41, 2, "late")


async def settled(machine: Machine) -> list[Item]:
    """What is recorded once everything that runs in the background has come to its end."""
    while machine.profile()._tasks._running:
        await asyncio.wait(list(machine.profile()._tasks._running))
    return list((await machine.profile().witness.ledger(41)).items.values())


async def test_activity_brings_one_picture_every_so_often(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "DELAY_S", 0.01)
    monkeypatch.setattr(watch, "EVERY_S", 0.2)
    begun = machine.chrome.reached["picture"] = asyncio.Event()
    await machine.open(41)
    for _ in range(2):
        for _ in range(20):
            machine.endpoint.on_calls["s0"]("Input.insertText")
        await asyncio.wait_for(begun.wait(), 30)
        await settled(machine)
        begun.clear()
    first, second = [item for item in await settled(machine) if item.kind == SCREENSHOT]
    assert second.time - first.time >= 0.15
    assert machine.browser().pictures == 2


async def test_looking_brings_none(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "DELAY_S", 0.0)
    begun = machine.chrome.reached["picture"] = asyncio.Event()
    await machine.open(41)
    await asyncio.wait_for(begun.wait(), 30)  # of the page where the session begins
    current = machine.profile().witness.watch
    assert current is not None
    machine.endpoint.on_calls["s0"]("Page.captureScreenshot")
    assert current._timer is None


async def test_a_session_that_was_cut_takes_no_more_pictures_by_itself(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "DELAY_S", 0.01)
    reached, go_on = machine.chrome.pause("picture")
    await machine.open(41)
    await reached.wait()
    await machine.profile().close_hold(41)
    machine.endpoint.on_calls["s0"]("Input.insertText")
    go_on.set()
    assert SCREENSHOT not in [item.kind for item in await settled(machine)]
    assert machine.browser().pictures == 1


async def test_a_picture_that_hangs_is_given_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "DELAY_S", 0.0)
    monkeypatch.setattr(watch, "PICTURE_S", 0.5)
    reached, _ = machine.chrome.pause("picture")
    await machine.open(41)
    await reached.wait()
    assert any("took longer" in item.text for item in await settled(machine))


async def test_a_session_that_is_let_in_again_is_watched_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "DELAY_S", 0.0)
    monkeypatch.setattr(watch, "EVERY_S", 0.0)
    await machine.open(41)
    session = machine.profile().session
    assert session is not None
    await machine.profile()._sitting.cut(session, State.CUT, "STORE_UNAVAILABLE")
    begun = machine.chrome.reached["picture"] = asyncio.Event()
    again = await machine.open(41)
    assert again.session is session
    machine.endpoint.on_calls["s1"]("Input.insertText")
    await asyncio.wait_for(begun.wait(), 30)


async def test_nothing_of_the_witness_delays_an_open(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk may stand still: the session opens all the same."""
    held = asyncio.Event()

    async def wait(*_: object) -> None:
        await held.wait()

    monkeypatch.setattr("browserhost.witness.recording.in_thread", wait)
    assert (await machine.open(41)).session.page is not None
    held.set()
    monkeypatch.undo()


# --- reading ------------------------------------------------------------------------------


def test_what_was_dropped_is_said_first() -> None:
    ledger = Ledger({3: Item(3, "url", 2.5, "http://a.test/", sha256="")}, dropped=4, last_id=3)
    first, second = items(INCIDENT, ledger)
    assert (first.kind, first.text) == (NOTE, "4 older entries were dropped")
    assert second.name == "tenants/default/profiles/alice/incidents/41/evidence/000003"
    assert second.record_time.ToNanoseconds() == 2_500_000_000


async def test_a_picture_is_read_by_its_name_alone(machine: Machine, tmp_path: Path) -> None:
    await machine.open(41)
    item = await machine.profile().step(41, 1, "a")
    assert item is not None
    witness = machine.profile().witness
    assert await witness.picture(41, item.name) is not None
    for name in ("000099", "log", "../../custody/alice/floor", "incident", item.file):
        assert await witness.picture(41, name) is None
    assert await witness.picture(7, item.name) is None
    (machine.root.profile(ALICE).evidence_dir / f"{41:016d}" / item.file).unlink()
    assert await witness.picture(41, item.name) is None


async def test_what_was_recorded_is_read_after_the_host_died(machine: Machine) -> None:
    await machine.open(41)
    item = await machine.profile().step(41, 1, "a")
    assert item is not None
    await machine.killed()
    found = await machine.profile().witness.ledger(41)
    assert found.items[item.id] == item
    assert await machine.profile().witness.picture(41, item.name) is not None


def test_the_marker_says_under_which_token_a_browser_was_driven_last(tmp_path: Path) -> None:
    stored = marker.Marker(41, held=True, boot_id="b", driven=40)
    marker.store(tmp_path / "marker", stored)
    assert marker.load(tmp_path / "marker") == stored
