"""`tenure upload`, `downloads`, `download`: the files of the session that is open on a profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run

if TYPE_CHECKING:
    from tenure.files import Progress
    from tenure.v1.session_pb2 import Download

_LONG = 8 << 20
"""Bytes from which on one likes to see that something moves."""

Profile = Annotated[str, typer.Argument(help="The profile, for example alice:linkedin.")]


def upload(
    profile: Profile,
    file: Annotated[Path, typer.Argument(help="What to give to its browser.", exists=True, dir_okay=False)],
    name: Annotated[str, typer.Option(help="What it is called there; its own name when left out.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Put a file where the pages of a profile's session may choose it. It is gone with the session.

    Prints the path that a file input is given: Playwright's set_input_files over DevTools takes it.

    Example: tenure upload alice:linkedin cv.pdf
    """
    output = Output(as_json)
    run(output, _upload(output, address, profile, file, name))


def downloads(profile: Profile, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List what the browser of a profile's session has downloaded.

    Example: tenure downloads alice:linkedin
    """
    output = Output(as_json)
    run(output, _downloads(output, address, profile))


def download(
    profile: Profile,
    file: Annotated[str, typer.Argument(help="Its name as listed; of several, the newest whole one.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="A file, or a directory to put it in under its name; here when left out."),
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Fetch what the browser of a profile's session has downloaded.

    Example: tenure download alice:linkedin invoice.pdf --to /tmp/invoice.pdf
    """
    output = Output(as_json)
    run(output, _download(output, address, profile, file, to))


async def _upload(output: Output, address: str, profile: str, file: Path, name: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        files = await client.files(profile)
        with _shown(output, f"to {profile}") as progress:
            done = await files.upload(file, name, progress)
    told = {"path": done.path, "size": done.size, "sha256": done.sha256.hex()}
    output.show(told, Text(done.path), Text(f"{decimal(done.size)}, gone with the session.", style="dim"))


async def _downloads(output: Output, address: str, profile: str) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        found = await (await client.files(profile)).list()
    if output.as_json:
        for each in found:
            output.show(_facts(each))
    else:
        output.show({}, _table(found) if found else Text("Nothing has been downloaded.", style="dim"))


async def _download(output: Output, address: str, profile: str, file: str, to: Path | None) -> None:
    from tenure.client import connect

    async with connect(address) as client:
        files = await client.files(profile)
        found = await files.find(file)
        place = _place(found, to)
        with _shown(output, f"from {profile}") as progress:
            await files.download(found.file, place, progress)
    output.show({**_facts(found), "to": str(place)}, Text(f"{place} ({decimal(found.size)})"))


def _table(found: Iterable[Download]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("NAME", "SIZE", "STATE", "FROM", "FILE"):
        table.add_column(title, overflow="fold")
    for each in found:
        # The name and the address are the site's: nothing in them is markup.
        words = (each.suggested_name, decimal(each.size), _facts(each)["state"], each.url, each.file)
        table.add_row(*map(Text, words))
    return table


def _place(found: Download, to: Path | None) -> Path:
    """Where a download goes: `to`, or in it when it is a directory. Raises FileExistsError."""
    if to is not None and not to.is_dir():
        return to
    # The name is the site's: only its last part is taken, and nothing is written over.
    place = (to or Path()) / Path(found.suggested_name or found.file).name
    if place.exists():
        raise FileExistsError(f"{place} is there already: say --to")
    return place


@contextmanager
def _shown(output: Output, what: str) -> Iterator[Progress]:
    """How far it is, on a terminal, for what is long."""
    if output.as_json or not output.errors.is_terminal:
        yield lambda done, whole: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=output.errors, transient=True) as bar:
        task = bar.add_task(what, visible=False)

        def moved(done: int, whole: int) -> None:
            bar.update(task, completed=done, total=whole, visible=whole > _LONG)

        yield moved


def _facts(download: Download) -> dict[str, Any]:
    from tenure.v1.session_pb2 import DownloadEnd

    ended = DownloadEnd.Name(download.end).removeprefix("DOWNLOAD_END_")
    return {
        "file": download.file,
        "name": download.suggested_name,
        "size": download.size,
        "state": "COMPLETE" if download.complete else "RUNNING" if not download.end else ended,
        "url": download.url,
    }
