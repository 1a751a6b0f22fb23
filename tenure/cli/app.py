"""The commands, as one program. What a command needs beyond typer it imports when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

import tenure
from tenure.cli import (
    config,
    demo,
    doctor,
    files,
    host,
    importing,
    login,
    move,
    prewarm,
    profiles,
    release,
    review,
    revoke,
    session,
    snapshot,
    up,
    view,
    watch,
    why,
)
from tenure.cli.output import EXIT_CODES

app = typer.Typer(
    name="tenure",
    help="Safe, fast custody of real browser profiles.\n\n"
    "One profile has one owner at a time, in a real Chrome that stays warm between its runs.\n\n"
    "Begin with `tenure demo`, which shows it all on a site of its own, or with `tenure up`, "
    "and then `tenure open alice:linkedin` in another terminal.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tenure {tenure.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before a command."""


app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("open")(session.open_session)
app.command("prewarm")(prewarm.prewarm)
app.command("view")(view.view)
app.command("login")(login.login)
app.command("upload")(files.upload)
app.command("downloads")(files.downloads)
app.command("download")(files.download)
app.command("profiles")(profiles.profiles)
app.command("watch")(watch.watch)
app.command("why")(why.why)
app.command("release")(release.release)
app.command("revoke")(revoke.revoke)
app.add_typer(review.review)
app.add_typer(host.host)
app.command("move")(move.move)
app.add_typer(snapshot.snapshot)
app.command("import")(importing.import_profile)
app.command("config")(config.config)
app.command("doctor")(doctor.doctor)


def run() -> None:
    """Run the command line and exit."""
    app(prog_name="tenure")
