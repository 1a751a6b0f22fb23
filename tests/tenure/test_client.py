from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import tenure
from tenure import errors
from tenure.client import Client, GatewayUnreachable
from tenure.hold import Origin, Result
from tenure.v1 import hold_pb2, session_pb2
from tests.tenure.fake_gateway import FakeGateway, fake_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as served:
        yield served


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[Client]:
    async with tenure.connect(gateway.target) as connected:
        yield connected


async def test_a_session_carries_what_the_open_answered(client: Client, gateway: FakeGateway) -> None:
    async with client.open("alice", run_id="r-1", workflow_id="w") as session:
        assert session.name == "tenants/default/profiles/alice/sessions/101"
        assert session.fencing_token == 101
        assert session.cdp_url.startswith("ws://")
        assert session.reused_session
        assert session.timings == {"launch": 0.25}
        assert session.run_id == "r-1"
        assert session.restored is None
    assert gateway.ended == {"alice": Result.SUCCEEDED}


async def test_one_client_is_one_worker_for_all_its_holds(client: Client, gateway: FakeGateway) -> None:
    async with client.open("alice"), client.acquire("bob"):
        assert {hold.worker for hold in gateway.holds.values()} == {"workers/w1"}
    assert len(gateway.calls["RegisterWorker"]) == 1


async def test_request_ids_rise_from_open_to_open(client: Client, gateway: FakeGateway) -> None:
    for _ in range(2):
        async with client.open("alice"):
            pass
    first, second = (request.request_id for request in gateway.calls["OpenSession"])
    assert first < second


