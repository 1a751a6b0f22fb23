"""`tenure review`: incidents, and a person's verdict on them."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from tenure.cli.layout import state_text
from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenure.client import Client
    from tenure.v1.incident_pb2 import EvidenceItem

review = typer.Typer(
    name="review",
    help="Look at incidents and decide them.\n\n"
    "A hold that ended without a release is an incident: recovery cuts the old worker off, looks at the "
    "profile and decides, or leaves it to you. `list` shows what waits, `show` all that is known, "
    "`resolve` decides.",
    no_args_is_help=True,
)
IncidentArgument = Annotated[
    str, typer.Argument(help="The incident's name, or a profile, which stands for its incident at work.")
]


class OutcomeName(enum.StrEnum):
    """What a person can decide, as words of the command line."""

    AVAILABLE = "available"
    RETRY = "retry"
    RESUME_PENDING = "resume-pending"
    DISABLED = "disabled"


@review.command("list")
def list_incidents(
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 100,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List the incidents that are not over: recovery is at work, or a person must decide.

    Example: tenure review list --all --json
    """
    output = Output(as_json)
    run(output, _list(output, address, every, limit))


@review.command("show")
def show(
    incident: IncidentArgument,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the pictures to this folder.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show all that is known of an incident, and what you can decide.

    When each thing happened, where the browser was, the step, the screenshots, the proxy, the
    state of the profile's directory, the checkpoint, and what recovery made of it.

    Example: tenure review show alice:linkedin --save /tmp/evidence
    """
    output = Output(as_json)
    run(output, _show(output, address, incident, save))


@review.command("resolve")
def resolve(
    incident: IncidentArgument,
    outcome: Annotated[OutcomeName, typer.Option(help="What becomes of the profile.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    attest_destroyed: Annotated[
        bool,
        typer.Option(
            "--attest-destroyed",
            help="You vouch that the old browser is destroyed: needed where its host never said so.",
        ),
    ] = False,
    etag: Annotated[
        str, typer.Option(help="Decide only what was read as this; read now when left out.")
    ] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Decide an incident that waits for a person.

    available frees the profile; retry frees it for its task to start over; resume-pending keeps
    it for its workflow to go on from its checkpoint; disabled takes it out of use. Refused when
    something changed since it was read.

    Example: tenure review resolve alice:linkedin --outcome available --reason "no order was placed"
    """
    output = Output(as_json)
    run(output, _resolve(output, address, incident, outcome.name, reason, etag, attest_destroyed))


async def _list(output: Output, address: str, every: bool, limit: int) -> None:
    from tenure.cli.incident import facts, summary
    from tenure.client import connect

    async with connect(address) as client:
        found = await client.incidents(open_only=not every, limit=limit)
    if output.as_json:
        for each in found:
            output.show(facts(each))
        return
    if not found:
        output.say("No incident waits." if not every else "There was no incident yet.")
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("since", "profile", "token", "state", "cause"):
        table.add_column(column, no_wrap=column != "cause", overflow="fold")
    for each in found:
        since, profile, token, state, cause = summary(each)
        table.add_row(since, Text(profile), token, state_text(state), Text(cause))
    output.console.print(table)


async def _show(output: Output, address: str, incident: str, save: Path | None) -> None:
    from tenure.cli.incident import choices, facts, story
    from tenure.client import connect

    async with connect(address) as client:
        found = await client.incident(await _name(client, incident))
        items = await client.evidence(found.name)
        saved = {} if save is None else await _save(client, items, save)
    output.show(
        {**facts(found), "items": [facts(item) for item in items], "saved": saved},
        *story(found, items, saved, output.console),
        *choices(found, output.console),
    )


async def _resolve(
    output: Output, address: str, incident: str, outcome: str, reason: str, etag: str, attested: bool
) -> None:
    from tenure.cli.incident import facts, state_of, story
    from tenure.client import connect
    from tenure.v1.incident_pb2 import Outcome

    async with connect(address) as client:
        name = await _name(client, incident)
        if not etag:
            read = await client.incident(name)
            etag = read.etag
            if not output.as_json:
                output.console.print(*story(read, (), {}, output.console), sep="\n")
        resolved = await client.resolve(
            name, Outcome.Value(f"OUTCOME_{outcome}"), reason, etag=etag, attest_destroyed=attested
        )
    output.show(
        facts(resolved), Text.assemble(f"{name} is resolved. Its profile is ", state_text(state_of(resolved)))
    )


async def _name(client: Client, text: str) -> str:
    """The incident that a person means. Raises NotFound."""
    from tenure.errors import NotFound

    if "/incidents/" in text:
        return text
    profile = (await client.explain(text)).profile
    if not profile.incident:
        problem = f"{text} has no incident at work. `tenure review list --all` has those that are over."
        raise NotFound(problem, name=text)
    return profile.incident


async def _save(client: Client, items: Sequence[EvidenceItem], folder: Path) -> Mapping[str, str]:
    """Write the pictures; the file of each item, by its name."""
    from tenure.cli.incident import file_name

    folder.mkdir(parents=True, exist_ok=True)
    saved = {}
    for item in items:
        if item.media_type.startswith("image/"):
            path = folder / file_name(item)
            path.write_bytes(await client.read_evidence(item.name))
            saved[item.name] = str(path)
    return saved
