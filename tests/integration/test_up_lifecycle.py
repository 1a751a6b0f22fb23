"""`tenure up`: starts, serves, restarts what dies, refuses what it must, leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import tenure
from tenure import ports
from tenure.errors import ProfileBusy
from tests.fixtures.system import READY, RunningSystem

pytestmark = pytest.mark.timeout(180)

PARTS = ("etcd", "lockservice", "browserhost", "recovery", "gateway")


async def up(data_root: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run `tenure up` that should refuse to start; its status and what it said last."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from tenure.cli import main; main()", "up", "--json"),
        *("--data-root", str(data_root), *options),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out.splitlines()[-1])


async def test_it_says_where_it_answers_and_what_runs(system: RunningSystem) -> None:
    ready = await system.says(READY)
    assert set(ready["parts"]) == set(PARTS)
    async with tenure.connect(system.gateway) as client:
        info = await client.server_info()
    assert info.version == tenure.__version__
    assert (info.caller.tenant, info.caller.subject) == ("default", "dev")
    async with aiohttp.ClientSession() as http, http.get(ready["metrics"]) as scraped:
        assert "tenure_workers 0.0" in (await scraped.text()).splitlines()


async def test_its_lock_service_is_several_processes_where_that_is_asked_for(tmp_path: Path) -> None:
    system = RunningSystem(tmp_path / "tenure", "--lock-processes", "2")
    try:
        await system.start()
        ready = await system.says(READY)
        host, _, port = ready["metrics"].removeprefix("http://").removesuffix("/metrics").rpartition(":")
        async with tenure.connect(system.gateway) as client, client.acquire("alice:linkedin") as held:
            assert held.fencing_token > 0
            async with aiohttp.ClientSession() as http:
                for number in range(2):
                    async with http.get(f"http://{host}:{int(port) + number}/metrics") as scraped:
                        assert "tenure_grants_total" in await scraped.text()
    finally:
        assert await system.stop() == 0
    assert system.processes() == []


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_dies_is_started_again_at_its_address(system: RunningSystem, part: str) -> None:
    os.kill(system.part(part), signal.SIGKILL)
    await system.says(f"{part} was killed by SIGKILL; starting it again")
    await system.says(f"{part} is back at")
    async with tenure.connect(system.gateway) as client, client.acquire("alice:linkedin") as held:
        assert held.fencing_token > 0


async def test_the_port_of_a_part_that_is_away_is_nobody_elses_until_the_system_is_down(
    system: RunningSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = json.loads((system.data_root / "run.json").read_text())
    chosen = [int(run["parts"][part]["address"].rpartition(":")[2]) for part in PARTS]

    def is_given(port: int) -> bool:
        monkeypatch.setattr(ports, "_CHOICE", (port, port + 1))
        try:
            with ports.Ports() as ours:
                return ours.address() == f"127.0.0.1:{port}"
        except OSError:
            return False

    for part, port in zip(PARTS, chosen, strict=True):
        os.kill(system.part(part), signal.SIGKILL)
        await system.says(f"{part} was killed by SIGKILL; starting it again")
        assert not is_given(port)
        await system.says(f"{part} is back at")
    assert await system.stop() == 0
    assert all(map(is_given, chosen))


async def test_killing_the_supervisor_ends_everything(system: RunningSystem) -> None:
    await system.kill()
    assert system.processes() == []


async def test_a_restart_goes_on_with_the_holds_there_were(system: RunningSystem) -> None:
    async with tenure.connect(system.gateway) as client, client.acquire("alice:linkedin") as held:
        first = held.fencing_token
    assert await system.stop() == 0
    await system.start()
    async with tenure.connect(system.gateway) as client:
        assert [profile.as_sent for profile in await client.profiles()] == ["alice:linkedin"]
        async with client.acquire("alice:linkedin") as held:
            assert held.fencing_token > first


async def test_a_second_system_on_the_data_root_is_refused(system: RunningSystem) -> None:
    status, said = await up(system.data_root, "--listen", "127.0.0.1:0")
    assert status == 1
    assert f"runs on {system.data_root} already (pid {system.pid}" in said["error"]["message"]
    async with tenure.connect(system.gateway) as client:
        assert (await client.server_info()).version


async def test_a_taken_gateway_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        status, said = await up(tmp_path / "t", "--listen", address)
    assert status == 1
    assert f"cannot have {address}: another program listens there" in said["error"]["message"]
    assert not (tmp_path / "t" / "etcd").exists()


async def test_an_address_for_other_machines_is_refused_without_credentials(tmp_path: Path) -> None:
    status, said = await up(tmp_path / "t", "--listen", "0.0.0.0:0")
    assert status == 1
    assert "no credentials are configured" in said["error"]["message"]


async def test_a_second_run_is_refused_in_words(system: RunningSystem) -> None:
    async with (
        tenure.connect(system.gateway) as one,
        tenure.connect(system.gateway) as two,
        one.acquire("alice:linkedin", run_id="r-1"),
    ):
        with pytest.raises(ProfileBusy, match=r"held by run_id='r-1'\. Use a different profile_id or wait"):
            async with two.acquire("alice_linkedin"):
                raise AssertionError("the body must not begin")
