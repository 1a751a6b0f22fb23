"""Keeps this host known to the lock service, with how much room it has and what is warm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from servicekit.channels import Channels
from tenure.errors import LeaseExpired, TenureError
from tenure.internal.v1.lock_service_pb2 import RegisterHostRequest, RenewHostRequest
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.v1.host_pb2 import Host, HostState

ANSWER_S = 4.0
_RETRY_S = 0.5
_LONGEST_WAIT_S = 2.0

_log = structlog.get_logger("registrar")


async def keep_registered(
    stub: LockServiceStub,
    channels: Channels,
    facts: Callable[[], Host],
    registered: Callable[[], Awaitable[None]],
    scheduled: Callable[[HostState.ValueType], None],
) -> None:
    """Register, renew at a third of the lease's time, register anew when it was lost; until cancelled.

    `facts` gives the host as it stands now; `registered` is called after each registration, `scheduled`
    with what each answer says of how the host is scheduled.
    """
    registration, pause = 0, _RETRY_S
    while True:
        try:
            if registration:
                renew = RenewHostRequest(registration=registration, host=facts())
                renewed = await channels.invoke(stub.RenewHost, renew, timeout=ANSWER_S)
                ttl, state = renewed.ttl, renewed.state
            else:
                register = RegisterHostRequest(host=facts())
                answer = await channels.invoke(stub.RegisterHost, register, timeout=ANSWER_S)
                registration, ttl, state = answer.registration, answer.ttl, answer.state
                _log.info("registered", host=register.host.name, address=register.host.address)
                await registered()
            scheduled(state)
            # Soon after something changed the gateway should see it: warm profiles route.
            pause = min(ttl.ToNanoseconds() / 1e9 / 3, _LONGEST_WAIT_S)
        except LeaseExpired:
            registration, pause = 0, 0.0
        except TenureError as error:
            _log.warning("not registered" if not registration else "not renewed", why=str(error))
            pause = _RETRY_S
        await asyncio.sleep(pause)
