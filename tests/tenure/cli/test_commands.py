"""The commands as processes of their own, against a gateway in memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tenure import errors
from tenure.hold import Result
from tenure.v1 import hold_pb2, profile_pb2
from tests.tenure.fake_gateway import FakeGateway, fake_gateway

COMMAND = (sys.executable, "-W", "error", "-c", "from tenure.cli import main; main()")


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as served:
        yield served


async def start(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=PIPE, stderr=PIPE)


async def tenure(*arguments: str) -> tuple[int, str, str]:
    """Run a command to its end: status, output, errors with their lines joined."""
    process = await start(*arguments)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), " ".join(err.decode().split())


async def test_profiles_are_one_json_value_a_line(gateway: FakeGateway) -> None:
    gateway.grant("alice", "workers/w", "n", run_id="r-1")
    gateway.grant("bob", "workers/w", "m")
    status, out, err = await tenure("profiles", "--json", "-a", gateway.target)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert [(row["profile"], row["state"], row["run_id"]) for row in rows] == [
        ("alice", "HELD", "r-1"),
        ("bob", "HELD", ""),
    ]


async def test_profiles_are_a_table_for_people(gateway: FakeGateway) -> None:
    status, out, _ = await tenure("profiles", "-a", gateway.target)
    assert (status, "No profile was opened yet" in out) == (0, True)
    gateway.grant("alice", "workers/w", "n", run_id="r-1")
    status, out, _ = await tenure("profiles", "-a", gateway.target)
    assert all(word in out for word in ("alice", "HELD", "r-1", "101"))


async def test_profiles_say_what_each_is_kept_for(gateway: FakeGateway) -> None:
    gateway.grant("carol", "workers/w", "n", run_id="r-1")
    alice, bob = "tenants/default/profiles/alice", "tenants/default/profiles/bob"
    kept, review = hold_pb2.PROFILE_STATE_RESUME_PENDING, hold_pb2.PROFILE_STATE_MANUAL_REVIEW
    gateway.free = [
        profile_pb2.Profile(name=alice, state=kept, workflow_id="orders", incident=f"{alice}/incidents/41"),
        profile_pb2.Profile(name=bob, state=review, incident=f"{bob}/incidents/42"),
    ]
    _, out, _ = await tenure("profiles", "-a", gateway.target)
    words = " ".join(out.split())
    assert "alice RESUME_PENDING workflow orders" in words
    assert "bob MANUAL_REVIEW incident 42" in words
    assert "carol HELD r-1" in words
    assert all(len(line) <= 80 for line in out.splitlines())
    _, out, _ = await tenure("profiles", "--json", "-a", gateway.target)
    told = [json.loads(line) for line in out.splitlines()]
    assert [(row["workflow_id"], row["incident"]) for row in told] == [
        ("", ""),
        ("orders", f"{alice}/incidents/41"),
        ("", f"{bob}/incidents/42"),
    ]


async def test_a_hold_is_released_by_its_token(gateway: FakeGateway) -> None:
    status, out, _ = await tenure(
        *("release", "alice", "--token", "101", "--result", "failed-untouched", "-a", gateway.target)
    )
    assert (status, out) == (0, "alice is released; now it is AVAILABLE.\n")
    assert gateway.ended == {"alice": Result.FAILED_UNTOUCHED}


async def opened(*arguments: str) -> tuple[Process, dict[str, Any]]:
    """`tenure open` until it says that the session is open."""
    process = await start("open", "alice", "--json", *arguments)
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_open_holds_until_a_signal_and_then_closes_in_good_order(
    gateway: FakeGateway, number: signal.Signals
) -> None:
    process, session = await opened("--run-id", "r-9", "-a", gateway.target)
    assert session["cdp_url"].startswith("ws://")
    assert (session["fencing_token"], session["run_id"]) == (101, "r-9")
    assert session["timings_ms"] == {"launch": 250.0}
    assert session["origin"] == "NEW"
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert json.loads(out)["event"] == "closed"
    assert gateway.ended == {"alice": Result.SUCCEEDED}


async def test_an_open_that_waits_is_given_up_at_ctrl_c(gateway: FakeGateway) -> None:
    gateway.stalled.add("OpenSession")
    process = await start("open", "alice", "--wait", "60", "-a", gateway.target)
    await gateway.called["OpenSession"].wait()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.startswith(b"INTERRUPTED")
    assert len(gateway.calls["CancelWait"]) == 1


async def test_a_detached_session_outlives_the_command(gateway: FakeGateway) -> None:
    process, session = await opened("--detach", "--lease-ttl", "600", "-a", gateway.target)
    await process.communicate()
    assert process.returncode == 0
    assert session["fencing_token"] == 101
    assert "alice" in gateway.holds
    [request] = gateway.calls["OpenSession"]
    assert (request.lease_ttl.seconds, request.worker) == (600, "")


async def test_what_is_asked_for_is_sent(gateway: FakeGateway) -> None:
    process, _ = await opened(
        *("--start-url", "https://example.com", "--proxy-city", "miami", "--proxy-state", "fl", "--fresh"),
        *("--workflow-id", "orders", "--plan", "v3", "--detach", "-a", gateway.target),
    )
    await process.communicate()
    [request] = gateway.calls["OpenSession"]
    assert request.start_url == "https://example.com"
    assert (request.proxy.city, request.proxy.state) == ("miami", "fl")
    assert request.HasField("reuse_session")
    assert not request.reuse_session
    assert (request.workflow_id, request.plan) == ("orders", "v3")


async def test_a_busy_profile_exits_3_with_its_reason(gateway: FakeGateway) -> None:
    gateway.grant("alice", "workers/w", "n", run_id="r-1")
    status, out, err = await tenure("open", "alice", "-a", gateway.target)
    assert (status, out) == (3, "")
    assert err.startswith("PROFILE_BUSY: profile_id 'alice' is busy; held by run_id='r-1'.")


async def test_an_error_is_one_json_value_too(gateway: FakeGateway) -> None:
    gateway.grant("alice", "workers/w", "n", run_id="r-1")
    status, out, err = await tenure("open", "alice", "--json", "-a", gateway.target)
    assert (status, err) == (3, "")
    error = json.loads(out)["error"]
    assert error["reason"] == "PROFILE_BUSY"
    assert error["metadata"]["holder_run_id"] == "r-1"


async def test_an_old_token_exits_5(gateway: FakeGateway) -> None:
    gateway.faults["ReleaseHold"] = [errors.TokenSuperseded(profile="alice", token=7)]
    status, _, err = await tenure("release", "alice", "--token", "7", "-a", gateway.target)
    assert status == 5
    assert err.startswith("TOKEN_SUPERSEDED: ")


async def test_nobody_there_exits_4_with_the_remedy() -> None:
    status, _, err = await tenure("profiles", "-a", "127.0.0.1:1")
    assert status == 4
    assert "`tenure up` starts it here" in err


@pytest.mark.parametrize(
    "arguments", [("fly",), ("open",), ("release", "alice"), ("open", "a", "--wait", "-1")]
)
async def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    status, _, err = await tenure(*arguments)
    assert status == 2
    assert "Usage: tenure" in err


@pytest.mark.parametrize("command", ["up", "demo", "open", "profiles", "release", "doctor"])
async def test_every_command_has_json_and_teaches(command: str) -> None:
    status, out, _ = await tenure(command, "--help")
    assert status == 0
    assert "--json" in out


async def test_the_doctor_finds_what_the_tests_run_on() -> None:
    status, out, _ = await tenure("doctor", "--json")
    found = json.loads(out)
    assert {"etcd", "chromium", "Xvfb"} <= {need["name"] for need in found["needs"]}
    assert status == (0 if all(need["path"] for need in found["needs"]) else 1)


async def test_the_doctor_says_whether_browsers_are_kept_apart(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    _, out, _ = await tenure("doctor", "--json", "--data-root", str(closed / "data"))
    found = json.loads(out)["isolation"]
    assert found["kind"] in {"USER_PER_TENANT", "OWN_USER", "NONE"}
    assert bool(found["why"]) == bool(found["remedy"]) == (found["kind"] == "NONE")
    if os.geteuid() == 0:
        assert found["kind"] == "NONE"
    _, text, _ = await tenure("doctor", "--data-root", str(closed / "data"))
    assert "Browsers: " in text
    assert "Control groups: " in text


async def test_the_doctor_says_that_tenants_cannot_come_to_a_data_root(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    for place in (closed / "data", Path("/var/lib/tenure")):
        _, out, _ = await tenure("doctor", "--json", "--data-root", str(place))
        found = json.loads(out)["data_root"]
        shut = os.geteuid() == 0 and place.parent == closed
        assert found["path"] == str(place)
        assert bool(found["closed"]) is shut
        assert ("--data-root /var/lib/tenure" in found["remedy"]) is shut
        _, text, _ = await tenure("doctor", "--data-root", str(place))
        # Once: where it is why browsers are not kept apart, that has said it.
        assert not shut or text.count(f"'{found['closed']}' is closed") == 1
        assert shut or "users of tenants cannot come to" not in text


async def test_the_doctor_looks_at_a_proxies_file(tmp_path: Path) -> None:
    file = tmp_path / "proxies.toml"
    file.write_text('["miami__fl"]\nurl = "http://gate.test:8080"\n')
    for mode, word in ((0o644, f"chmod 640 '{file}'"), (0o600, "is as it should be")):
        file.chmod(mode)
        status, out, _ = await tenure("doctor", "--json", "--proxies-file", str(file))
        problems = json.loads(out)["proxies"]["problems"]
        assert bool(problems) == (mode == 0o644)
        assert status != 0 or not problems
        _, text, _ = await tenure("doctor", "--proxies-file", str(file))
        assert word in " ".join(text.split())


def test_the_package_and_its_command_import_nothing_heavy() -> None:
    script = (
        "import tenure.cli, sys; print([m for m in ('grpc', 'typer', 'rich', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
