"""Wall clocks that are wrong or jump: of replicas, and of a client."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from lockservice.core.record import State
from lockservice.granter import now_ms
from tenure import errors
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import Hold
from tests.fixtures.etcd import Store
from tests.fixtures.replica_process import replica_process
from tests.lockservice.replicas import Running, running

HOUR_S = 3600


async def hold_for(here: Running, profile: str, seconds: int) -> Hold:
    """A hold that may last so long."""
    return await here.acquire(profile, await here.worker(), max_runtime={"seconds": seconds})


async def until_overdue(here: Running, by: Running, profile: str) -> None:
    """Return when a hold of a second, granted by `by`, was found to take too long: somebody has looked."""
    await hold_for(by, profile, 1)
    await here.until_state(ProfileName("default", profile), State.SUSPECTED_STALE)


@pytest.mark.parametrize("mutant", [False, True])
@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
async def test_a_wall_clock_that_jumps_makes_no_hold_suspect_and_keeps_none_from_it(
    etcd: Store, monkeypatch: pytest.MonkeyPatch, ahead_s: int, mutant: bool
) -> None:
    async with running(etcd.endpoints, etcd.prefix, sweep_s=0.2) as a:
        await hold_for(a, "short", 2)
        hold = await hold_for(a, "long", HOUR_S // 2)
        monkeypatch.setattr("lockservice.overseer.now_ms", lambda: now_ms() + ahead_s * 1000)
        if mutant:
            monkeypatch.setattr("lockservice.core.clocks.Clocks.now_ms", lambda *_: None)
        wanted = "long" if mutant and ahead_s > 0 else "short"
        if mutant and ahead_s < 0:
            # Its end lies an hour off now: what must happen does not.
            assert a.replica.overseer._suspicion(ProfileName("default", "short")) is None
            return
        await a.until_state(ProfileName("default", wanted), State.SUSPECTED_STALE)
        if not mutant:
            await a.verify(hold)


async def test_replicas_an_hour_apart_agree_on_how_long_a_hold_lasts(etcd: Store, tmp_path: Path) -> None:
    (tmp_path / "ahead").write_text(str(HOUR_S))
    (tmp_path / "behind").write_text(str(-HOUR_S))
    (tmp_path / "jumps").write_text("0")
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        right = await enter(running(etcd.endpoints, etcd.prefix))
        others = [
            await enter(replica_process(etcd.endpoints, etcd.prefix, clock=tmp_path / name))
            for name in ("ahead", "behind", "jumps")
        ]
        for here in others:
            # An answer to this needs a picture of the store: from now on they see grants as they happen.
            with pytest.raises(errors.TenureError):
                await here.release(Hold(profile="nobodys", fencing_token=1))
        holds = [await hold_for(here, f"long{i}", HOUR_S // 2) for i, here in enumerate([right, *others])]
        (tmp_path / "jumps").write_text(str(2 * HOUR_S))
        # Suspected by those processes alone, so they have looked at the long ones too.
        right.watches_nobody()
        for i, here in enumerate(others):
            await until_overdue(right, here, f"short{i}")
        for hold in holds:
            await right.verify(hold)
        with pytest.raises(errors.ProfileBusy):
            await others[0].acquire("long2", await others[0].worker())
