"""`tenure host` and `tenure move` as processes of their own, against a gateway in memory."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import pytest

from tenure import errors
from tenure.cli import host
from tenure.cli.output import Output
from tenure.v1 import host_pb2, profile_pb2, profile_service_pb2
from tests.tenure.cli.test_commands import start, tenure
from tests.tenure.fake_gateway import FakeGateway, fake_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as served:
        warm = host_pb2.WarmBrowser(profile="tenants/default/profiles/alice", proxy_key="miami__fl")
        served.hosts = [
            host_pb2.Host(
                name="hosts/a", capacity=8, browsers=2, warm=[warm], state=host_pb2.HOST_STATE_READY
            ),
            host_pb2.Host(name="hosts/b", capacity=8, state=host_pb2.HOST_STATE_CORDONED),
        ]
        home = profile_pb2.Profile(name="tenants/default/profiles/alice", home="hosts/a", used=True)
        served.explanation = profile_service_pb2.ExplainProfileResponse(profile=home)
        yield served


async def test_hosts_are_a_table_for_people_and_a_line_each_for_programs(gateway: FakeGateway) -> None:
    status, out, _ = await tenure("host", "list", "-a", gateway.target)
    assert status == 0
    words = " ".join(out.split())
    assert "a READY 2 8 alice (miami__fl)" in words
    assert "b CORDONED 0 8" in words
    _, out, _ = await tenure("host", "list", "--json", "-a", gateway.target)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["host"], row["state"], row["browsers"]) for row in rows] == [
        ("a", "READY", 2),
        ("b", "CORDONED", 0),
    ]
    assert rows[0]["warm"] == [{"profile": "tenants/default/profiles/alice", "proxy_key": "miami__fl"}]


async def test_a_host_is_cordoned_and_uncordoned_by_its_name(gateway: FakeGateway) -> None:
    status, out, _ = await tenure("host", "cordon", "a", "-a", gateway.target)
    assert (status, out) == (0, "a takes no new profiles. Those at home there go on.\n")
    status, out, _ = await tenure("host", "uncordon", "a", "--json", "-a", gateway.target)
    assert (status, json.loads(out)["state"]) == (0, "READY")
    status, _, err = await tenure("host", "cordon", "c", "-a", gateway.target)
    assert status == 1
    assert err.startswith("NOT_FOUND")


async def test_a_drain_is_watched_until_the_host_is_empty(gateway: FakeGateway) -> None:
    gateway.leaving = [2, 1, 1, 0]
    status, out, _ = await tenure("host", "drain", "a", "-a", gateway.target)
    assert status == 0
    assert [line.split(".")[0] for line in out.splitlines()] == [
        "a is to be emptied, and hears of it within seconds",
        "a is draining: 2 browsers left",
        "a is draining: 1 browser left",
        "a is empty",
    ]


async def test_a_host_that_has_not_heard_of_its_drain_is_not_taken_for_empty(gateway: FakeGateway) -> None:
    gateway.hosts[0].browsers = 0
    # A session was opened after the host had last told of itself.
    gateway.leaving, gateway.deaf_looks = [0, 0, 1, 0], 2
    status, out, _ = await tenure("host", "drain", "a", "-a", gateway.target)
    assert status == 0
    assert [line.split(".")[0] for line in out.splitlines()] == [
        "a is to be emptied, and hears of it within seconds",
        "a is draining: 1 browser left",
        "a is empty",
    ]


async def test_a_host_that_never_says_that_it_has_heard_is_watched_until_it_was_empty_for_a_while(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.deaf_looks = 1000
    # It is found empty at the third look, not so at the fifth, and is from the sixth on.
    gateway.leaving = [2, 2, 0, 0, 1, 0]
    monkeypatch.setattr(host, "LOOK_EVERY_S", 0.0)
    # Between two looks 10 s pass.
    monkeypatch.setattr(host, "monotonic", lambda: 10.0 * len(gateway.calls["ListHosts"]))
    async with asyncio.timeout(30):
        assert await host._drain(Output(as_json=True), gateway.target, "a", wait=True) is None
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["browsers"] for each in told] == [2, 0, 1, 0, 0]
    assert [each.get("event") for each in told] == [None, None, None, None, "untold"]
    assert len(gateway.calls["ListHosts"]) == 8, "30 s after it was last seen with a browser"


async def test_a_drain_that_is_not_waited_for_or_whose_host_ends_is_over_at_once(
    gateway: FakeGateway,
) -> None:
    status, out, _ = await tenure("host", "drain", "a", "--no-wait", "--json", "-a", gateway.target)
    assert (status, json.loads(out)["state"]) == (0, "DRAINING")
    assert gateway.calls["ListHosts"] == []
    process = await start("host", "drain", "a", "--json", "-a", gateway.target)
    await gateway.called["ListHosts"].wait()
    gateway.hosts.clear()
    out_bytes, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out_bytes.splitlines()[-1]) == {"event": "gone", "host": "a"}


async def test_a_drain_that_is_taken_back_is_not_waited_for_any_more(gateway: FakeGateway) -> None:
    process = await start("host", "drain", "a", "-a", gateway.target)
    await gateway.called["ListHosts"].wait()
    gateway.hosts[0].state = host_pb2.HOST_STATE_READY
    out, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")
    assert out.decode().splitlines()[-1] == "a is READY now: the drain was taken back."


async def test_ctrl_c_ends_the_watching_and_not_the_drain(gateway: FakeGateway) -> None:
    process = await start("host", "drain", "a", "-a", gateway.target)
    await gateway.called["ListHosts"].wait()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert "tenure host uncordon a" in out.decode()
    assert gateway.calls["UncordonHost"] == []


async def test_a_move_says_where_from_where_to_and_how_long(gateway: FakeGateway) -> None:
    arguments = ("move", "alice", "--to", "b", "--reason", "a goes away", "-a", gateway.target)
    status, out, _ = await tenure(*arguments)
    assert status == 0
    assert out.startswith("alice is at home at b now, after ")
    status, out, _ = await tenure(*arguments, "--json", "--etag", "7")
    told = json.loads(out)
    assert (told["from"], told["home"]) == ("a", "b")
    first, second = gateway.calls["MoveProfile"]
    assert (first.profile, first.to, first.reason, first.etag) == ("alice", "b", "a goes away", "")
    assert (second.etag, second.attest_destroyed) == ("7", False)


async def test_a_move_to_where_it_is_and_one_without_its_login_say_so(gateway: FakeGateway) -> None:
    status, out, _ = await tenure("move", "alice", "--to", "a", "--reason", "r", "-a", gateway.target)
    assert (status, "already" in out) == (0, True)
    _, out, _ = await tenure(
        *("move", "alice", "--to", "b", "--reason", "r", "--attest-destroyed", "-a", gateway.target)
    )
    assert "without its login" in out
    assert gateway.calls["MoveProfile"][-1].attest_destroyed


async def test_a_move_is_repeated_where_that_may_help_and_not_for_a_host_that_is_away(
    gateway: FakeGateway,
) -> None:
    gateway.faults["MoveProfile"] = [errors.OutcomeUnknown(), errors.HostUnreachable(host="hosts/a")]
    status, _, err = await tenure("move", "alice", "--to", "b", "--reason", "r", "-a", gateway.target)
    assert (status, err.startswith("HOST_UNREACHABLE")) == (4, True)
    assert len(gateway.calls["MoveProfile"]) == 2
    gateway.faults["MoveProfile"] = [errors.ProfileBusy(profile="alice", holder_run_id="r-7")]
    status, _, err = await tenure("move", "alice", "--to", "b", "--reason", "r", "-a", gateway.target)
    assert (status, "r-7" in err) == (3, True)
