"""`tenure move`: give a profile another home."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run


def move(
    profile: Annotated[str, typer.Argument(help="The profile, as typed or by its name.")],
    to: Annotated[str, typer.Option(help="Its new home, as `tenure host list` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    attest_destroyed: Annotated[
        bool,
        typer.Option(
            "--attest-destroyed",
            help="You vouch that the old home, which is not alive, is destroyed. The login is lost with it.",
        ),
    ] = False,
    etag: Annotated[str, typer.Option(help="Only what was read as this; as it is now when left out.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Move a free profile, with its login, to another host. For administrators.

    The old home closes its browser, the directory is copied and verified, and then the home is
    another. Until then the profile is where it was; safe to repeat and to interrupt.

    Example: tenure move alice:linkedin --to 3f1c --reason "the old machine goes away"
    """
    output = Output(as_json)
    run(output, _move(output, address, profile, to, reason, etag, attest_destroyed))


async def _move(
    output: Output, address: str, profile: str, to: str, reason: str, etag: str, attested: bool
) -> None:
    from tenure.client import connect

    began = time.monotonic()
    async with connect(address) as client:
        before = (await client.explain(profile)).profile.home.removeprefix("hosts/")
        line = f"Moving {profile} from {before or 'nowhere'} to {to.removeprefix('hosts/')} …"
        with nullcontext() if _unseen(output) else output.console.status(line):
            moved = await client.move(profile, to, reason, attest_destroyed=attested, etag=etag)
    took, home = time.monotonic() - began, moved.home.removeprefix("hosts/")
    fate = Text(f"{profile} is at home at {home} now, after {took:.1f} s. Its browser starts there.")
    if before == home:
        fate = Text(f"{profile} is at home at {home} already. Nothing was done.")
    elif attested and moved.used:
        fate = Text(f"{profile} is at home at {home} now, without its login: its next open says so.")
    output.show(
        {"profile": profile, "name": moved.name, "from": before, "home": home, "seconds": round(took, 3)},
        fate,
    )


def _unseen(output: Output) -> bool:
    """Whether nobody watches a line that moves."""
    return output.as_json or not output.console.is_terminal
