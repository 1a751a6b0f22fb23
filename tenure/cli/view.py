"""`tenure view`: see a session as it goes on, and take it over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Annotated

import typer
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, USAGE, Address, Json, Output, run, signals

LISTEN_S = 5.0
"""How long to wait until it is heard what happens at an address."""
OPEN_S = 3600.0
"""How long the address of one who is to act may be opened, and opened again: as long as it may be at most."""
AGAIN_S = 1.0
"""How long to wait before it is listened again."""
REFUSALS = 30
"""After as many in a row nobody is to be heard there any more; a host that comes back takes less."""


def view(
    profile: Annotated[str, typer.Argument(help="The profile, for example alice:linkedin.")],
    control: Annotated[
        bool, typer.Option("--control", help="Take the session over, to drive it; its worker is cut off.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why it is taken over, for the record.")] = "",
    ttl: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds in which the address may be opened.")
    ] = 60,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Print an address where a person sees the profile's session, in any browser that reaches the gateway.

    The address carries a secret. Looking changes nothing. With --control the hold is transferred: the worker
    is told that its token was superseded, and you drive the browser until you click Done there, or Ctrl-C.

    Examples:

    tenure view alice:linkedin

    tenure view alice:linkedin --control --reason "a captcha"
    """
    output = Output(as_json)
    if control and not reason:
        output.fail("INVALID_FIELD", "--control needs --reason: it takes a worker's session from it.")
        raise typer.Exit(USAGE)
    run(
        output, _driven(output, address, profile, reason) if control else _seen(output, address, profile, ttl)
    )


async def _seen(output: Output, address: str, profile: str, ttl: float) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        url = await client.view_url(profile, ttl=ttl)
    facts = {"event": "view", "profile": profile, "url": url, "control": False}
    output.show(facts, Text(url), Text(f"Open it within {ttl:g} s. Looking changes nothing.", style="dim"))


async def _driven(output: Output, address: str, profile: str, reason: str) -> None:
    from tenure.client import connect
    from tenure.hold import Result

    async with connect(address) as client, client.take_over(profile, reason) as session:
        # A person who ends it here is content with it.
        session.result = Result.SUCCEEDED
        url = await session.view_url(control=True, ttl=OPEN_S)
        facts = {
            "event": "view",
            "profile": session.profile,
            "session": session.name,
            "fencing_token": session.fencing_token,
            "url": url,
            "control": True,
        }
        async with listening(url) as over:
            output.show(facts, *for_people(url))
            await over.wait()
    output.show({"event": "closed", "session": session.name}, Text("Released; the browser stays warm."))


def for_people(url: str) -> tuple[Text, Text]:
    """What a person who is to drive is told."""
    return Text(url, style="bold"), Text(
        f"Open it in a browser within {OPEN_S / 60:g} minutes, or again: it has a secret in it. "
        "Click Done there when you are, or press Ctrl-C here.",
        style="dim",
    )


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[asyncio.Event]:
    """Yields what is set once the person who drives at a view's address says Done there, or presses Ctrl-C
    here. It listens already by then, so that nobody can be too quick.
    """
    over, listens = asyncio.Event(), asyncio.Event()
    with signals(over):
        hearing = asyncio.create_task(_hear_done(url, listens, over))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LISTEN_S):
                    await listens.wait()
            yield over
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)


async def _hear_done(url: str, listens: asyncio.Event, over: asyncio.Event) -> None:
    import aiohttp

    refused = 0
    while refused < REFUSALS:
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/words") as socket:
                refused = 0
                listens.set()
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT and message.json()["type"] == "done":
                        over.set()
                        return
        except aiohttp.WSServerHandshakeError as answer:
            refused = refused + 1 if answer.status == HTTPStatus.NOT_FOUND else 0
        except (aiohttp.ClientError, OSError):
            pass
        # The host or the gateway went away; the hold's own end is told by whoever keeps it.
        await asyncio.sleep(AGAIN_S)
