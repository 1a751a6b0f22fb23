"""What a person on call does, with the commands, on the whole system: why, revoke, review."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path
from typing import Any

import pytest

import tenure
from tenure.demo.site import DemoSite
from tenure.errors import HoldLost
from tests.fixtures.system import RunningSystem
from tests.integration.test_sdk_session import ends_in_review, sign_in

pytestmark = pytest.mark.timeout(180)

ALICE = "alice:linkedin"
BUF = Path(sys.executable).with_name("buf")


async def run(*command: str) -> str:
    """Run a command that must succeed; what it printed."""
    process = await create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def command(system: RunningSystem, *arguments: str) -> Any:
    """The JSON that a command of ours prints."""
    program = (sys.executable, "-c", "from tenure.cli import main; main()")
    return json.loads(await run(*program, *arguments, "--json", "--address", system.gateway))


async def pasted(line: str) -> Any:
    """Call what a line of advice calls, as grpcurl would."""
    _, _, _, body, address, method = shlex.split(line)
    url = f"http://{address}/{method.replace('Service.', 'Service/')}"
    call = (str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", body, url)
    return json.loads(await run(*call))


async def test_a_person_finds_out_stops_a_worker_looks_and_decides(
    system: RunningSystem, tmp_path: Path
) -> None:
    async with DemoSite() as site, tenure.connect(system.gateway, lease_ttl=10) as client:
        with pytest.raises(HoldLost):
            async with client.open(ALICE, start_url=f"{site.url}/sign-in", run_id="r-1") as session:
                page = await session.cdp()
                await sign_in(page)
                async with session.step("look around", sensitive=False):
                    why = await command(system, "why", ALICE)
                    assert why["profile"]["state"] == "PROFILE_STATE_HELD"
                    assert why["hold"]["run_id"] == "r-1"
                    assert why["worker_alive"]
                    assert why["step"]["name"] == "look around"
                    [revoke] = [a["command"] for a in why["advice"] if "RevokeHold" in a["command"]]
                    # The host cuts it off at once and the heartbeat tells it in some seconds, or before the
                    # command has ended.
                    revoking = asyncio.create_task(pasted(revoke))
                    await page.evaluate("new Promise(() => {})", timeout=60)
        incident = (await revoking)["incident"]
        assert incident == f"{session.profile}/incidents/{session.fencing_token}"
        await ends_in_review(client)
    why = await command(system, "why", ALICE)
    assert "Nothing by itself" in why["next"]
    [looked, resolving] = [a["command"] for a in why["advice"]]
    assert (await pasted(looked))["incident"]["name"] == incident
    shown = await command(system, "review", "show", ALICE, "--save", str(tmp_path / "pictures"))
    assert shown["evidence"]["last_url"].endswith("/account")
    assert shown["evidence"]["last_step"]["name"] == "look around"
    assert all(Path(path).stat().st_size for path in shown["saved"].values())
    assert shown["saved"]
    resolved = await pasted(resolving)
    assert resolved["incident"]["verdict"]["outcome"] == "OUTCOME_AVAILABLE"
    [profile] = [await command(system, "profiles")]
    assert profile["state"] == "AVAILABLE"
