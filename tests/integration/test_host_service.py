"""`python -m browserhost` as a process: its answers, its signals, its death. The lock service is a fake."""

from __future__ import annotations

import asyncio
import signal

import pytest

from servicekit.call import DEV_IDENTITY
from tenure.errors import InvalidField, InvalidId, TenureError
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.v1.host_pb2 import ISOLATION_UNSPECIFIED
from tenure.v1.session_pb2 import SESSION_STATE_OPEN
from tests.fixtures.chrome import Site
from tests.fixtures.host_process import NAME, Bench, on


async def test_a_session_is_opened_described_and_closed(bench: Bench, site: Site) -> None:
    async with bench.service() as service:
        opened = await service.open(41, f"{site.url}/a")
        session = opened.session
        assert session.name == f"{NAME}/sessions/41"
        assert session.cdp_url.startswith("ws://127.0.0.1:")
        assert session.state == SESSION_STATE_OPEN
        assert {timing.phase for timing in opened.timings} >= {"verify", "launch", "attach", "navigate"}
        listed = await service.stub.DescribeSessions(
            pb.DescribeSessionsRequest(parent="tenants/default"), timeout=30, metadata=DEV_IDENTITY.metadata()
        )
        assert [(each.name, each.cdp_url) for each in listed.sessions] == [(session.name, "")]
        closed = await service.close(41)
        assert closed.used
        assert closed.flushed_at.seconds > 0
        assert closed.session.name == session.name
        host = bench.fake.registered[0].host
        assert host.address
        assert host.memory_bytes > 0
        assert host.isolation != ISOLATION_UNSPECIFIED


@pytest.mark.parametrize(
    ("name", "token", "url", "error"),
    [
        (NAME, 41, "file:///etc/passwd", InvalidField),
        (NAME, 41, "chrome://settings", InvalidField),
        (NAME, 0, "about:blank", InvalidField),
        (NAME, 1 << 60, "about:blank", InvalidField),
        ("tenants/default/profiles/..", 41, "about:blank", InvalidId),
        ("alice", 41, "about:blank", InvalidId),
    ],
)
async def test_bad_input_is_named_and_changes_nothing(
    bench: Bench, name: str, token: int, url: str, error: type[TenureError]
) -> None:
    async with bench.service() as service:
        with pytest.raises(error):
            await service.open(token, url, name)
    assert not (bench.data_root.path / "tenants").exists()
    assert bench.fake.verifies == []


async def test_a_second_host_on_the_data_directory_says_who_has_it(bench: Bench) -> None:
    async with bench.service() as service:
        second = await asyncio.create_subprocess_exec(*bench.command(), stderr=asyncio.subprocess.PIPE)
        _, said = await second.communicate()
        assert second.returncode == 1
        assert f"as process {service.process.pid}" in said.decode()
        assert "Traceback" not in said.decode()


async def test_a_terminated_host_closes_its_browsers_and_leaves_nothing_running(
    bench: Bench, site: Site
) -> None:
    async with bench.service() as service:
        await service.open(41, f"{site.url}/a")
        service.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(service.process.wait(), 60) == 0
    assert on(bench.data_root.path) == []
    async with bench.service() as service:
        with pytest.raises(TenureError, match="quarantined"):
            await service.close(41)
    assert [each.fencing_token for each in bench.fake.suspects] == [41]


async def test_a_killed_host_leaves_no_chrome_and_its_successor_waits_for_the_last_one(
    bench: Bench, site: Site
) -> None:
    async with bench.service("--adopt-s=0") as service:
        await service.open(41, f"{site.url}/sign-in")
        await service.close(41)
        await service.kill()
    # At once: the old Chrome may still be ending, and has the lock until it has.
    async with bench.service() as service:
        opened = await service.open(50, f"{site.url}/account")
        assert not opened.reused_session
        assert "inspect" in {timing.phase for timing in opened.timings}
        await service.close(50)
    assert bench.fake.suspects == []