async def test_an_unclear_outcome_is_asked_again_with_the_same_request_id(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.faults_after["OpenSession"] = [errors.OutcomeUnknown(), errors.StoreUnavailable()]
    async with client.open("alice") as session:
        assert session.fencing_token == 101
    assert len({request.request_id for request in gateway.calls["OpenSession"]}) == 1
    assert len(gateway.calls["OpenSession"]) == 3


async def test_a_busy_profile_is_an_answer_and_not_asked_again(client: Client, gateway: FakeGateway) -> None:
    gateway.grant("alice", "workers/other", "theirs", run_id="r-17")
    with pytest.raises(errors.ProfileBusy) as busy:
        async with client.open("alice"):
            raise AssertionError("the body must not begin")
    assert busy.value.holder_run_id == "r-17"
    assert len(gateway.calls["OpenSession"]) == 1
    assert gateway.calls["CancelWait"] == []


async def test_each_try_waits_only_for_what_is_left_and_never_zero(
    client: Client, gateway: FakeGateway
) -> None:
    for wait in (30, 0.05):
        gateway.faults["OpenSession"] = [errors.OutcomeUnknown()]
        async with client.open("alice", wait=wait):
            pass
    first, second, _, late = (request.wait.ToNanoseconds() for request in gateway.calls["OpenSession"])
    assert 30 * 10**9 >= first > second
    assert 0 < late <= 50_000_000


async def test_an_open_that_never_gets_an_answer_is_given_up_at_the_server(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.stalled.add("OpenSession")
    with pytest.raises(errors.OutcomeUnknown):
        async with client.open("alice", timeout=2):
            raise AssertionError("the body must not begin")
    [sent], [cancelled] = gateway.calls["OpenSession"], gateway.calls["CancelWait"]
    assert (cancelled.profile, cancelled.request_id) == ("alice", sent.request_id)


async def test_a_cancelled_open_is_given_up_at_the_server(client: Client, gateway: FakeGateway) -> None:
    async def wait_long() -> None:
        async with client.open("alice", wait=60):
            raise AssertionError("the body must not begin")

    gateway.stalled.add("OpenSession")
    task = asyncio.create_task(wait_long())
    await gateway.called["OpenSession"].wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(gateway.calls["CancelWait"]) == 1


async def test_an_exception_in_the_body_means_needs_review(client: Client, gateway: FakeGateway) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.open("alice"):
            raise ZeroDivisionError
    assert gateway.ended == {"alice": Result.NEEDS_REVIEW}


async def test_a_cancelled_body_means_needs_review_and_is_closed_all_the_same(
    client: Client, gateway: FakeGateway
) -> None:
    async def body() -> None:
        async with client.open("alice"):
            entered.set()
            await asyncio.Event().wait()

    entered = asyncio.Event()
    task = asyncio.create_task(body())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gateway.ended == {"alice": Result.NEEDS_REVIEW}


async def test_a_body_that_knows_better_says_so_before_it_raises(
    client: Client, gateway: FakeGateway
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.open("alice") as session:
            session.result = Result.FAILED_UNTOUCHED
            raise ZeroDivisionError
    assert gateway.ended == {"alice": Result.FAILED_UNTOUCHED}


async def test_a_release_lost_to_an_incident_is_raised_after_a_clean_body(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.faults["CloseSession"] = [errors.TokenSuperseded(profile="alice", token=101)]
    with pytest.raises(errors.TokenSuperseded):
        async with client.open("alice"):
            pass


async def test_a_failed_release_is_a_note_on_the_bodys_own_exception(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.faults["CloseSession"] = [errors.HostUnreachable(host="h")]
    with pytest.raises(ZeroDivisionError) as raised:
        async with client.open("alice"):
            raise ZeroDivisionError
    assert "host 'h' does not answer" in raised.value.__notes__[0]


async def test_steps_are_numbered_so_that_a_retry_is_the_same_step(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.faults["StartStep"] = [errors.OutcomeUnknown()]
    async with client.acquire("alice") as held:
        async with held.step("sign in", sensitive=False):
            assert gateway.calls["FinishStep"] == []
        with pytest.raises(ZeroDivisionError):
            async with held.step("checkout", sensitive=True):
                raise ZeroDivisionError
        async with held.step("look"):
            pass
    assert [(step.name, step.seq) for step in gateway.calls["StartStep"]] == [
        ("sign in", 1),
        ("sign in", 1),
        ("checkout", 2),
        ("look", 3),
    ]
    assert [step.seq for step in gateway.calls["FinishStep"]] == [1, 3]
    assert [step.HasField("sensitive") for step in gateway.calls["StartStep"]] == [True, True, True, False]


async def test_a_checkpoint_is_the_holds_workflows(client: Client, gateway: FakeGateway) -> None:
    async with client.acquire("alice", workflow_id="orders") as held:
        await held.checkpoint("cart", b"7 items", plan="v2", safe=True)
    [saved] = gateway.calls["SaveCheckpoint"]
    assert (saved.workflow_id, saved.step, saved.plan, saved.safe) == ("orders", "cart", "v2", True)
    assert saved.fencing_token == 101


async def test_a_checkpoint_is_of_the_holds_plan_unless_another_is_named(
    client: Client, gateway: FakeGateway
) -> None:
    async with client.open("alice", workflow_id="orders", plan="v3") as session:
        await session.checkpoint("cart")
    assert gateway.calls["SaveCheckpoint"][0].plan == "v3"


async def test_what_recovery_is_to_know_of_a_run_is_sent(client: Client, gateway: FakeGateway) -> None:
    declared: dict[str, Any] = {"workflow_id": "orders", "plan": "v3", "restartable": True}
    proxy = tenure.Proxy(city="miami", state="fl")
    async with client.open("alice", proxy=proxy, **declared), client.acquire("bob", **declared):
        [opened], [acquired] = gateway.calls["OpenSession"], gateway.calls["AcquireHold"]
    for request in (opened, acquired):
        assert (request.workflow_id, request.plan, request.restartable) == ("orders", "v3", True)
    assert (opened.proxy.city, acquired.proxy_key) == ("miami", "")


async def test_a_session_knows_whether_it_is_a_fresh_task(client: Client) -> None:
    async with client.open("alice") as session:
        assert (session.origin, session.attempt, session.restored) == (Origin.NEW, 1, None)


async def test_a_resumed_session_has_its_checkpoint(client: Client, gateway: FakeGateway) -> None:
    gateway.granted_as = {"origin": hold_pb2.HOLD_ORIGIN_RESUMED}
    gateway.checkpoint = hold_pb2.Checkpoint(workflow_id="orders", step="cart", payload=b"7 items")
    async with client.open("alice", workflow_id="orders") as session:
        assert session.origin is Origin.RESUMED
        assert session.restored is not None
        assert session.restored.payload == b"7 items"


async def test_a_task_that_starts_over_knows_its_attempt(client: Client, gateway: FakeGateway) -> None:
    gateway.granted_as = {"origin": hold_pb2.HOLD_ORIGIN_RETRY, "attempt": 2}
    async with client.acquire("alice") as held:
        assert (held.origin, held.attempt) == (Origin.RETRY, 2)


async def test_actions_are_sent_once_and_never_again(client: Client, gateway: FakeGateway) -> None:
    wait = session_pb2.Action(type=session_pb2.TypeText(text="hello"))
    async with client.open("alice") as session:
        answer = await session.act(wait, wait, settle=0)
        assert len(answer.results) == 2
        assert (await session.screenshot()).inline == b"png"
        gateway.faults["Act"] = [errors.OutcomeUnknown()]
        with pytest.raises(errors.OutcomeUnknown):
            await session.act(wait)
        session.result = Result.SUCCEEDED
    sent, _ = gateway.calls["Act"]
    assert (sent.session, sent.fencing_token) == (session.name, 101)
    assert sent.HasField("settle")


async def test_a_further_address_is_asked_for_under_the_sessions_token(
    client: Client, gateway: FakeGateway
) -> None:
    async with client.open("alice") as session:
        issued = await session.issue_cdp_url(ttl=5)
        assert issued.cdp_url == "ws://127.0.0.1:1/cdp/further"
        gateway.faults["IssueCdpUrl"] = [errors.QuotaExceeded()]
        with pytest.raises(errors.QuotaExceeded):
            await session.issue_cdp_url()
        session.result = Result.SUCCEEDED
    short, usual = gateway.calls["IssueCdpUrl"]
    assert (short.session, short.fencing_token) == (session.name, 101)
    assert (short.ttl.seconds, usual.ttl.seconds) == (5, 60)


async def test_leaving_the_client_ends_its_worker(gateway: FakeGateway) -> None:
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        pass
    assert [request.worker for request in gateway.calls["EndWorker"]] == ["workers/w1"]


async def test_a_client_that_held_nothing_registers_nobody(gateway: FakeGateway) -> None:
    async with tenure.connect(gateway.target) as client:
        assert (await client.server_info()).version == "fake"
    assert gateway.calls["RegisterWorker"] == []


async def test_profiles_are_listed_over_all_pages(client: Client) -> None:
    async with client.acquire("alice"), client.acquire("bob"), client.acquire("carol"):
        assert [profile.hold.profile for profile in await client.profiles()] == ["alice", "bob", "carol"]


async def test_an_address_where_nothing_answers_is_named_with_the_remedy() -> None:
    with pytest.raises(GatewayUnreachable, match=r"127\.0\.0\.1:1 .* `tenure up`"):
        async with tenure.connect("127.0.0.1:1", timeout=0.2):
            raise AssertionError("the body must not begin")


def test_the_origins_are_those_of_the_api() -> None:
    assert {f"HOLD_ORIGIN_{each.name}": each.value for each in Origin} == {
        name: number for name, number in hold_pb2.HoldOrigin.items() if number
    }


def test_the_results_are_those_of_the_api() -> None:
    assert {f"RUN_RESULT_{each.name}": each.value for each in Result} == {
        name: number for name, number in hold_pb2.RunResult.items() if number
    }
