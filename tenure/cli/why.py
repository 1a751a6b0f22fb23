"""`tenure why`: what a profile waits for, and what to do about it."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tenure.cli.layout import clock, distance, folded, grid, moment, state_text
from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run

if TYPE_CHECKING:
    from tenure.client import Client
    from tenure.v1.profile_pb2 import Advice
    from tenure.v1.profile_service_pb2 import ExplainProfileResponse


def why(
    profile: Annotated[str, typer.Argument(help="The profile, for example alice:linkedin.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say why a profile is as it is, what happens next by itself, and what you can do.

    The state and since when, who holds it and whether that worker lives, the step that goes
    on, the queue; the commands at the end are ready to paste. Changes nothing.

    Example: tenure why alice:linkedin
    """
    output = Output(as_json)
    run(output, _why(output, address, profile))


async def _why(output: Output, address: str, profile: str) -> None:
    from google.protobuf.json_format import MessageToDict

    from tenure.client import connect

    async with connect(address) as client:
        explained = await client.explain(profile)
        restore = await _restorable(client, profile, explained)
    explained.advice.extend(restore)
    for advice in explained.advice:
        # The service does not know where its callers find the gateway.
        advice.command = advice.command.replace(f" {DEFAULT_ADDRESS} ", f" {shlex.quote(address)} ")
    facts = MessageToDict(explained, preserving_proto_field_name=True)
    output.show(facts, *_for_people(output, explained, datetime.now(UTC)))


async def _restorable(client: Client, profile: str, explained: ExplainProfileResponse) -> list[Advice]:
    """How to put the newest snapshot back, where a person has the profile and may have to.

    Not from the service that explains: only the profile's home knows its snapshots.
    """
    from tenure.errors import TenureError
    from tenure.v1 import hold_pb2
    from tenure.v1.profile_pb2 import Advice

    if explained.profile.state not in (
        hold_pb2.PROFILE_STATE_DISABLED,
        hold_pb2.PROFILE_STATE_MANUAL_REVIEW,
    ):
        return []
    try:
        found = [each for each in await client.snapshots(profile) if each.HasField("verify_time")]
    except TenureError:
        # Its home may be what is wrong.
        return []
    if not found:
        return []
    newest = found[0]
    name = newest.name.rpartition("/")[2]
    cookies = f"{newest.cookies} cookies" if newest.HasField("cookies") else "its cookies not counted"
    line = f"tenure snapshot restore {shlex.quote(profile)} {name} --reason 'WHY, for the record'"
    return [
        Advice(
            text=f"If its directory is damaged or missing, put the newest good snapshot back: {cookies}, "
            f"taken {newest.create_time.ToJsonString()}",
            command=f"{line} --address {DEFAULT_ADDRESS} --etag {explained.profile.etag}",
        )
    ]


def _for_people(output: Output, explained: ExplainProfileResponse, now: datetime) -> list[RenderableType]:
    from tenure.v1 import hold_pb2

    profile = explained.profile
    state = hold_pb2.ProfileState.Name(profile.state).removeprefix("PROFILE_STATE_")
    since = moment(profile.state_time)
    headline = Text.assemble(
        (profile.as_sent or profile.name, "bold"), " is ", state_text(state), f" since {clock(since, now)}"
    )
    headline.append(f", {distance(since, now)}.", style="dim")
    when = ""
    if explained.HasField("next_time"):
        at = moment(explained.next_time)
        when = f"{clock(at, now)}, {distance(at, now)}"
    rows: list[tuple[str, str | Text]] = [
        ("name", profile.name),
        ("run", _holder(explained)),
        ("step", _step(explained, now)),
        ("queue", _queue(explained, now)),
        ("why", explained.cause),
        ("moved", _moved(explained, now)),
        ("next", explained.next),
        ("by", when),
    ]
    shown: list[RenderableType] = [headline, grid(rows, output.console)]
    if explained.advice:
        shown.append(Text("What can be done", style="bold"))
    for advice in explained.advice:
        shown.append(grid([("·", f"{advice.text}{':' if advice.command else '.'}")], output.console))
        if advice.command:
            shown.append(Text(folded(advice.command)))
    if profile.incident:
        line = f"tenure review show {shlex.quote(profile.as_sent or profile.name)}"
        shown.append(Text.assemble(("All that is known of the incident: ", "dim"), line))
    return shown


def _holder(explained: ExplainProfileResponse) -> str:
    from tenure.duration import to_seconds

    if not explained.HasField("hold"):
        return ""
    hold = explained.hold
    text = f"{hold.run_id}, token {hold.fencing_token}, of {hold.worker}"
    if not explained.HasField("worker_alive"):
        return text
    if not explained.worker_alive:
        return f"{text}, whose lease has ended"
    if hold.HasField("lease_remaining"):
        return f"{text}, whose lease lives for {to_seconds(hold.lease_remaining):.0f} s at least"
    return f"{text}, whose lease lives"


def _step(explained: ExplainProfileResponse, now: datetime) -> str:
    if not explained.HasField("step"):
        return ""
    step = explained.step
    declared = (
        ("sensitive" if step.sensitive else "not sensitive") if step.HasField("sensitive") else "undeclared"
    )
    return f"{step.seq}. {step.name} ({declared}), since {clock(moment(step.start_time), now)}"


def _moved(explained: ExplainProfileResponse, now: datetime) -> str:
    if not explained.HasField("last_move"):
        return ""
    move = explained.last_move
    origin = f"from {move.from_home.removeprefix('hosts/')} " if move.from_home else ""
    when = clock(moment(move.move_time), now)
    text = f"{origin}to {move.to_home.removeprefix('hosts/')}, {when}, by {move.by}: {move.reason}"
    return f"{text} (the old home was attested destroyed)" if move.attested_destroyed else text


def _queue(explained: ExplainProfileResponse, now: datetime) -> str:
    return "\n".join(
        f"{each.position}. {each.run_id}, waits since {clock(moment(each.since), now)}"
        for each in explained.queue
    )
