"""`tenure prewarm`: have a profile's browser launched before somebody needs it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run


def prewarm(
    profile: Annotated[str, typer.Argument(help="The profile, as typed or by its name.")],
    proxy_city: Annotated[str, typer.Option(help="City of the proxy, for example miami.")] = "",
    proxy_state: Annotated[str, typer.Option(help="State of the proxy, for example fl.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Launch the browser of a profile that nobody holds, so that the next open pays no launch.

    It stays until it is used, or its host needs the room. Safe to repeat: a warm browser with the same
    proxy stays.

    Example: tenure prewarm alice:linkedin
    """
    output = Output(as_json)
    run(output, _prewarm(output, address, profile, proxy_city, proxy_state))


async def _prewarm(output: Output, address: str, profile: str, city: str, state: str) -> None:
    from tenure.client import connect
    from tenure.v1.session_pb2 import Proxy

    async with connect(address) as client:
        answer = await client.prewarm(profile, Proxy(city=city, state=state) if city or state else None)
    line = f"A browser is ready for {profile}."
    if answer.already_warm:
        line = f"A browser was ready for {profile} before."
    elif not answer.prewarmed:
        line = f"The host of {profile} launches no browser ahead (--prewarm disabled)."
    output.show(
        {"profile": profile, "prewarmed": answer.prewarmed, "already_warm": answer.already_warm}, Text(line)
    )
