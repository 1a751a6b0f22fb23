"""`tenure view`: see a session as it goes on, and take it over."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, USAGE, Address, Json, Output, run, signals

OPEN_S = 600.0
"""How long the address of one who is to act may be opened."""


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
        output.show(facts, *for_people(url))
        await done(url)
    output.show({"event": "closed", "session": session.name}, Text("Released; the browser stays warm."))


def for_people(url: str) -> tuple[Text, Text]:
    """What a person who is to drive is told."""
    return Text(url, style="bold"), Text(
        f"Open it in a browser within {OPEN_S / 60:g} minutes: it has a secret in it. "
        "Click Done there when you are, or press Ctrl-C here.",
        style="dim",
    )


async def done(url: str) -> None:
    """Return when the person who drives at a view's address says so there, or here with Ctrl-C."""
    stop = asyncio.Event()
    with signals(stop):
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(_says_done(url))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


async def _says_done(url: str) -> None:
    import aiohttp

    while True:
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/words") as socket:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT and message.json()["type"] == "done":
                        return
        except (aiohttp.ClientError, OSError):
            pass
        # The host or the gateway went away; the hold's own end is told by whoever keeps it.
        await asyncio.sleep(1)
