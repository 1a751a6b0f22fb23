"""What every command shares: its address, its two ways to print, and how failures become exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

if TYPE_CHECKING:
    from tenure.errors import TenureError

OK, FAILED, USAGE, BUSY, AWAY, LOST, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

EXIT_CODES = (
    "Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 the profile is busy · "
    "4 Tenure, or a part of it, does not answer · 5 the hold was lost · 130 interrupted."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line, and nothing else.")]
Address = Annotated[
    str,
    typer.Option("--address", "-a", envvar="TENURE_ADDRESS", help="Where the gateway answers, host:port."),
]
DEFAULT_ADDRESS = "127.0.0.1:7433"


class Output:
    """Prints for people, or for programs."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=False)
        self.errors = Console(stderr=True, highlight=False)

    def show(self, value: Mapping[str, Any], *people: RenderableType) -> None:
        """Print `value` as one line of JSON, or the renderables for people."""
        if self.as_json:
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()
        else:
            for each in people:
                # A line is left to the terminal to wrap, so that what is copied from it is whole.
                self.console.print(each, soft_wrap=isinstance(each, Text))

    def say(self, line: str) -> None:
        """Tell of an event."""
        self.show({"event": "note", "text": line}, Text(line, style="dim"))

    def fail(self, reason: str, text: str, metadata: Mapping[str, str] | None = None) -> None:
        """Tell why the command failed."""
        if self.as_json:
            self.show({"error": {"reason": reason, "message": text, "metadata": dict(metadata or {})}})
        else:
            self.errors.print(Text.assemble((f"{reason}: ", "bold red"), text), soft_wrap=True)


def run(output: Output, work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command to its end and exit with its code; failures are told in one paragraph."""
    raise typer.Exit(_outcome(output, work))


def _outcome(output: Output, work: Coroutine[Any, Any, int | None]) -> int:
    # Here, because a command that needs no Tenure need not import gRPC.
    from tenure.child import StartFailed
    from tenure.dataroot import Taken
    from tenure.errors import Contended, HoldLost, TenureError, Unavailable
    from tenure.supervisor import CannotStart, Leftovers

    try:
        return asyncio.run(_cancelled_by_signals(work)) or OK
    except TenureError as error:
        output.fail(error.reason, str(error), _metadata(error))
        for kind, code in ((Contended, BUSY), (Unavailable, AWAY), (HoldLost, LOST)):
            if isinstance(error, kind):
                return code
    except Leftovers as error:
        output.fail("LEFTOVERS", str(error))
    except (CannotStart, Taken, StartFailed) as error:
        output.fail("CANNOT_START", str(error))
    except OSError as error:
        # A TimeoutError of ours has no words.
        output.fail("SYSTEM_ERROR", str(error) or "it took longer than it may; see how busy the machine is.")
    except (KeyboardInterrupt, asyncio.CancelledError):
        output.fail("INTERRUPTED", "stopped by a signal; what was open is closed.")
        return INTERRUPTED
    return FAILED


async def _cancelled_by_signals(work: Coroutine[Any, Any, int | None]) -> int | None:
    """Have SIGTERM and SIGHUP end a command as Ctrl-C does: cancelled, so that it closes what is open."""
    task = asyncio.current_task()
    assert task is not None
    for kind in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(kind, task.cancel)
    return await work


def _metadata(error: TenureError) -> dict[str, str]:
    """The fields of an error by the names that the API documents."""
    from google.rpc.error_details_pb2 import ErrorInfo

    info = ErrorInfo()
    error.to_status().details[0].Unpack(info)
    return dict(info.metadata)


@contextmanager
def signals(first: asyncio.Event, second: asyncio.Event | None = None) -> Iterator[None]:
    """Set `first` at SIGINT, SIGTERM or SIGHUP, and `second` when another one follows."""

    def arrived() -> None:
        if first.is_set() and second is not None:
            second.set()
        first.set()

    loop = asyncio.get_running_loop()
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for kind in kinds:
        loop.add_signal_handler(kind, arrived)
    try:
        yield
    finally:
        for kind in kinds:
            loop.remove_signal_handler(kind)
