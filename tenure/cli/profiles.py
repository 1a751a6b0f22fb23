"""`tenure profiles`: who has what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from tenure.cli.layout import state_text
from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run

if TYPE_CHECKING:
    from tenure.v1.profile_pb2 import Profile

_COLUMNS = {
    "profile": "profile",
    "state": "state",
    "held by, or kept for": "whose",
    "token": "fencing_token",
    "waiting": "waiters",
    "cookies on disk at": "flushed_at",
}


def profiles(address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the profiles: state, who holds each, how many wait, what each is kept for.

    `tenure why PROFILE` says more of one.

    Example: tenure profiles --json | jq -r .profile
    """
    output = Output(as_json)
    run(output, _profiles(output, address))


async def _profiles(output: Output, address: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        found = await client.profiles()
    rows = [facts(profile) for profile in found]
    if output.as_json:
        for row in rows:
            output.show(row)
        return
    if not rows:
        output.say("No profile was opened yet. Try: tenure open alice:linkedin")
        return
    output.console.print(table_of(rows))


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """Profiles for people, at least one."""
    rows = [{**row, "whose": _whose(row)} for row in rows]
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name, column in _COLUMNS.items():
        # Where room is short the run's name, which may be anything, gives way.
        widest = max(len(name), *(len(str(row[column])) for row in rows))
        table.add_column(name, no_wrap=True, min_width=None if column == "whose" else widest)
    for row in rows:
        cells = [Text(str(row[column] or "")) for column in _COLUMNS.values()]
        cells[1] = state_text(row["state"])
        table.add_row(*cells)
    return table


def facts(profile: Profile) -> dict[str, Any]:
    """A profile for programs."""
    from tenure.v1 import hold_pb2

    state = hold_pb2.ProfileState.Name(profile.state).removeprefix("PROFILE_STATE_")
    flushed = profile.flushed_at.ToDatetime().strftime("%F %TZ") if profile.HasField("flushed_at") else ""
    return {
        "profile": profile.name.rpartition("/")[2],
        "name": profile.name,
        "as_sent": profile.as_sent,
        "state": state,
        "run_id": profile.hold.run_id,
        "fencing_token": profile.hold.fencing_token,
        "waiters": profile.waiters,
        "home": profile.home.removeprefix("hosts/"),
        "flushed_at": flushed,
        "workflow_id": profile.workflow_id,
        "incident": profile.incident,
    }


def _whose(row: dict[str, Any]) -> str:
    """Who holds it, or else what it waits for."""
    if row["workflow_id"]:
        return f"workflow {row['workflow_id']}"
    if row["incident"]:
        return f"incident {row['incident'].rpartition('/')[2]}"
    return str(row["run_id"])
