"""`tenure snapshot`: copies of a profile's login, and putting one back."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from tenure.cli.layout import clock, moment
from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run

if TYPE_CHECKING:
    from tenure.v1.profile_pb2 import Snapshot

snapshot = typer.Typer(
    name="snapshot",
    help="See the copies of a profile's login, take one, put one back.\n\n"
    "A host takes them by itself of what was closed cleanly, and counts only what it has unpacked again and "
    "found equal. One is put back by a person's word only.",
    no_args_is_help=True,
)
Profile = Annotated[str, typer.Argument(help="The profile, for example alice:linkedin.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


@snapshot.command("list")
def list_snapshots(profile: Profile, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List a profile's snapshots, newest first: when, of what, how many cookies, and what is to be said.

    Example: tenure snapshot list alice:linkedin
    """
    output = Output(as_json)
    run(output, _list(output, address, profile))


@snapshot.command("take")
def take(profile: Profile, reason: Reason, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Close a free profile's browser, take a snapshot and verify it. For administrators.

    Example: tenure snapshot take alice:linkedin --reason "before the site's new sign-in"
    """
    output = Output(as_json)
    run(output, _take(output, address, profile, reason))


@snapshot.command("restore")
def restore(
    profile: Profile,
    wanted: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Its id, as `snapshot list` shows it.")],
    reason: Reason,
    etag: Annotated[str, typer.Option(help="Only what was read as this; as it is now when left out.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Put a snapshot in the place of a profile's directory, which is put aside, never deleted.

    Only while the profile is DISABLED or in MANUAL_REVIEW: take it out of use first, and back afterwards, or
    decide its review. For reviewers and administrators; safe to repeat.

    Example: tenure snapshot restore alice:linkedin 0000000000000041-0 --reason "cookies were razed"
    """
    output = Output(as_json)
    run(output, _restore(output, address, profile, wanted, reason, etag))


async def _list(output: Output, address: str, profile: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        found = await client.snapshots(profile)
    if output.as_json:
        for each in found:
            output.show(facts(each))
        return
    if not found:
        output.say(f"{profile} has no snapshot.")
        return
    now = datetime.now(UTC)
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("snapshot", "taken", "why", "cookies", "size", "to be said"):
        table.add_column(column, no_wrap=column not in ("taken", "to be said"), overflow="fold")
    for each in found:
        told = facts(each)
        cookies = "?" if told["cookies"] is None else str(told["cookies"])
        said = "; ".join(told["findings"])
        when = clock(moment(each.create_time), now)
        table.add_row(told["snapshot"], when, told["cause"], cookies, _size(told["stored_bytes"]), Text(said))
    output.console.print(table)


async def _take(output: Output, address: str, profile: str, reason: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        told = facts(await client.take_snapshot(profile, reason))
    words = (
        f"{told['snapshot']} is taken and verified: {told['cookies']} cookies, {_size(told['stored_bytes'])}."
    )
    output.show(told, Text(words))


async def _restore(output: Output, address: str, profile: str, wanted: str, reason: str, etag: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        if "/" not in wanted:
            found = (await client.explain(profile)).profile.name
            wanted = f"{found}/snapshots/{wanted}"
        restored = await client.restore(profile, wanted, reason, etag=etag)
    aside = restored.put_aside
    text = f"{profile} has the login of {wanted.rpartition('/')[2]} again."
    text += f" What was there is at {aside}, on its host." if aside else ""
    text += f" It stays out of use until you say so: tenure why {shlex.quote(profile)}"
    output.show({"profile": restored.profile.name, "snapshot": wanted, "put_aside": aside}, Text(text))


def facts(told: Snapshot) -> dict[str, Any]:
    """A snapshot as JSON tells it."""
    from tenure.v1 import profile_pb2

    return {
        "snapshot": told.name.rpartition("/")[2],
        "name": told.name,
        "generation": told.generation,
        "taken": told.create_time.ToJsonString(),
        "verified": told.HasField("verify_time"),
        "cause": profile_pb2.SnapshotCause.Name(told.cause).removeprefix("SNAPSHOT_CAUSE_"),
        "cookies": told.cookies if told.HasField("cookies") else None,
        "size_bytes": told.size_bytes,
        "stored_bytes": told.stored_bytes,
        "chrome_version": told.chrome_version,
        "findings": list(told.findings),
        "host": told.host.removeprefix("hosts/"),
    }


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
