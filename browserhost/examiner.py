"""Says what is known of the moment a hold ended, from the live browser, the disk and the witness."""

from __future__ import annotations

import asyncio
import os
import time

from browserhost import evidence, lock
from browserhost.directory import filled
from browserhost.inspect.profile import inspect
from browserhost.inspect.verdict import Inspection, Verdict
from browserhost.paths import ProfilePaths
from browserhost.session import timestamp
from browserhost.slot import Slot
from browserhost.snapshot import policy
from browserhost.snapshot.store import Store
from browserhost.tasks import in_thread
from browserhost.witness.ledger import URL, Ledger
from browserhost.witness.witness import Witness
from browserhost.workshop import LiveBrowser
from tenure.errors import BrowserCrashed
from tenure.names import IncidentName
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence

ANSWER_S = 3.0
"""How long the live browser may take to answer and write its cookies."""
EXIT_S = 5.0
"""How long a browser that is ending already may take for it: what it leaves is looked at then."""


class Examiner:
    """One profile's. Alters neither profile nor marker; a live browser is asked to write its cookies."""

    def __init__(self, paths: ProfilePaths, slot: Slot, witness: Witness, browser_lock: asyncio.Lock) -> None:
        self._paths = paths
        self._slot = slot
        self._witness = witness
        self._browser_lock = browser_lock
        self._snapshots = Store(paths.snapshots_dir)

    async def examine(self, token: int) -> tuple[Evidence, Ledger]:
        """What is known of the hold, and what was recorded under it. Idempotent.

        `account_touched` and `form_in_flight` are absent where this process did not see all of the
        session, unless no browser was opened under the token: then it is proven that nothing happened.
        """
        async with self._browser_lock:
            browser = self._slot.browser
            alive = browser is not None and not browser.ended.done()
            found, answered = await self._ask(browser) if browser and alive else (await self._look(), False)
            url = browser.url if browser is not None and answered and self.drove(token) else ""
        ledger, findings, incomplete = await self._recorded(token)
        message = Evidence(
            last_url=url or _last_url(ledger) or found.last_url,
            last_screenshot=_last_picture(IncidentName(self._paths.name, token), ledger),
            directory=DirectoryFinding.Value(f"DIRECTORY_FINDING_{found.verdict.name}"),
            browser_alive=answered,
            cookies=found.cookies,
            gather_time=timestamp(time.time()),
            incomplete=incomplete,
        )
        self._tell_of_session(message, token, ledger, findings)
        few = policy.far_fewer(found.cookies, policy.newest(await in_thread(self._snapshots.all)))
        message.findings.extend([*found.findings, *([f"it has {few}"] if few else ()), *findings])
        return message, ledger

    def drove(self, token: int) -> bool:
        """Whether the token is the last under which the browser was driven."""
        marker = self._slot.record.marker
        return marker is not None and marker.driven == token

    async def _ask(self, browser: LiveBrowser) -> tuple[Inspection, bool]:
        """The host's own browser: whether it answers, its cookies on disk with that."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await browser.flush()
        except (BrowserCrashed, TimeoutError) as error:
            why = str(error) or f"it took longer than {ANSWER_S:g} s"
            finding, answered = f"the host's own browser runs on it and does not answer: {why}", False
        else:
            finding, answered = (
                "the host's own browser runs on it; it answered, its cookies are on disk",
                True,
            )
        return Inspection(Verdict.LIVE, (finding,)), answered

    async def _look(self) -> Inspection:
        """The directory, once whatever had it has ended, or will not."""
        descriptor = None
        if self._paths.lock.exists():
            descriptor = await lock.wait_for_lock(self._paths.lock, EXIT_S)
        try:
            return await in_thread(inspect, self._paths.profile_dir, self._slot.scratch)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    async def _recorded(self, token: int) -> tuple[Ledger, list[str], bool]:
        """What the witness has, what is to be said of it, and whether pages may be lacking."""
        try:
            ledger = await self._witness.ledger(token)
        except OSError as error:
            return Ledger(), [f"what was recorded cannot be read: {error}"], True
        findings = [f"{ledger.dropped} of the oldest records were dropped"] if ledger.dropped else []
        recording = self._witness.saw(token)
        if recording is not None and recording.gap:
            findings.append(f"the record has a gap: {recording.gap}")
        gap = recording is not None and bool(recording.gap)
        return ledger, findings, ledger.pages_lost or gap

    def _tell_of_session(self, message: Evidence, token: int, ledger: Ledger, findings: list[str]) -> None:
        marker = self._slot.record.marker
        if self._was_never_opened(token):
            message.account_touched = message.form_in_flight = False
            return
        message.browser_opened = True
        if self.drove(token) and marker is not None:
            message.proxy_key = marker.proxy_key
        message.start_url = ledger.start_url or ""
        saw = self._witness.saw(token)
        if saw is None or not saw.whole:
            findings.append("the host did not see the whole session: what was done in it is not known")
            return
        message.start_url = saw.start_url or ""
        message.account_touched = bool(saw.touched)
        message.form_in_flight = bool(saw.forms)

    def _was_never_opened(self, token: int) -> bool:
        """Whether it is proven that no browser was opened under the token.

        Safe, because the marker is on disk before a browser is driven. Without one there is no telling
        whose doing is in a directory that is there.
        """
        marker = self._slot.record.marker
        if marker is None:
            return not filled(self._paths.profile_dir)
        return marker.driven is not None and marker.driven < token


def _last_url(ledger: Ledger) -> str:
    urls = [item for item in ledger.items.values() if item.kind == URL]
    return max(urls, key=lambda item: item.id).text if urls else ""


def _last_picture(incident: IncidentName, ledger: Ledger) -> str:
    pictures = [item for item in ledger.items.values() if item.size]
    return evidence.name(incident, max(pictures, key=lambda item: item.id)) if pictures else ""
