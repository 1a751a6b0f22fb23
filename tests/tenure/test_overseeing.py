from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

import tenure
from tenure import errors
from tenure.client import Client
from tenure.v1 import incident_pb2
from tenure.v1 import profile_service_pb2 as pb
from tests.tenure.fake_gateway import FakeGateway, fake_gateway

NAMES = [f"tenants/default/profiles/alice/incidents/{token}" for token in (41, 42, 43)]
OLD, MIDDLE, NEW = NAMES


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as served:
        for name in NAMES:
            served.incidents[name] = incident_pb2.Incident(name=name, etag="7", open=name != MIDDLE)
        yield served


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[Client]:
    async with tenure.connect(gateway.target) as connected:
        yield connected


async def test_incidents_are_listed_over_all_pages_newest_first(client: Client) -> None:
    assert [each.name for each in await client.incidents()] == [NEW, MIDDLE, OLD]


async def test_open_incidents_alone_can_be_asked_for(client: Client) -> None:
    assert [each.name for each in await client.incidents(open_only=True)] == [NEW, OLD]


async def test_no_more_incidents_are_read_than_asked_for(client: Client, gateway: FakeGateway) -> None:
    assert [each.name for each in await client.incidents(limit=2)] == [NEW, MIDDLE]
    assert len(gateway.calls["ListIncidents"]) == 2


async def test_an_incident_is_read_by_its_name(client: Client) -> None:
    assert (await client.incident(OLD)).name == OLD
    with pytest.raises(errors.NotFound):
        await client.incident("tenants/default/profiles/alice/incidents/1")


async def test_evidence_is_listed_and_read_whole(client: Client, gateway: FakeGateway) -> None:
    item = incident_pb2.EvidenceItem(name=f"{OLD}/evidence/1", kind="screenshot", size=5)
    gateway.evidence[OLD] = [item]
    gateway.pictures[item.name] = b"bytes"
    assert await client.evidence(OLD) == [item]
    assert await client.read_evidence(item.name) == b"bytes"


async def test_a_host_that_does_not_answer_for_its_evidence_is_named(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.faults["ReadEvidence"] = [errors.HostUnreachable(host="h1")]
    with pytest.raises(errors.HostUnreachable, match="h1"):
        await client.read_evidence(f"{OLD}/evidence/1")


async def test_a_verdict_is_on_what_was_read(client: Client, gateway: FakeGateway) -> None:
    gateway.faults["ResolveIncident"] = [errors.OutcomeUnknown()]
    resolved = await client.resolve(OLD, incident_pb2.OUTCOME_RETRY, "the cart is empty", etag="7")
    assert resolved.verdict.outcome == incident_pb2.OUTCOME_RETRY
    sent, again = gateway.calls["ResolveIncident"]
    assert sent == again
    assert (sent.etag, sent.reason, sent.attest_destroyed) == ("7", "the cart is empty", False)


def quota() -> errors.QuotaExceeded:
    return errors.QuotaExceeded(limit="watches a tenant", value=1, retry_after_s=0.3)


async def test_a_watch_resumed_where_there_is_no_room_for_it_keeps_its_cursor_and_tries_again(
    client: Client, gateway: FakeGateway
) -> None:
    told = [pb.WatchProfilesResponse(bookmark=cursor) for cursor in ("c1", "c2")]
    gateway.watches = [[told[0], errors.StoreUnavailable()], [quota()], [quota()], [told[1]]]
    breaks: list[errors.TenureError] = []
    began = asyncio.get_running_loop().time()
    async with aclosing(client.watch(broken=breaks.append)) as messages:
        assert [await anext(messages) for _ in range(2)] == told
    assert asyncio.get_running_loop().time() - began >= 0.6, "no sooner than it was told, twice"
    assert [each.reason for each in breaks] == ["STORE_UNAVAILABLE", "QUOTA_EXCEEDED", "QUOTA_EXCEEDED"]
    assert [each.resume_cursor for each in gateway.calls["WatchProfiles"]] == ["", "c1", "c1", "c1"]


async def test_a_watch_for_which_there_never_was_room_is_refused(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.watches = [[quota()]]
    async with aclosing(client.watch()) as messages:
        with pytest.raises(errors.QuotaExceeded):
            await anext(messages)


async def test_a_revocation_by_token_is_repeated_until_it_is_known(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.faults["RevokeHold"] = [errors.OutcomeUnknown()]
    assert await client.revoke("alice", "it spins", fencing_token=41) == OLD
    assert len(gateway.calls["RevokeHold"]) == 2


async def test_a_revocation_of_whatever_is_current_is_never_repeated(
    client: Client, gateway: FakeGateway
) -> None:
    """The second copy might take the profile from the next worker, which nobody meant."""
    gateway.faults["RevokeHold"] = [errors.OutcomeUnknown()]
    with pytest.raises(errors.OutcomeUnknown):
        await client.revoke("alice", "it spins")
    assert len(gateway.calls["RevokeHold"]) == 1
