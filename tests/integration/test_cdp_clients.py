"""Other people's clients: they connect with the address alone, work side by side, are cut in mid-action.

All five at once on one session, one process each for its whole script; see tests/clients/README.md.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.fixtures.chrome import Site
from tests.fixtures.clients import Commands
from tests.fixtures.fenced import Fenced

STEP_S = 90.0
"""For each thing that a worker does, beside four others on a busy machine."""
NAMES_ITS_END = {"pyppeteer", "cdp-use"}
"""Whose programs are told the close code and the reason; the others hear that it is closed."""


@dataclass
class Worker:
    """A client's process, and what it said."""

    name: str
    process: Process
    said: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, did: str) -> None:
        while not self.said or self.said[-1]["did"] != did:
            assert self.process.stdout is not None
            async with asyncio.timeout(STEP_S):
                line = await self.process.stdout.readline()
            assert line, f"{self.name} ended, having said {self.said}"
            self.said.append(json.loads(line))

    def told(self, did: str) -> list[dict[str, Any]]:
        return [each for each in self.said if each["did"] == did]


async def at_work(clients: Commands, address: dict[str, str], site: Site) -> list[Worker]:
    """One worker a client, each waiting inside a page."""
    workers = [
        Worker(name, await asyncio.create_subprocess_exec(*command, address[name], site.url, stdout=PIPE))
        for name, command in clients.items()
    ]
    await asyncio.gather(*(worker.until("acts") for worker in workers))
    return workers


@pytest.mark.timeout(300)
async def test_five_clients_work_side_by_side_and_are_cut_in_the_middle_of_an_action(
    fenced: Fenced, site: Site, clients: Commands
) -> None:
    session = await fenced.session(f"{site.url}/first")
    address = dict.fromkeys(clients, session.cdp_url)
    # It asks `/json/version` first.
    address["playwright-core"] = session.cdp_url.replace("ws:", "http:")
    workers = await at_work(clients, address, site)
    for worker in workers:
        # They share the profile, and with it who is signed in.
        [signed_in] = worker.told("signed in")
        assert signed_in["page"] in {f"Hello {name}" for name in clients}
        assert worker.told("downloaded") == [{"did": "downloaded", "name": "report.bin"}]
    [pyppeteer] = [worker for worker in workers if worker.name == "pyppeteer"]
    refused = {key: text for each in pyppeteer.told("was refused") for key, text in each.items()}
    assert "Page.navigate is refused by the session's policy" in refused["file"]
    assert "nothing here may clear them" in refused["cookies"]
    await fenced.session(f"{site.url}/next")
    await asyncio.gather(*(worker.until("ended") for worker in workers))
    assert await asyncio.gather(*(worker.process.wait() for worker in workers)) == [0] * len(workers)
    for worker in workers:
        [ended] = worker.told("ended")
        assert "closed" in ended["error"].lower(), ended
        if worker.name in NAMES_ITS_END:
            assert (ended["code"], ended["reason"]) == (4002, "TOKEN_SUPERSEDED")
