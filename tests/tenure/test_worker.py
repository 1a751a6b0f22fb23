from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import tenure
from tenure import errors, worker
from tenure.hold import HeldProfile, Result
from tests.tenure.fake_gateway import FakeGateway, fake_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as served:
        # A renewal each 1.5 s, and two may be missed before the lease is over.
        served.ttl = 4.5
        yield served


async def arrival(gateway: FakeGateway, method: str) -> None:
    """Wait for the next call of a method."""
    gateway.called[method].clear()
    await gateway.called[method].wait()


async def test_the_lease_is_kept_while_the_client_lives(gateway: FakeGateway) -> None:
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        for _ in range(4):
            await arrival(gateway, "RenewWorker")
    assert gateway.ended == {"alice": Result.SUCCEEDED}


async def test_a_registration_without_an_answer_is_made_anew(gateway: FakeGateway) -> None:
    gateway.faults["RegisterWorker"] = [errors.OutcomeUnknown()]
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        assert len(gateway.calls["RegisterWorker"]) == 2


async def test_a_renewal_that_fails_is_tried_again_before_the_deadline(gateway: FakeGateway) -> None:
    gateway.faults["RenewWorker"] = [errors.StoreUnavailable(), errors.StoreUnavailable()]
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        for _ in range(3):
            await arrival(gateway, "RenewWorker")


