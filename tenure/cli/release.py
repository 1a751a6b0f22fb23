"""`tenure release`: let go of a hold by its token."""

from __future__ import annotations

import enum
from typing import Annotated

import typer
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run


class ResultName(enum.StrEnum):
    """The results of a run as words of the command line."""

    SUCCEEDED = "succeeded"
    FAILED_UNTOUCHED = "failed-untouched"
    NEEDS_REVIEW = "needs-review"


def release(
    profile: Annotated[str, typer.Argument(help="The profile, as typed or by its name.")],
    token: Annotated[int, typer.Option("--token", "-t", help="The fencing token that the open answered.")],
    result: Annotated[
        ResultName,
        typer.Option(help="How the run ended; needs-review starts an incident and frees nothing."),
    ] = ResultName.SUCCEEDED,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Release a hold by its token, for example one that `tenure open --detach` left.

    Safe to repeat; a token that is not current any more changes nothing.

    Example: tenure release alice:linkedin --token 1234
    """
    output = Output(as_json)
    run(output, _release(output, address, profile, token, result))


async def _release(output: Output, address: str, profile: str, token: int, result: ResultName) -> None:
    from tenure.client import connect
    from tenure.hold import Result
    from tenure.v1 import hold_pb2

    async with connect(address) as client:
        answer = await client.release(profile, token, Result[result.name])
    state = hold_pb2.ProfileState.Name(answer.state).removeprefix("PROFILE_STATE_")
    line = f"{profile} is released; now it is {state}."
    if answer.already_released:
        line = f"Token {token} had been released before, and nothing was changed; {profile} is {state}."
    output.show(
        {"profile": profile, "state": state, "already_released": answer.already_released},
        Text(line),
    )
