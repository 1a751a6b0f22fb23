"""How long a host inspects a profile of 300 MB that Chrome itself filled."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from tenure.internal.v1.browser_host_service_pb2 import InspectProfileRequest
from tenure.page import Page
from tenure.v1.incident_pb2 import DirectoryFinding
from tests.bench.report import now, rested
from tests.bench.rig import Rig
from tests.fixtures.census import browser_of, gone, kill, profile_dir, until
from tests.fixtures.damage import hot_journal
from tests.fixtures.services import METADATA

LEAST_BYTES = 300_000_000
_FILLED_BYTES = 250_000_000  # by Chrome, before the history has grown
VISITS = 200_000
_TIMEOUT_S = 60.0

# Random bytes, so that nothing is stored smaller than it is: in IndexedDB's LevelDB, in its files beside
# that, in Cache Storage, and in localStorage.
_FILL = """(async () => {
  const bytes = size => {
    const made = new Uint8Array(size);
    for (let at = 0; at < size; at += 32768) crypto.getRandomValues(made.subarray(at, at + 32768));
    return made;
  };
  const asked = indexedDB.open("shop");
  asked.onupgradeneeded = () => asked.result.createObjectStore("items");
  await new Promise((done, failed) => { asked.onsuccess = done; asked.onerror = failed; });
  for (let batch = 0; batch < 40; batch++) {
    const writing = asked.result.transaction("items", "readwrite");
    for (let item = 0; item < 80; item++) writing.objectStore("items").put(bytes(32768), batch + "-" + item);
    writing.objectStore("items").put(new Blob([bytes(1 << 20)]), "file-" + batch);
    await new Promise((done, failed) => { writing.oncomplete = done; writing.onerror = failed; });
  }
  const cache = await caches.open("pages");
  for (let page = 0; page < 100; page++) await cache.put("/page-" + page, new Response(bytes(1 << 20)));
  for (let name = 0; name < 150; name++) document.cookie = `c${name}=${"v".repeat(200)}; max-age=86400`;
  localStorage.setItem("basket", Array(4_500_000).join("x"));
  asked.result.close();
  return true;
})()"""


async def inspections(here: Rig, turns: int) -> tuple[list[float], list[float], int]:
    """Seconds that the host took, seconds that reading the same bytes took, in turns; and how many bytes."""
    doomed = await here.crew.doomed("big", waited_for=False)
    directory = profile_dir(here.services, "big")
    await _fill(doomed.page, directory)
    browser = browser_of(here.services, "big")
    kill(browser.chrome)
    await gone(browser.everything)
    await doomed.ended()
    await asyncio.to_thread(_live_on, directory / "Default/History")
    request = InspectProfileRequest(profile="tenants/default/profiles/big", fencing_token=doomed.token)
    ours, theirs, size = [], [], 0
    for _ in range(turns + 1):
        began = await rested()
        answer = await here.host.InspectProfile(request, timeout=_TIMEOUT_S, metadata=METADATA)
        ours.append(now() - began)
        assert answer.evidence.directory == DirectoryFinding.DIRECTORY_FINDING_UNCLEAN_CONSISTENT, answer
        began = await rested()
        size = await asyncio.to_thread(_read, directory)
        theirs.append(now() - began)
    assert _size(directory) >= LEAST_BYTES
    return ours[1:], theirs[1:], size


async def _fill(page: Page, directory: Path) -> None:
    assert await page.evaluate(_FILL, timeout=120) is True
    await until(lambda: _size(directory) >= _FILLED_BYTES, f"{_FILLED_BYTES} bytes are on disk", 60)


def _live_on(history: Path) -> None:
    """Years of visits, and a hot journal beside them: the dearest to inspect, for it takes a copy.

    Chrome limits how fast a page can add to its history, so this goes by SQLite, into Chrome's own tables.
    """
    with closing(sqlite3.connect(history)) as database, database:
        database.executemany(
            "INSERT INTO urls (url, title, visit_count, last_visit_time) VALUES (?, ?, 1, ?)",
            (
                (f"https://shop.example/item/{number}/{'x' * 80}", f"Item {number}", number)
                for number in range(VISITS)
            ),
        )
        database.execute(
            "INSERT INTO visits (url, visit_time, visit_duration) SELECT id, last_visit_time, 0 FROM urls"
        )
    hot_journal(history, "visits")


def _size(directory: Path) -> int:
    """Bytes on the disk: a hole in a file is none."""
    files = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_blocks * 512 for path in files)


def _read(directory: Path) -> int:
    """Read every byte once; returns how many there were."""
    size = 0
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                while part := file.read(1 << 20):
                    size += len(part)
    return size