async def test_of_a_renewal_without_an_answer_it_is_said_that_it_is_tried_again(
    gateway: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    unclear = "The service gave no clear answer (gone)."
    said = f"{unclear} {errors.OutcomeUnknown.text}"
    gateway.faults["RenewWorker"] = [errors.OutcomeUnknown(), errors.OutcomeUnknown(message=said)]
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        for _ in range(3):
            await arrival(gateway, "RenewWorker")
    told = [record.getMessage() for record in caplog.records if "was not renewed" in record.getMessage()]
    assert [line.partition(" left, and is tried again: ")[2] for line in told] == ["no clear answer", unclear]


async def test_a_body_is_cancelled_at_the_deadline_when_renewals_stall(gateway: FakeGateway) -> None:
    gateway.ttl = 1.2
    gateway.stalled.add("RenewWorker")
    async with tenure.connect(gateway.target) as client:
        with pytest.raises(errors.LeaseExpired):
            async with client.open("alice"):
                await asyncio.Event().wait()
        assert gateway.calls["CloseSession"] == [], "a worker without a lease has no say about its hold"


async def test_a_body_is_cancelled_at_once_when_the_server_says_that_the_lease_is_over(
    gateway: FakeGateway,
) -> None:
    gateway.ttl = 12.0
    async with tenure.connect(gateway.target) as client:
        with pytest.raises(errors.LeaseExpired):
            async with client.open("alice"), asyncio.timeout(11):
                gateway.faults["RenewWorker"] = [errors.LeaseExpired(worker="workers/w1")]
                await asyncio.Event().wait()


async def test_a_lost_worker_is_abandoned_and_the_next_open_registers_anew(gateway: FakeGateway) -> None:
    gateway.ttl = 1.2
    gateway.stalled.add("RenewWorker")
    async with tenure.connect(gateway.target) as client:
        with pytest.raises(errors.LeaseExpired):
            async with client.open("alice"):
                await asyncio.Event().wait()
        renewals = len(gateway.calls["RenewWorker"])
        gateway.stalled.clear()
        gateway.ttl = 4.5
        async with client.open("bob"):
            assert gateway.holds["bob"].worker == "workers/w2"
        late = {request.worker for request in gateway.calls["RenewWorker"][renewals:]}
    assert late <= {"workers/w2"}, "a renewal would keep alive a lease under which nobody works"


async def test_a_hold_whose_grant_was_never_learnt_of_is_released(gateway: FakeGateway) -> None:
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        gateway.grant("bob", "workers/w1", "unknown")
        await gateway.called["ReleaseHold"].wait()
        assert gateway.calls["ReleaseHold"][0].result == Result.FAILED_UNTOUCHED
        assert gateway.calls["ReleaseHold"][0].profile == "bob"
    assert all(request.profile == "bob" for request in gateway.calls["ReleaseHold"])


async def test_a_hold_that_is_being_acquired_is_not_taken_for_a_stray(gateway: FakeGateway) -> None:
    async def open_bob() -> None:
        async with client.open("bob"):
            opened.set()

    opened = asyncio.Event()
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        gateway.stalled.add("OpenSession")
        task = asyncio.create_task(open_bob())
        await arrival(gateway, "OpenSession")
        # Granted at the server, while the answer is still on its way.
        gateway.grant("bob", "workers/w1", gateway.calls["OpenSession"][-1].request_id)
        for _ in range(2):
            await arrival(gateway, "RenewWorker")
        assert gateway.calls["ReleaseHold"] == []
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_close_that_failed_is_told_later_with_the_same_result(gateway: FakeGateway) -> None:
    async with tenure.connect(gateway.target) as client:
        gateway.faults["CloseSession"] = [errors.HostUnreachable(host="h")]
        with pytest.raises(ZeroDivisionError):
            async with client.open("alice"):
                raise ZeroDivisionError
        await gateway.called["ReleaseHold"].wait()
    assert gateway.ended == {"alice": Result.NEEDS_REVIEW}


async def test_strays_are_let_go_of_before_the_worker_ends(gateway: FakeGateway) -> None:
    gateway.ttl = 30.0
    async with tenure.connect(gateway.target) as client:
        gateway.faults["CloseSession"] = [errors.HostUnreachable(host="h")]
        with pytest.raises(errors.HostUnreachable):
            async with client.open("alice"):
                pass
    assert gateway.ended == {"alice": Result.SUCCEEDED}
    assert len(gateway.calls["EndWorker"]) == 1


async def test_a_body_that_leaving_the_client_cuts_short_is_not_released_as_untouched(
    gateway: FakeGateway,
) -> None:
    """It may have stood in the middle of a checkout: its hold ends with the lease, as an incident."""
    opened = asyncio.Event()

    async def body(client: tenure.Client) -> None:
        async with client.open("alice"):
            opened.set()
            await asyncio.Event().wait()

    async with tenure.connect(gateway.target) as client:
        task = asyncio.create_task(body(client))
        await opened.wait()
    with pytest.raises(errors.LeaseExpired):
        await task
    assert len(gateway.calls["EndWorker"]) == 1
    assert gateway.ended == {}


async def test_a_session_that_cannot_be_disconnected_is_released_with_its_own_result(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(held: HeldProfile) -> None:
        raise errors.Internal("the DevTools connection broke")

    monkeypatch.setattr(HeldProfile, "disconnect", fails)
    async with tenure.connect(gateway.target) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.acquire("alice"):
                raise ZeroDivisionError
    assert gateway.ended == {"alice": Result.NEEDS_REVIEW}


async def test_a_hold_listed_as_lost_ends_its_body_once_the_token_check_agrees(gateway: FakeGateway) -> None:
    gateway.faults["VerifyHold"] = [errors.TokenSuperseded(profile="alice", token=101)]
    async with tenure.connect(gateway.target) as client:
        with pytest.raises(errors.TokenSuperseded):
            async with client.open("alice") as session:
                gateway.lost = [session.hold]
                await asyncio.Event().wait()


async def test_a_hold_listed_as_lost_goes_on_while_the_token_check_does_not_agree(
    gateway: FakeGateway,
) -> None:
    async with tenure.connect(gateway.target) as client, client.open("alice") as session:
        gateway.lost = [session.hold]
        await gateway.called["VerifyHold"].wait()
        await arrival(gateway, "RenewWorker")
    assert gateway.ended == {"alice": Result.SUCCEEDED}


async def test_a_hold_that_the_server_lists_no_more_ends_its_body_once_the_token_check_agrees(
    gateway: FakeGateway,
) -> None:
    """Its loss may have been told to nobody: a replica that starts anew knows no lost holds."""
    gateway.faults["VerifyHold"] = [errors.TokenSuperseded(profile="alice", token=101)]
    async with tenure.connect(gateway.target) as client:
        with pytest.raises(errors.TokenSuperseded):
            async with client.open("alice"):
                del gateway.holds["alice"]
                await asyncio.Event().wait()
    assert len(gateway.calls["VerifyHold"]) == 1


async def test_a_hold_that_one_list_leaves_out_is_not_even_doubted(gateway: FakeGateway) -> None:
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        hold = gateway.holds.pop("alice")
        await arrival(gateway, "RenewWorker")
        gateway.holds["alice"] = hold
        for _ in range(2):
            await arrival(gateway, "RenewWorker")
    assert gateway.calls["VerifyHold"] == []


async def test_a_worker_that_wakes_up_past_its_deadline_renews_nothing(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease may live on at the server, where it is as good as dead already."""
    now = worker.boottime
    async with tenure.connect(gateway.target) as client:
        with pytest.raises(errors.LeaseExpired):
            async with client.open("alice"):
                # As after SIGSTOP and SIGCONT, or a lid that was closed.
                monkeypatch.setattr(worker, "boottime", lambda: now() + 60)
                await asyncio.Event().wait()
        async with client.open("bob"):
            assert gateway.holds["bob"].worker == "workers/w2"
    assert "workers/w1" not in {request.worker for request in gateway.calls["RenewWorker"]}
