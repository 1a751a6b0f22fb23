"""What an owner writes, what hosts ask, what anybody may read; and the service as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import grpc
import pytest

from servicekit.call import DEV_IDENTITY
from servicekit.settings import ServiceSettings
from tenure import errors
from tenure.internal.v1 import lock_service_pb2 as lock_pb
from tenure.token import REVISION_BITS
from tenure.v1 import hold_service_pb2 as hold_pb
from tenure.v1 import profile_service_pb2 as profile_pb
from tenure.v1.hold_pb2 import Hold, ProfileState, RunResult, Step
from tenure.v1.host_pb2 import Host, HostState
from tenure.v1.incident_pb2 import SuspicionCause
from tenure.v1.worker_service_pb2 import (
    EndWorkerRequest,
    KeepAliveRequest,
    KeepAliveResponse,
    RegisterWorkerRequest,
    RegisterWorkerResponse,
)
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running, writes

HOST = "hosts/h1"


@pytest.fixture
async def a(etcd: Store) -> AsyncIterator[Running]:
    async with running(etcd.endpoints, etcd.prefix) as replica:
        yield replica


async def step(a: Running, hold: Hold, name: str, **fields: object) -> Step:
    request = hold_pb.StartStepRequest(
        profile=hold.profile,
        fencing_token=hold.fencing_token,
        name=name,
        **fields,  # type: ignore[arg-type]
    )
    started: Step = (await a.call(a.holds.StartStep, request)).step
    return started


async def finish(a: Running, hold: Hold, seq: int) -> Step:
    request = hold_pb.FinishStepRequest(profile=hold.profile, fencing_token=hold.fencing_token, seq=seq)
    finished: Step = (await a.call(a.holds.FinishStep, request)).step
    return finished


# --- steps and checkpoints --------------------------------------------------------------


async def test_steps_are_numbered_once_and_finish_once(a: Running) -> None:
    hold = await a.acquire("alice", await a.worker())
    first = await step(a, hold, "sign in", sensitive=False)
    assert (first.seq, first.sensitive) == (1, False)
    second = await step(a, hold, "checkout", sensitive=True, seq=2)
    assert await step(a, hold, "checkout", sensitive=True, seq=2) == second
    third = await step(a, hold, "look around")
    assert (third.seq, third.HasField("sensitive")) == (3, False)
    ended = await finish(a, hold, 2)
    assert ended.HasField("finish_time")
    assert await finish(a, hold, 2) == ended
    for refused in (step(a, hold, "other", seq=2), step(a, hold, "gap", seq=7), finish(a, hold, 4)):
        with pytest.raises(errors.InvalidField):
            await refused


async def test_a_hold_has_so_many_steps_that_an_incident_can_be_read(
    a: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockservice.core.steps.MAX_SEQ", 2)
    hold = await a.acquire("alice", await a.worker())
    await step(a, hold, "one")
    second = await step(a, hold, "two", seq=2)
    for seq in (None, 3):
        with pytest.raises(errors.QuotaExceeded, match="release the hold"):
            await step(a, hold, "three", **({"seq": seq} if seq else {}))
    assert await step(a, hold, "two", seq=2) == second


async def test_a_late_copy_of_step_1_cannot_hide_step_2(a: Running) -> None:
    hold = await a.acquire("alice", await a.worker())
    late = a.wire.stop_next(writes(b"/e/"))
    first = asyncio.create_task(step(a, hold, "fill the cart", sensitive=False, seq=1))
    await late.arrived.wait()
    await step(a, hold, "fill the cart", sensitive=False, seq=1)
    await step(a, hold, "checkout", sensitive=True, seq=2)
    late.opened.set()
    assert (await first).seq == 1
    assert (await step(a, hold, "pay")).seq == 3


async def test_an_old_token_writes_nothing(a: Running) -> None:
    worker = await a.worker()
    old = await a.acquire("alice", worker, workflow_id="w")
    await a.release(old)
    await a.acquire("alice", worker, workflow_id="w")
    save = hold_pb.SaveCheckpointRequest(
        profile=old.profile, fencing_token=old.fencing_token, workflow_id="w"
    )
    for refused in (step(a, old, "x"), finish(a, old, 1), a.call(a.holds.SaveCheckpoint, save)):
        with pytest.raises(errors.TokenSuperseded):
            await refused


async def test_a_checkpoint_is_stamped_replaced_and_handed_to_who_resumes(a: Running) -> None:
    worker = await a.worker()
    hold = await a.acquire("alice", worker, workflow_id="shop")
    request = hold_pb.SaveCheckpointRequest(
        profile=hold.profile,
        fencing_token=hold.fencing_token,
        workflow_id="shop",
        plan="v1",
        step="cart",
        safe=True,
    )
    for payload in (b"one", b"two"):
        request.payload = payload
        await a.call(a.holds.SaveCheckpoint, request)
    request.workflow_id = "other"
    with pytest.raises(errors.CheckpointMismatch):
        await a.call(a.holds.SaveCheckpoint, request)
    request.payload = b"x" * (256 * 1024 + 1)
    with pytest.raises(errors.InvalidField):
        await a.call(a.holds.SaveCheckpoint, request)
    await a.release(hold)
    again = hold_pb.AcquireHoldRequest(profile="alice", worker=worker, workflow_id="shop", resume_state=True)
    answer = await a.call(a.holds.AcquireHold, again)
    assert answer.checkpoint.payload == b"two"
    assert answer.checkpoint.fencing_token == hold.fencing_token
    with pytest.raises(errors.NotFound):
        await a.call(a.holds.GetCheckpoint, hold_pb.GetCheckpointRequest(profile="alice", workflow_id="none"))


# --- hosts and homes ---------------------------------------------------------------------


async def for_session(a: Running, profile: str, worker: str, home: str = HOST) -> Hold:
    request = lock_pb.AcquireForSessionRequest(
        acquire=hold_pb.AcquireHoldRequest(profile=profile, worker=worker), home_hint=home
    )
    hold: Hold = (await a.call(a.lock.AcquireForSession, request)).hold
    return hold


async def verdicts(a: Running, host: str, *holds: Hold) -> list[lock_pb.TokenVerdict]:
    queries = [lock_pb.TokenQuery(profile=h.profile, fencing_token=h.fencing_token) for h in holds]
    answer = await a.call(a.lock.VerifyTokens, lock_pb.VerifyTokensRequest(host=host, queries=queries))
    return list(answer.verdicts)


async def test_the_first_session_sets_the_home_and_releases_go_through_it(a: Running) -> None:
    worker = await a.worker()
    hold = await for_session(a, "alice", worker)
    assert hold.home == HOST
    with pytest.raises(errors.DrainRequired) as refused:
        await a.release(hold)
    assert refused.value.token == hold.fencing_token
    located = await a.call(a.lock.LocateProfile, lock_pb.LocateProfileRequest(profile=hold.profile))
    assert (located.home, located.fencing_token, located.used) == (HOST, hold.fencing_token, False)
    assert located.epoch == hold.fencing_token >> REVISION_BITS
    drained = lock_pb.ReleaseDrainedRequest(
        release=hold_pb.ReleaseHoldRequest(profile=hold.profile, fencing_token=hold.fencing_token), used=True
    )
    drained.flushed_at.GetCurrentTime()
    released = (await a.call(a.lock.ReleaseDrained, drained)).release
    assert released.state == ProfileState.PROFILE_STATE_AVAILABLE
    assert (await for_session(a, "alice", worker, "hosts/h2")).home == HOST
    profile = (await a.call(a.profiles.GetProfile, profile_pb.GetProfileRequest(profile="alice"))).profile
    assert profile.used
    assert profile.flushed_at.seconds == drained.flushed_at.seconds


async def test_a_host_with_very_many_tokens_is_answered_beside_others_work(a: Running) -> None:
    worker = await a.worker()
    holds = await asyncio.gather(*(for_session(a, f"mine{i}", worker) for i in range(200)))
    parts = [verdicts(a, HOST, *holds[start : start + 50]) for start in range(0, 200, 50)]
    found, _ = await asyncio.gather(
        asyncio.gather(*parts), asyncio.gather(*(a.acquire(f"other{i}", worker) for i in range(40)))
    )
    assert [verdict.reason for part in found for verdict in part] == [""] * 200
    rejected = {"outcome": "rejected"}
    assert a.replica.metrics.registry.get_sample_value("tenure_txn_seconds_count", rejected) is None, (
        "no Txn had more in it than etcd takes"
    )


async def test_a_host_hears_which_tokens_it_may_serve_and_why_not(a: Running) -> None:
    a.watches_nobody()
    worker, dead = await a.worker(), await a.worker()
    good, elsewhere = await for_session(a, "p1", worker), await for_session(a, "p2", worker, "hosts/h2")
    orphan, lost = await for_session(a, "p3", dead), await for_session(a, "p4", worker)
    old = Hold(profile=good.profile, fencing_token=good.fencing_token - 1)
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=dead))
    suspicion = lock_pb.SuspectHoldRequest(
        profile=lost.profile,
        fencing_token=lost.fencing_token,
        cause=SuspicionCause.SUSPICION_CAUSE_BROWSER_LOST,
    )
    for _ in range(2):
        assert (await a.call(a.lock.SuspectHold, suspicion)).suspected
    # Hosts ask as themselves, about profiles of any tenant.
    a.tenant, a.roles = "", ("service",)
    answers = await verdicts(a, HOST, good, elsewhere, orphan, lost, old)
    assert [v.reason for v in answers] == [
        "",
        "WRONG_HOME",
        "LEASE_EXPIRED",
        "PROFILE_QUARANTINED",
        "TOKEN_SUPERSEDED",
    ]
    assert [v.current for v in answers] == [True, False, False, False, False]
    assert answers[0].run_deadline == good.run_deadline
    assert len(await verdicts(a, HOST, *[good] * 60)) == 60
    with pytest.raises(errors.InvalidField):
        await verdicts(a, HOST, *[good] * 61)


async def test_a_hold_lost_to_an_incident_is_told_once_with_the_renewal(a: Running) -> None:
    worker = await a.worker()
    hold = await a.acquire("alice", worker)
    await a.release(hold, RunResult.RUN_RESULT_NEEDS_REVIEW)
    renewed = await a.renew(worker)
    assert not renewed.holds
    assert [h.fencing_token for h in renewed.lost] == [hold.fencing_token]
    assert not (await a.renew(worker)).lost


async def test_a_cancel_that_finds_a_grant_on_a_homed_profile_says_to_release_it(a: Running) -> None:
    worker = await a.worker()
    hold = await for_session(a, "alice", worker)
    with pytest.raises(errors.DrainRequired) as refused:
        await a.cancel("alice", worker, hold.request_id)
    assert refused.value.token == hold.fencing_token


async def test_hosts_register_renew_and_are_taken_over(a: Running) -> None:
    host = Host(name=HOST, address="127.0.0.1:1", boot_id="b1", capacity=4)
    first = await a.call(a.lock.RegisterHost, lock_pb.RegisterHostRequest(host=host))
    assert first.ttl.seconds >= 5
    host.browsers = 2
    renewal = lock_pb.RenewHostRequest(registration=first.registration, host=host)
    await a.call(a.lock.RenewHost, renewal)
    sent = a.wire.sent
    await a.call(a.lock.RenewHost, renewal)
    assert a.wire.sent == sent, "facts that did not change are not written"
    alive = (await a.call(a.lock.ListAliveHosts, lock_pb.ListAliveHostsRequest())).hosts
    # The state is the schedule's, not the host's own.
    host.state = HostState.HOST_STATE_READY
    assert list(alive) == [host]
    second = await a.call(a.lock.RegisterHost, lock_pb.RegisterHostRequest(host=host))
    with pytest.raises(errors.LeaseExpired):
        await a.call(a.lock.RenewHost, renewal)
    renewal.registration = second.registration
    await a.call(a.lock.RenewHost, renewal)
    assert list((await a.call(a.lock.ListAliveHosts, lock_pb.ListAliveHostsRequest())).hosts) == [host]


# --- reading -----------------------------------------------------------------------------


async def test_profiles_are_listed_in_pages_by_name_and_state(a: Running) -> None:
    worker = await a.worker()
    holds = [await a.acquire(f"p{i}", worker) for i in range(7)]
    for hold in holds[::2]:
        await a.release(hold)

    async def names(state: ProfileState.ValueType, size: int) -> list[list[str]]:
        pages, page_token = [], ""
        while True:
            request = profile_pb.ListProfilesRequest(state=state, page_size=size, page_token=page_token)
            page = await a.call(a.profiles.ListProfiles, request)
            pages.append([p.name.rpartition("/")[2] for p in page.profiles])
            page_token = page.next_page_token
            if not page_token:
                return pages

    everything = ProfileState.PROFILE_STATE_UNSPECIFIED
    assert await names(everything, 0) == [[f"p{i}" for i in range(7)]]
    assert await names(everything, 3) == [["p0", "p1", "p2"], ["p3", "p4", "p5"], ["p6"]]
    assert await names(ProfileState.PROFILE_STATE_AVAILABLE, 3) == [["p0", "p2", "p4"], ["p6"]]
    assert await names(ProfileState.PROFILE_STATE_HELD, 100) == [["p1", "p3", "p5"]]
    for bad in (
        profile_pb.ListProfilesRequest(page_token="?"),
        profile_pb.ListProfilesRequest(page_size=1001),
        profile_pb.ListProfilesRequest(state=99),  # type: ignore[arg-type]
    ):
        with pytest.raises(errors.TenureError):
            await a.call(a.profiles.ListProfiles, bad)
    with pytest.raises(errors.NotFound):
        await a.call(a.profiles.GetProfile, profile_pb.GetProfileRequest(profile="nobody"))


async def test_a_keep_alive_stream_renews_and_ends_with_the_lease(a: Running) -> None:
    worker = await a.worker()
    hold = await a.acquire("alice", worker)
    stream = a.workers.KeepAlive(metadata=DEV_IDENTITY.metadata())
    for _ in range(3):
        await stream.write(KeepAliveRequest(worker=worker))
        answer = await stream.read()
        assert isinstance(answer, KeepAliveResponse)
        assert [h.fencing_token for h in answer.holds] == [hold.fencing_token]
    await a.call(a.workers.EndWorker, EndWorkerRequest(worker=worker))
    await stream.write(KeepAliveRequest(worker=worker))
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await stream.read()
    assert isinstance(errors.from_rpc_error(ended.value), errors.LeaseExpired)


async def test_a_keep_alive_stream_ends_when_the_service_stops_and_goes_on_at_another(
    etcd: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(etcd.endpoints, etcd.prefix) as a, running(etcd.endpoints, etcd.prefix) as b:
        # Nobody waits that long: what is still under way then would be cut off.
        monkeypatch.setattr(a.server, "_settings", ServiceSettings(grace_s=600.0))
        worker = await a.worker()
        stream = a.workers.KeepAlive(metadata=DEV_IDENTITY.metadata())
        await stream.write(KeepAliveRequest(worker=worker))
        assert await stream.read() is not grpc.aio.EOF
        stopping = asyncio.create_task(a.server.drain())
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK
        await stopping
        again = b.workers.KeepAlive(metadata=DEV_IDENTITY.metadata())
        await again.write(KeepAliveRequest(worker=worker))
        answer = await again.read()
        assert isinstance(answer, KeepAliveResponse)
        assert answer.worker == worker


# --- the process -------------------------------------------------------------------------


async def test_the_process_says_where_it_is_serves_and_stops_well(etcd: Store) -> None:
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lockservice", f"--etcd={etcd.endpoints[0]}"),
        *(f"--etcd-prefix={etcd.prefix}", f"--ready-fd={write}"),
        pass_fds=[write],
        stderr=subprocess.PIPE,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        ready = json.loads(await asyncio.to_thread(pipe.readline))
    async with grpc.aio.insecure_channel(ready["address"]) as channel:
        call = channel.unary_unary(
            "/tenure.v1.WorkerService/RegisterWorker",
            request_serializer=RegisterWorkerRequest.SerializeToString,
            response_deserializer=RegisterWorkerResponse.FromString,
        )
        answer = await call(RegisterWorkerRequest(), timeout=30, metadata=DEV_IDENTITY.metadata())
        assert answer.worker.ttl.seconds == 15
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--help"], 0, "raise-epoch"),
        (["--etcd=nonsense"], 2, "is not host:port"),
        (["--etcd-cert=/x"], 2, "belong together"),
        (["--etcd-ca=/not/there"], 2, "/not/there is not a file"),
        (["--etcd-prefix=tenure"], 2, "begin and end it with a slash"),
        (["raise-epoch", "--etcd=127.0.0.1:1"], 1, "was not raised: no etcd member"),
    ],
)
def test_its_command_line_teaches(arguments: list[str], status: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lockservice", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert says in " ".join((done.stdout + done.stderr).split())
