"""A worker as a process of its own: takes orders as JSON lines and answers each with one.

    python -m tenure.demo.worker 127.0.0.1:7433 LEASE_SECONDS

It works as a worker does, with the SDK, which ends the work when the hold is lost; that is one line too. What
it is ordered after that it tries with the bare API and an old connection, as a program that does not know.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio

from tenure.cdp import CdpClosed
from tenure.client import connect
from tenure.errors import HoldLost, TenureError
from tenure.page import Page
from tenure.retry import call
from tenure.session import Session
from tenure.v1 import (
    hold_service_pb2,
    hold_service_pb2_grpc,
    session_pb2,
    session_service_pb2,
    session_service_pb2_grpc,
)

Order = dict[str, Any]
Orders = asyncio.Queue[Order | None]
Doing = Callable[[Order], Awaitable[Order]]
_TIMEOUT_S = 20.0


class Work:
    """What it does while it holds the profile. A step that began ends with the next one's order."""

    def __init__(self, session: Session, page: Page, steps: AsyncExitStack) -> None:
        self._session = session
        self._page = page
        self._steps = steps

    async def go(self, order: Order) -> Order:
        await self._page.navigate(order["url"])
        return {"url": await self._page.evaluate("location.href")}

    async def step(self, order: Order) -> Order:
        await self.finish(order)
        step = await self._steps.enter_async_context(
            self._session.step(order["name"], sensitive=order["sensitive"])
        )
        return {"seq": step.seq}

    async def finish(self, order: Order) -> Order:
        await self._steps.aclose()
        return {}

    async def checkpoint(self, order: Order) -> Order:
        await self._session.checkpoint(order["step"], order["payload"].encode(), safe=True)
        return {}


class Afterwards:
    """What it tries once its hold is lost, as if it did not know."""

    def __init__(self, channel: grpc.aio.Channel, session: Session, page: Page) -> None:
        self._holds = hold_service_pb2_grpc.HoldServiceStub(channel)
        self._sessions = session_service_pb2_grpc.SessionServiceStub(channel)
        self._session = session
        self._page = page

    async def step(self, order: Order) -> Order:
        request = hold_service_pb2.StartStepRequest(
            profile=self._session.profile,
            fencing_token=self._session.fencing_token,
            name=order["name"],
            sensitive=order["sensitive"],
        )
        await call(self._holds.StartStep, request, timeout=_TIMEOUT_S)
        return {}

    async def act(self, order: Order) -> Order:
        request = session_service_pb2.ActRequest(
            session=self._session.name,
            fencing_token=self._session.fencing_token,
            actions=[session_pb2.Action(click=session_pb2.Click(x=order["x"], y=order["y"]))],
        )
        await call(self._sessions.Act, request, timeout=_TIMEOUT_S)
        return {}

    async def frame(self, order: Order) -> Order:
        await self._page.click(order["selector"])
        return {}


async def work(gateway: str, lease_s: float, orders: Orders) -> None:
    """Hold what the first order names until it is lost; then do what one who does not know of it would."""
    async with AsyncExitStack() as beyond, connect(gateway, lease_ttl=lease_s) as client:
        channel = await beyond.enter_async_context(grpc.aio.insecure_channel(gateway))
        if (first := await orders.get()) is None:
            return
        first.pop("order")
        afterwards = None
        try:
            async with client.open(**first) as session, AsyncExitStack() as steps:
                # A connection of its own: it outlives the body, as a socket in another program would.
                old_page = await beyond.enter_async_context(Page.attach(session.cdp_url))
                doing = Work(session, await session.cdp(), steps)
                afterwards = Afterwards(channel, session, old_page)
                say({"fencing_token": session.fencing_token, "session": session.name})
                await obey(
                    orders, {name: getattr(doing, name) for name in ("go", "step", "finish", "checkpoint")}
                )
                return
        except HoldLost as lost:
            if afterwards is None:
                raise
            say({"lost": lost.reason})
        await obey(orders, {name: getattr(afterwards, name) for name in ("step", "act", "frame")})


async def obey(orders: Orders, doing: dict[str, Doing]) -> None:
    """Do as ordered until nobody orders any more. A lost hold ends it by cancelling the task."""
    while (order := await orders.get()) is not None:
        try:
            say(await doing[order["order"]](order))
        except (TenureError, CdpClosed) as refused:
            say({"refused": refused.reason, "text": str(refused)})


def say(what: Order) -> None:
    print(json.dumps(what), flush=True)


async def main() -> None:
    orders: Orders = asyncio.Queue()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def listen() -> None:
        async for line in reader:
            orders.put_nowait(json.loads(line))
        orders.put_nowait(None)

    listening = asyncio.create_task(listen())
    try:
        await work(sys.argv[1], float(sys.argv[2]), orders)
    except TenureError as error:
        say({"failed": f"{error.reason}: {error}"})
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
