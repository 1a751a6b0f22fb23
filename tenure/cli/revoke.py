"""`tenure revoke`: take a profile from a worker that must stop."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run


def revoke(
    profile: Annotated[str, typer.Argument(help="The profile, as typed or by its name.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    token: Annotated[
        int | None, typer.Option("--token", "-t", help="Only the hold with this token; else the current one.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Take a profile from its worker, at once. Starts an incident and frees nothing.

    The worker's next call, action or DevTools frame is refused; a person decides what becomes
    of the profile. For administrators. With --token it is safe to repeat.

    Example: tenure revoke alice:linkedin --reason "it orders everything twice"
    """
    output = Output(as_json)
    run(output, _revoke(output, address, profile, reason, token))


async def _revoke(output: Output, address: str, profile: str, reason: str, token: int | None) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        incident = await client.revoke(profile, reason, fencing_token=token)
    output.show(
        {"profile": profile, "incident": incident},
        Text(f"{profile} is taken from its worker. Incident {incident}."),
        Text(f"See what becomes of it: tenure why {profile}", style="dim"),
    )
