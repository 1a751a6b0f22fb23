"""A client whose wall clock jumps: its lease is counted by a clock that nobody sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

import tenure
from tenure import errors
from tests.tenure.fake_gateway import FakeGateway, fake_gateway


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    """Serves; the wall clock says an hour more once the test's first browser is open.

    Only ahead: gRPC in Python adds its timeouts to the clock that is faked here, and its core looks at the
    true one, so a call would be over before it began.
    """
    async with fake_gateway() as served:
        served.ttl = 4.5
        real, real_ns = time.time, time.time_ns

        def ahead() -> int:
            return 3600 if served.calls["OpenSession"] else 0

        monkeypatch.setattr(time, "time", lambda: real() + ahead())
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + ahead() * 10**9)
        yield served


async def test_a_lease_that_is_renewed_outlives_a_jump(gateway: FakeGateway) -> None:
    async with tenure.connect(gateway.target) as client, client.open("alice"):
        for _ in range(4):
            gateway.called["RenewWorker"].clear()
            await gateway.called["RenewWorker"].wait()


async def test_one_that_is_not_ends_when_it_does_and_not_an_hour_later(gateway: FakeGateway) -> None:
    gateway.ttl = 1.2
    gateway.stalled.add("RenewWorker")
    async with tenure.connect(gateway.target) as client:
        with pytest.raises(errors.LeaseExpired):
            async with client.open("alice"):
                await asyncio.Event().wait()
