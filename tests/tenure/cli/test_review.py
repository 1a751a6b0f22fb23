"""The commands of the person on call, as processes of their own, against a gateway in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf import json_format

from tenure import errors
from tenure.v1 import hold_pb2, incident_pb2, profile_pb2, profile_service_pb2
from tests.tenure.cli.test_commands import tenure
from tests.tenure.fake_gateway import FakeGateway, fake_gateway

PROFILE = "tenants/default/profiles/alice_linkedin"
INCIDENT = f"{PROFILE}/incidents/1234"
PICTURE = b"\x89PNG of a checkout"


def incident() -> incident_pb2.Incident:
    """A worker that stopped in the middle of a checkout; a person must decide."""
    found: incident_pb2.Incident = json_format.ParseDict(
        {
            "name": INCIDENT,
            "cause": "SUSPICION_CAUSE_LEASE_ENDED",
            "suspect_time": "2026-11-22T05:00:07.100Z",
            "quarantine_time": "2026-11-22T05:00:07.230Z",
            "inspect_time": "2026-11-22T05:00:07.480Z",
            "state": "PROFILE_STATE_MANUAL_REVIEW",
            "acknowledged": True,
            "open": True,
            "etag": "77",
            "hold": {"run_id": "nightly-7", "fencing_token": "1234", "worker": "workers/w1"},
            "decision": {
                "outcome": "OUTCOME_MANUAL_REVIEW",
                "reason": "step 'checkout' is sensitive and did not end",
                "decide_time": "2026-11-22T05:00:07.500Z",
            },
            "evidence": {
                "last_url": "https://shop.example/checkout",
                "last_step": {"seq": "2", "name": "checkout", "sensitive": True},
                "last_screenshot": f"{INCIDENT}/evidence/9",
                "proxy_key": "miami__fl",
                "directory": "DIRECTORY_FINDING_UNCLEAN_CONSISTENT",
                "findings": ["all stores are sound"],
                "browser_alive": True,
                "account_touched": True,
            },
        },
        incident_pb2.Incident(),
    )
    return found


def evidence() -> list[incident_pb2.EvidenceItem]:
    items = [
        {
            "name": f"{INCIDENT}/evidence/{number}",
            "kind": "url",
            "text": f"https://shop.example/{number}",
            "record_time": f"2026-11-22T04:59:{10 + number}.000Z",
        }
        for number in range(8)
    ]
    items.append(
        {
            "name": f"{INCIDENT}/evidence/9",
            "kind": "screenshot",
            "media_type": "image/png",
            "record_time": "2026-11-22T05:00:00Z",
        }
    )
    return [json_format.ParseDict(item, incident_pb2.EvidenceItem()) for item in items]


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as served:
        served.incidents[INCIDENT] = incident()
        served.evidence[INCIDENT] = evidence()
        served.pictures[f"{INCIDENT}/evidence/9"] = PICTURE
        explained = served.explanation
        explained.profile.name = PROFILE
        explained.profile.as_sent = "alice:linkedin"
        explained.profile.state = hold_pb2.PROFILE_STATE_MANUAL_REVIEW
        explained.profile.state_time.FromJsonString("2026-11-22T05:00:07.500Z")
        explained.profile.incident = INCIDENT
        explained.hold.CopyFrom(served.incidents[INCIDENT].hold)
        explained.worker_alive = False
        explained.step.CopyFrom(served.incidents[INCIDENT].evidence.last_step)
        explained.queue.append(profile_service_pb2.Waiter(position=1, run_id="second"))
        explained.next = "Nothing by itself: a reviewer must decide what becomes of it."
        explained.cause = "Run nightly-7 lost its hold at step checkout: the lease of its worker ended."
        moved = profile_service_pb2.HomeMove(
            from_home="hosts/h1",
            to_home="hosts/h2",
            by="ann",
            reason="a fan is loud",
            attested_destroyed=True,
        )
        moved.move_time.FromJsonString("2026-11-21T05:00:07Z")
        explained.last_move.CopyFrom(moved)
        explained.advice.append(
            profile_pb2.Advice(
                text="Then decide: AVAILABLE frees it",
                command=f'grpcurl -plaintext -d \'{{"incident": "{INCIDENT}", "etag": "77"}}\' '
                "127.0.0.1:7433 tenure.v1.IncidentService/ResolveIncident",
            )
        )
        yield served


def fits(text: str) -> bool:
    """Nothing is wider than a terminal, but what has no blank to break at."""
    return all(len(line) <= 80 or len(line.split()) <= 2 for line in text.splitlines())


async def test_why_tells_state_holder_step_queue_next_and_advice(gateway: FakeGateway) -> None:
    status, out, err = await tenure("why", "alice:linkedin", "-a", gateway.target)
    assert (status, err) == (0, "")
    words = " ".join(out.split())
    for told in (
        "alice:linkedin is MANUAL_REVIEW since",
        "nightly-7, token 1234, of workers/w1, whose lease has ended",
        "2. checkout (sensitive)",
        "1. second, waits since",
        "lost its hold at step checkout",
        "Nothing by itself",
        "from h1 to h2,",
        "by ann: a fan is loud (the old home was attested destroyed)",
        "Then decide: AVAILABLE frees it:",
    ):
        assert told in words
    assert fits(out)
    assert gateway.calls["ExplainProfile"][0].profile == "alice:linkedin"


async def test_a_pasted_line_of_why_calls_the_gateway_that_was_asked(gateway: FakeGateway) -> None:
    _, people, _ = await tenure("why", "alice:linkedin", "-a", gateway.target)
    _, programs, _ = await tenure("why", "alice:linkedin", "--json", "-a", gateway.target)
    assert f"{gateway.target} tenure.v1.IncidentService/ResolveIncident" in people
    assert f" {gateway.target} " in json.loads(programs)["advice"][0]["command"]
    assert "127.0.0.1:7433" not in people + programs


async def test_a_profile_that_is_unknown_cannot_be_explained(gateway: FakeGateway) -> None:
    gateway.faults["ExplainProfile"] = [errors.NotFound(name="bob")]
    status, _, err = await tenure("why", "bob", "-a", gateway.target)
    assert (status, err.startswith("NOT_FOUND: ")) == (1, True)


async def test_open_incidents_are_listed(gateway: FakeGateway) -> None:
    gateway.incidents[f"{PROFILE}/incidents/7"] = incident_pb2.Incident(name=f"{PROFILE}/incidents/7")
    status, out, _ = await tenure("review", "list", "-a", gateway.target)
    assert status == 0
    for told in ("alice_linkedin", "1234", "MANUAL_REVIEW", "lease ended", "05:00:07"):
        assert told in out
    assert " 7 " not in out
    assert fits(out)
    _, out, _ = await tenure("review", "list", "--all", "--json", "-a", gateway.target)
    assert [json.loads(line)["name"].rpartition("/")[2] for line in out.splitlines()] == ["7", "1234"]


async def test_no_open_incident_is_said(gateway: FakeGateway) -> None:
    gateway.incidents.clear()
    status, out, _ = await tenure("review", "list", "-a", gateway.target)
    assert (status, out) == (0, "No incident waits.\n")


async def test_show_tells_the_timeline_the_evidence_and_the_choices(gateway: FakeGateway) -> None:
    status, out, err = await tenure("review", "show", INCIDENT, "-a", gateway.target)
    assert (status, err) == (0, "")
    words = " ".join(out.split())
    order = ["05:00:07.100Z SUSPECTED_STALE", "05:00:07.230Z QUARANTINED", "05:00:07.480Z INSPECTED"]
    assert sorted(order, key=words.index) == order
    for told in (
        "05:00:07.500Z MANUAL_REVIEW step 'checkout' is sensitive and did not end",
        "04:59:17.000Z url https://shop.example/7",
        "last URL https://shop.example/checkout",
        "step 2. checkout (sensitive)",
        "proxy miami__fl",
        "directory UNCLEAN_CONSISTENT; all stores are sound",
        "browser alive",
        "account touched",
        "form unknown",
        "--etag 77 \\ --outcome available --reason WHY",
    ):
        assert told in words
    assert "attest" not in words
    assert "resume-pending" not in words, "the hold had no workflow to wait for"
    assert fits(out)


async def test_a_profile_stands_for_its_incident_at_work(gateway: FakeGateway) -> None:
    _, out, _ = await tenure("review", "show", "alice:linkedin", "--json", "-a", gateway.target)
    assert json.loads(out)["name"] == INCIDENT
    gateway.explanation.profile.incident = ""
    status, _, err = await tenure("review", "show", "alice:linkedin", "-a", gateway.target)
    assert status == 1
    assert "has no incident at work" in err


async def test_show_saves_the_pictures(gateway: FakeGateway, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "evidence"
    status, out, _ = await tenure("review", "show", INCIDENT, "--save", str(folder), "-a", gateway.target)
    [picture] = folder.iterdir()
    assert (status, picture.name, picture.read_bytes()) == (0, "alice_linkedin-1234-9.png", PICTURE)
    assert picture.name in "".join(out.split())


async def test_a_damaged_profile_without_an_acknowledgement_says_both(gateway: FakeGateway) -> None:
    found = gateway.incidents[INCIDENT]
    found.acknowledged = False
    found.evidence.directory = incident_pb2.DIRECTORY_FINDING_CORRUPT
    _, out, _ = await tenure("review", "show", INCIDENT, "-a", gateway.target)
    words = " ".join(out.split())
    assert "a start on it will be refused" in words
    assert "--outcome disabled --attest-destroyed" in words.replace("\\ ", "")


async def test_resolve_shows_what_is_decided_on_and_sends_the_etag_that_was_read(
    gateway: FakeGateway,
) -> None:
    status, out, _ = await tenure(
        *("review", "resolve", INCIDENT, "--outcome", "retry", "--reason", "no order", "-a", gateway.target)
    )
    assert status == 0
    assert "https://shop.example/checkout" in out
    [sent] = gateway.calls["ResolveIncident"]
    assert (sent.incident, sent.etag, sent.reason) == (INCIDENT, "77", "no order")
    assert sent.outcome == incident_pb2.OUTCOME_RETRY
    assert not sent.attest_destroyed


async def test_resolve_with_an_etag_reads_nothing_first(gateway: FakeGateway) -> None:
    status, out, _ = await tenure(
        *("review", "resolve", INCIDENT, "--outcome", "resume-pending", "--reason", "it is fine"),
        *("--etag", "70", "--attest-destroyed", "--json", "-a", gateway.target),
    )
    assert (status, json.loads(out)["verdict"]["reason"]) == (0, "it is fine")
    [sent] = gateway.calls["ResolveIncident"]
    assert (sent.etag, sent.attest_destroyed) == ("70", True)
    assert gateway.calls["GetIncident"] == []


async def test_a_verdict_on_what_has_changed_is_refused(gateway: FakeGateway) -> None:
    gateway.faults["ResolveIncident"] = [errors.InvalidField(field="etag", value="77")]
    status, _, err = await tenure(
        *("review", "resolve", INCIDENT, "--outcome", "available", "--reason", "x", "-a", gateway.target)
    )
    assert (status, err.startswith("INVALID_FIELD: etag")) == (1, True)


async def test_revoke_names_the_incident(gateway: FakeGateway) -> None:
    status, out, _ = await tenure(
        *("revoke", "alice", "--reason", "it spins", "--token", "1234", "--json", "-a", gateway.target)
    )
    assert (status, json.loads(out)["incident"]) == (0, "tenants/default/profiles/alice/incidents/1234")
    [sent] = gateway.calls["RevokeHold"]
    assert (sent.fencing_token, sent.reason) == (1234, "it spins")


@pytest.mark.parametrize(
    "arguments",
    [
        ("revoke", "alice"),
        ("review", "resolve", INCIDENT, "--outcome", "manual-review", "--reason", "x"),
        ("review", "resolve", INCIDENT, "--outcome", "available"),
        ("why",),
    ],
)
async def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    status, _, err = await tenure(*arguments)
    assert (status, "Usage: tenure" in err) == (2, True)


@pytest.mark.parametrize(
    "command", [("why",), ("revoke",), ("review", "list"), ("review", "show"), ("review", "resolve")]
)
async def test_every_command_has_json_and_an_example(command: tuple[str, ...]) -> None:
    status, out, _ = await tenure(*command, "--help")
    assert status == 0
    assert "--json" in out
    assert f"tenure {' '.join(command)} " in out
