"""The way of an incident, through every call that recovery and reviewers make, on a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from servicekit.call import Identity
from tenure import errors
from tenure.internal.v1 import lock_service_pb2 as pb
from tenure.v1 import hold_service_pb2 as hold_pb
from tenure.v1.incident_pb2 import Evidence, EvidenceItem, Outcome, SuspicionCause
from tests.fixtures.etcd import Store
from tests.lockservice.incidents import (
    CLEAN,
    HOST,
    MISSING,
    add,
    decide,
    decided,
    for_session,
    inspect,
    of,
    quarantine,
    read,
    resolve,
    reviewed,
    state,
    suspect,
)
from tests.lockservice.replicas import Running, running


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


async def test_an_incident_goes_all_the_way_and_everything_of_it_can_be_read(a: Running) -> None:
    worker = await a.worker()
    hold = await for_session(a, "alice:linkedin", worker, run_id="r-17", workflow_id="shop", plan="v1")
    start = hold_pb.StartStepRequest(profile=hold.profile, fencing_token=hold.fencing_token, name="cart")
    await a.call(a.holds.StartStep, start)
    save = hold_pb.SaveCheckpointRequest(
        profile=hold.profile, fencing_token=hold.fencing_token, workflow_id="shop", plan="v1", payload=b"x"
    )
    await a.call(a.holds.SaveCheckpoint, save)
    start.name, start.sensitive = "checkout", True
    await a.call(a.holds.StartStep, start)
    finish = hold_pb.FinishStepRequest(profile=hold.profile, fencing_token=hold.fencing_token, seq=1)
    await a.call(a.holds.FinishStep, finish)

    incident = await suspect(a, hold)
    assert await quarantine(a, incident) == "QUARANTINED"
    assert await add(a, incident, "0001", "0002", text="https://shop.example/cart") == 2
    evidence = Evidence(directory=CLEAN, last_url="https://shop.example/cart", browser_opened=True)
    inspected = await inspect(a, incident, evidence)
    assert state(inspected.state) == "INSPECTED"
    assert inspected.evidence.acknowledged
    assert inspected.evidence.cause == SuspicionCause.SUSPICION_CAUSE_BROWSER_LOST
    answer = await decide(a, incident, inspected.revision, "MANUAL_REVIEW", reason="a checkout went on")
    assert state(answer.state) == "MANUAL_REVIEW"

    found = await read(a, incident)
    shown = found.incident
    assert (shown.name, state(shown.state), shown.open, shown.acknowledged) == (
        incident,
        "MANUAL_REVIEW",
        True,
        True,
    )
    assert (shown.hold.run_id, shown.hold.plan, shown.hold.home) == ("r-17", "v1", HOST)
    assert shown.hold.fencing_token == hold.fencing_token
    assert shown.evidence == inspected.evidence
    assert shown.decision.reason == "a checkout went on"
    assert shown.etag == str(found.revision)
    times = (shown.suspect_time, shown.quarantine_time, shown.inspect_time, shown.decision.decide_time)
    assert sorted(t.ToMilliseconds() for t in times) == [t.ToMilliseconds() for t in times]
    assert found.home == HOST
    first, second = found.steps
    assert (first.step.name, second.step.name, second.step.sensitive) == ("cart", "checkout", True)
    assert first.start_revision < found.checkpoint_revision < second.start_revision < first.finish_revision
    assert second.finish_revision == 0
    assert found.checkpoint.payload == b"x"
    assert [item.name.rpartition("/")[2] for item in found.host_items] == ["0001", "0002"]

    over = await resolve(a, incident, shown.etag, "AVAILABLE")
    assert (state(over.state), over.open, over.etag) == ("AVAILABLE", False, "")
    assert (over.verdict.reviewer, over.verdict.reason) == ("tests", "looked at")
    assert (await read(a, incident)).revision == 0
    again = await for_session(a, "alice:linkedin", worker, request_id="")
    assert again.fencing_token > hold.fencing_token
    assert (state((await read(a, incident)).incident.state)) == "AVAILABLE", "what it led to, for ever"


# --- what they may send ------------------------------------------------------------------------


async def test_what_does_not_fit_is_named_and_changes_nothing(a: Running) -> None:
    hold = await a.acquire("alice", await a.worker())
    other = await a.acquire("bob", await a.worker())
    incident, elsewhere = await suspect(a, hold), of(other)
    await quarantine(a, incident)
    revision = (await inspect(a, incident)).revision
    item = EvidenceItem(name=f"{elsewhere}/evidence/1")
    for call, field in (
        (decide(a, incident, revision, "DISABLED"), "outcome"),
        (decide(a, incident, revision, "UNSPECIFIED"), "outcome"),
        (decide(a, incident, revision, "AVAILABLE", reason=""), "reason"),
        (decide(a, incident, revision, "AVAILABLE", reason="x" * 2001), "reason"),
        (decide(a, incident, revision, "RESUME_PENDING"), "outcome"),
        (decide(a, incident, revision, "RESUME_PENDING", resume_s=-1), "resume_for"),
        (resolve(a, incident, "x", "AVAILABLE"), "etag"),
        (resolve(a, incident, "", "AVAILABLE"), "etag"),
        (resolve(a, incident, "1", "MANUAL_REVIEW"), "outcome"),
        (resolve(a, incident, str(revision), "AVAILABLE"), "etag"),
        (add(a, incident, *map(str, range(121))), "items"),
        (add(a, incident, "1", text="x" * 9000), "items[1]"),
        (
            a.call(a.lock.AddHostEvidence, pb.AddHostEvidenceRequest(incident=incident, items=[item])),
            "items.name",
        ),
        (inspect(a, incident, Evidence(last_url="x" * 1_100_000)), "evidence"),
        (a.call(a.lock.ListStoredIncidents, pb.ListStoredIncidentsRequest(page_token="?")), "page_token"),
        (a.call(a.lock.ListStoredIncidents, pb.ListStoredIncidentsRequest(page_size=1001)), "page_size"),
    ):
        with pytest.raises(errors.InvalidField) as refused:
            await call
        assert refused.value.field == field
    for name in ("", "alice", f"{hold.profile}/incidents/0", f"{hold.profile}/sessions/{hold.fencing_token}"):
        with pytest.raises(errors.InvalidId):
            await read(a, name)
    found = await read(a, incident)
    assert (state(found.incident.state), found.revision) == ("INSPECTED", revision)
    assert not found.host_items


async def test_another_tenants_incidents_do_not_exist_but_services_work_on_all(a: Running) -> None:
    incident = await suspect(a, await a.acquire("alice", await a.worker()))
    a.tenant = "other"
    for call in (read(a, incident), resolve(a, incident, "1", "AVAILABLE"), quarantine(a, incident)):
        with pytest.raises(errors.PermissionDenied):
            await call
    assert not (await a.call(a.lock.ListStoredIncidents, pb.ListStoredIncidentsRequest())).incidents
    a.tenant, a.roles = "", ("service",)
    assert await quarantine(a, incident) == "QUARANTINED"


async def test_a_full_batch_of_evidence_is_stored_at_once(a: Running) -> None:
    incident = await suspect(a, await a.acquire("alice", await a.worker()))
    sent = a.wire.sent
    ids = [f"{i:06d}" for i in range(120)]
    assert await add(a, incident, *ids, text="x" * 8000) == 120
    assert a.wire.sent == sent + 1
    assert [item.name.rpartition("/")[2] for item in (await read(a, incident)).host_items] == ids


# --- a used profile is never new again -------------------------------------------------------------


@pytest.mark.parametrize(
    ("evidence", "used"),
    [
        (Evidence(directory=MISSING, account_touched=False), False),
        (Evidence(directory=MISSING, account_touched=False, browser_opened=True), True),
        (Evidence(directory=CLEAN, account_touched=False), True),
        (Evidence(missing=True), True),
    ],
)
async def test_a_profile_counts_as_used_once_a_browser_was_or_may_have_been_opened(
    a: Running, evidence: Evidence, used: bool
) -> None:
    hold = await for_session(a, "alice", await a.worker())
    shown = await reviewed(a, hold, evidence=evidence)
    await resolve(a, shown.name, shown.etag, "AVAILABLE")
    located = await a.call(a.lock.LocateProfile, pb.LocateProfileRequest(profile=hold.profile))
    assert located.used is used
    hold = await for_session(a, "alice", await a.worker())
    query = pb.TokenQuery(profile=hold.profile, fencing_token=hold.fencing_token)
    answer = await a.call(a.lock.VerifyTokens, pb.VerifyTokensRequest(host=HOST, queries=[query]))
    (verdict,) = answer.verdicts
    assert (verdict.current, verdict.used) == (True, used)


async def test_a_profile_without_a_home_has_no_directory_to_miss(a: Running) -> None:
    hold = await a.acquire("alice", await a.worker())
    await reviewed(a, hold, acknowledged=False, evidence=Evidence(missing=True))
    located = await a.call(a.lock.LocateProfile, pb.LocateProfileRequest(profile=hold.profile))
    assert (located.home, located.used) == ("", False)


async def test_where_a_profile_is_comes_with_the_revision_that_it_is_so_at(a: Running) -> None:
    hold = await for_session(a, "alice", await a.worker())
    where = pb.LocateProfileRequest(profile=hold.profile)
    located = await a.call(a.lock.LocateProfile, where)
    assert located.revision == located.fencing_token == hold.fencing_token
    shown = await reviewed(a, hold)
    located = await a.call(a.lock.LocateProfile, where)
    assert str(located.revision) == shown.etag
    nobody = pb.LocateProfileRequest(profile="tenants/default/profiles/nobody")
    assert (await a.call(a.lock.LocateProfile, nobody)).revision == 0


# --- the list -----------------------------------------------------------------------------------------


async def listed(a: Running, size: int = 0, *, open_only: bool = False) -> list[list[str]]:
    pages, page_token = [], ""
    while True:
        request = pb.ListStoredIncidentsRequest(page_size=size, page_token=page_token, open_only=open_only)
        page = await a.call(a.lock.ListStoredIncidents, request)
        pages.append([incident.name for incident in page.incidents])
        page_token = page.next_page_token
        if not page_token:
            return pages


async def test_incidents_are_listed_newest_first_in_pages(a: Running) -> None:
    assert await listed(a) == [[]]
    worker = await a.worker()
    holds = [await a.acquire(f"p{i}", worker) for i in (3, 1, 2)]
    first, second, third = [await suspect(a, hold) for hold in holds]
    await quarantine(a, second)
    revision = (await inspect(a, second)).revision
    await decide(a, second, revision, "AVAILABLE")
    again = await suspect(a, await a.acquire("p1", worker))
    assert await listed(a) == [[again, third, second, first]]
    assert await listed(a, 2) == [[again, third], [second, first]]
    assert await listed(a, 3) == [[again, third, second], [first]]
    assert await listed(a, open_only=True) == [[again, third, first]]
    assert await listed(a, 1, open_only=True) == [[again], [third], [first]]
    request = pb.ListStoredIncidentsRequest(parent="tenants/-")
    shown = {i.name: i for i in (await a.call(a.lock.ListStoredIncidents, request)).incidents}
    assert shown[second].decision.outcome == Outcome.OUTCOME_AVAILABLE
    assert not shown[second].open
    assert not shown[second].HasField("evidence")
    assert shown[first].hold.fencing_token == holds[0].fencing_token


async def test_what_waits_for_its_workflow_is_not_open(a: Running) -> None:
    hold = await a.acquire("alice", await a.worker(), workflow_id="shop")
    incident = await decided(a, hold, "RESUME_PENDING")
    assert await listed(a, open_only=True) == [[]]
    assert await listed(a) == [[incident]]
    found = await read(a, incident)
    assert (state(found.incident.state), found.incident.etag) == ("RESUME_PENDING", "")
    assert found.revision > 0


# --- the stream -----------------------------------------------------------------------------------------


class Followed:
    """A FollowIncidents stream, read as it comes."""

    def __init__(self, a: Running) -> None:
        identity = Identity("", "service:recovery", ("service",))
        self._stream = a.lock.FollowIncidents(pb.FollowIncidentsRequest(), metadata=identity.metadata())

    async def next(self) -> tuple[str, str]:
        """The next incident with its state; ("", "synced") once; ("", "end")."""
        message = await asyncio.wait_for(self._stream.read(), 30)
        if message is grpc.aio.EOF:
            return "", "end"
        assert isinstance(message, pb.FollowIncidentsResponse)
        return (message.incident, "synced" if message.synced else state(message.state))

    async def code(self) -> grpc.StatusCode:
        return await self._stream.code()


async def test_who_follows_hears_what_there_is_then_each_change_of_every_tenant(
    a: Running, etcd: Store
) -> None:
    before = await suspect(a, await a.acquire("alice", await a.worker()))
    await reviewed(a, await a.acquire("bob", await a.worker()))
    async with running(etcd.endpoints, etcd.prefix) as b:
        followed, elsewhere = Followed(a), Followed(b)
        for each in (followed, elsewhere):
            assert await each.next() == (before, "SUSPECTED_STALE")
            assert await each.next() == ("", "synced")
        b.tenant = "other"
        hold = await b.acquire("carol", await b.worker())
        incident = await suspect(b, hold)
        assert await followed.next() == (incident, "SUSPECTED_STALE")
        await quarantine(b, incident)
        assert await followed.next() == (incident, "QUARANTINED")
        revision = (await inspect(b, incident)).revision
        assert await followed.next() == (incident, "INSPECTED")
        # What needs no work is not told, and the next hold's incident is another one.
        await decide(b, incident, revision, "RETRY")
        again = await suspect(b, await b.acquire("carol", await b.worker()))
        assert await followed.next() == (again, "SUSPECTED_STALE")


async def test_a_stream_ends_well_when_the_replica_stops(a: Running) -> None:
    followed, other = Followed(a), Followed(a)
    assert await followed.next() == await other.next() == ("", "synced")
    a.replica.part()
    for each in (followed, other):
        assert await each.next() == ("", "end")
        assert await each.code() is grpc.StatusCode.OK


async def test_streams_keep_no_call_from_being_served(a: Running) -> None:
    streams = [Followed(a) for _ in range(200)]
    for followed in streams:
        assert await followed.next() == ("", "synced")
    incident = await suspect(a, await a.acquire("alice", await a.worker()))
    for followed in streams:
        assert await followed.next() == (incident, "SUSPECTED_STALE")
    a.replica.part()
