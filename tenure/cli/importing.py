"""`tenure import`: a new profile from a user-data-dir of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run


def import_profile(
    profile: Annotated[str, typer.Argument(help="What the new profile is to be called.")],
    directory: Annotated[Path, typer.Argument(help="A user-data-dir that no browser runs on.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Bring in the login of a Chrome that was used elsewhere. For administrators.

    The directory is only read; its caches stay behind. It is inspected at the host, and refused when it
    is damaged or in use. Cookies that a desktop's keyring encrypted cannot be read anywhere else: they
    are counted and told.

    Example: tenure import alice:linkedin ~/.config/chromium --reason "her old desktop"
    """
    output = Output(as_json)
    run(output, _import(output, address, profile, directory, reason))


async def _import(output: Output, address: str, profile: str, directory: Path, reason: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        came = await client.import_profile(profile, directory, reason)
    snapshot = came.snapshot.name.rpartition("/")[2]
    told = {
        "profile": came.profile.name,
        "home": came.profile.home.removeprefix("hosts/"),
        "cookies": came.cookies,
        "unreadable_cookies": came.unreadable_cookies,
        "snapshot": snapshot,
        "findings": list(came.findings),
    }
    lines = [Text(f"{profile} is imported with {came.cookies} cookies, at home at {told['home']}.")]
    if came.unreadable_cookies:
        lost = (
            f"{came.unreadable_cookies} of them only the desktop they come from can read: Chrome drops those."
        )
        lines.append(Text(lost, style="yellow"))
    lines += [Text(f"To be said of it: {each}", style="dim") for each in came.findings]
    output.show(told, *lines)
