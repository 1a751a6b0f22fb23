"""Quarantine and inspection on real Chrome: cut amid an act, late, amid a verify; nothing altered."""

from __future__ import annotations

import asyncio
import sys

import pytest

from browserhost.session import State
from browserhost.witness.ledger import SCREENSHOT
from tenure.cdp import CdpClosed, connect
from tenure.errors import HoldRevoked, TokenSuperseded
from tenure.v1 import incident_pb2
from tests.fixtures.chrome import Site, until
from tests.fixtures.damage import fingerprint
from tests.fixtures.rig import Rig, Running


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long this machine takes: nothing here is about a Chrome that hangs."""
    monkeypatch.setattr("browserhost.ending.REST_S", 30)
    monkeypatch.setattr("browserhost.ending.CAPTURE_S", 30)


async def page_of(running: Running) -> str:
    front = running.browser()._pages.front
    assert front is not None
    return front.session


async def test_a_client_is_cut_amid_its_script_and_chrome_runs_no_more_of_it(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        opened = await running.open(41, f"{site.url}/a")
        async with connect(opened.session.cdp_url) as client:
            targets = (await client.call("Target.getTargets"))["targetInfos"]
            target = next(each["targetId"] for each in targets if each["type"] == "page")
            answer = await client.call("Target.attachToTarget", {"targetId": target, "flatten": True})
            script = {"expression": "new Promise(() => {})", "awaitPromise": True}
            waiting = client.post("Runtime.evaluate", script, answer["sessionId"])
            # Though the script never ends.
            done = await asyncio.wait_for(running.profile.quarantine(41), 30)
            with pytest.raises(CdpClosed) as closed:
                await waiting
        assert (done.floor, done.browser_alive) == (42, True)
        assert closed.value.reason == "HOLD_REVOKED"
        ledger = await running.profile.witness.ledger(41)
        # On a slow machine there was time for one of the page as it came, too.
        pictures = [item.text for item in ledger.items.values() if item.kind == SCREENSHOT]
        assert pictures in (["as it was quarantined"], ["", "as it was quarantined"])
        with pytest.raises(CdpClosed):
            async with connect(opened.session.cdp_url) as client:
                await client.call("Browser.getVersion")


async def test_an_act_under_way_is_over_before_the_acknowledgement(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.open(41, f"{site.url}/a")
        root, page = running.browser().mux.root, await page_of(running)
        inside, done = asyncio.Event(), [0]

        async def act() -> None:
            async with running.profile.using(41) as use:
                while True:
                    use.gate()
                    await root.call("Runtime.evaluate", {"expression": "document.title += '.'"}, page)
                    done[0] += 1
                    inside.set()

        acting = asyncio.create_task(act())
        await inside.wait()
        await running.profile.quarantine(41)
        at_acknowledgement = done[0]
        with pytest.raises(HoldRevoked):
            await acting
        assert done[0] == at_acknowledgement
        title = await root.call("Runtime.evaluate", {"expression": "document.title"}, page)
        # One more may have been with Chrome when its answer was given up; none is sent after.
        assert title["result"]["value"].count(".") in (at_acknowledgement, at_acknowledgement + 1)


async def test_a_late_quarantine_leaves_the_later_hold_to_its_work(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.open(41, f"{site.url}/a")
        await running.profile.quarantine(41)
        later = await running.open(50, f"{site.url}/b")
        assert later.reused
        async with connect(later.session.cdp_url) as client:
            await running.profile.quarantine(41)
            assert "Chrome" in (await client.call("Browser.getVersion"))["product"]
        assert later.session.state is State.OPEN
        assert rig.custody()[0] == 50
        await running.close(50)


async def test_a_quarantine_overtakes_a_verify(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        running.locks.answer = asyncio.Event()
        opening = asyncio.create_task(running.open(41, f"{site.url}/a"))
        await running.locks.asked.wait()
        done = await running.profile.quarantine(41)
        running.locks.answer.set()
        with pytest.raises(HoldRevoked):
            await opening
        assert (done.floor, done.browser_alive) == (42, False)
        assert site.requests == []


async def test_a_quarantine_amid_a_launch_leaves_no_chrome(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        opening = asyncio.create_task(running.open(41, f"{site.url}/a"))
        await until(lambda: running.profile.slot.record.marker is not None)
        await running.profile.quarantine(41)
        with pytest.raises(HoldRevoked):
            await opening
        assert site.requests == []


async def test_an_inspection_alters_nothing_and_names_what_a_kill_left(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.establish()
        await running.open(41, f"{site.url}/a")
        await running.browser().flush()
        await running.kill_chrome()
        before = fingerprint(rig.profile_dir)
        found, _ = await running.profile.examiner.examine(41)
        assert fingerprint(rig.profile_dir) == before
        assert found.directory == incident_pb2.DIRECTORY_FINDING_UNCLEAN_CONSISTENT
        assert found.findings
        assert not found.browser_alive
        assert found.last_url == f"{site.url}/a"
        assert found.HasField("cookies")
        assert (found.browser_opened, found.account_touched) == (True, False)


async def test_a_restarted_host_tells_only_what_it_can_know(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.establish()
        await running.open(41, f"{site.url}/a")
        await running.profile.quarantine(41)
    rig.boot_id = "another"
    async with rig.host() as later:
        assert later.locks.suspects == []
        found, _ = await later.profile.examiner.examine(41)
        assert found.browser_opened
        assert not found.HasField("account_touched")
        assert found.directory == incident_pb2.DIRECTORY_FINDING_CLEAN
        assert found.last_screenshot.startswith("tenants/default/profiles/alice/incidents/41/evidence/")
        with pytest.raises(HoldRevoked):
            await later.open(41, f"{site.url}/b")
        assert (await later.open(50, f"{site.url}/b")).session.token == 50
        with pytest.raises((TokenSuperseded, HoldRevoked)):
            await later.open(41, f"{site.url}/b")
        await later.close(50)


async def test_a_foreign_browser_on_the_directory_is_not_taken_for_the_hosts_own(
    rig: Rig, site: Site
) -> None:
    async with rig.host() as running:
        await running.establish()
        foreign = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "input()",
            f"--user-data-dir={rig.profile_dir}",
            stdin=asyncio.subprocess.PIPE,
        )
        try:
            found, _ = await running.profile.examiner.examine(41)
        finally:
            foreign.kill()
            await foreign.wait()
        assert found.directory == incident_pb2.DIRECTORY_FINDING_LIVE
        assert not found.browser_alive
        assert "runs on it" in found.findings[0]
