"""A browser host that stands still for longer than a proof lasts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from tenure.cdp import CdpClosed
from tenure.demo.site import DemoSite
from tenure.errors import HoldLost, HostUnreachable, from_rpc_error
from tenure.v1.hold_service_pb2 import ReleaseHoldRequest
from tenure.v1.hold_service_pb2_grpc import HoldServiceStub
from tests.fixtures.census import Census
from tests.fixtures.faults import AN_INCIDENT, Holder, Thief, still_signed_in, warm
from tests.fixtures.system import RunningSystem

pytestmark = pytest.mark.timeout(180)

HELD, WARM = "alice:shop", "bob:shop"
ORDER = "fetch('/checkout', {method: 'POST'}).then(answer => answer.status)"


@pytest.fixture
async def site() -> AsyncIterator[DemoSite]:
    async with DemoSite() as opened:
        yield opened


async def test_what_reached_a_frozen_host_is_not_done_once_the_hold_has_ended(
    system: RunningSystem, site: DemoSite
) -> None:
    await warm(system, site, WARM)
    async with Holder.on(system, site, HELD) as holder, Thief(system, HELD) as thief:
        assert await holder.page.evaluate(ORDER) == 200
        assert site.orders[HELD] == 1
        census, host = Census(system), system.part("browserhost")
        os.kill(host, signal.SIGSTOP)
        try:
            late = asyncio.create_task(holder.page.evaluate(ORDER, timeout=60))
            request = ReleaseHoldRequest(profile=HELD, fencing_token=holder.session.fencing_token)
            async with grpc.aio.insecure_channel(system.gateway) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await HoldServiceStub(channel).ReleaseHold(request, timeout=60)
            refusal = from_rpc_error(refused.value)
            assert isinstance(refusal, HostUnreachable), refusal
            assert "became suspect" in str(refusal)
            await thief.hears(*AN_INCIDENT)
            assert not late.done()
        finally:
            os.kill(host, signal.SIGCONT)
        with pytest.raises((HoldLost, CdpClosed)):
            await late
        await still_signed_in(system, site, WARM)
        await thief.hears(*AN_INCIDENT)
        assert site.orders[HELD] == 1
        await census.no_strays()
