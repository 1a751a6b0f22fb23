"""The outermost frame of a service's process: settings, logs, event loop, signals.

Signals are known only here. SIGTERM and SIGINT set the shutdown event that the service
waits for; a second SIGINT ends the process at once, for a person who will not wait. SIGUSR2
sets it too, and says that somebody takes over what the service has.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

import structlog
import uvloop

from servicekit import logs
from servicekit.server import CannotStart
from servicekit.settings import ServiceSettings, load

Settings = TypeVar("Settings", bound=ServiceSettings)

# A call makes some hundreds of objects that reference counts free. Python's default of 700 looks for cycles
# among them at every other call, for a quarter of all the time that calls take.
GC_THRESHOLD = 10_000

EXIT_FAILED = 1
EXIT_HARD = 130


class Shutdown(asyncio.Event):
    """Set when the service is to end; `handing_over` says whether to leave to a next one what it can."""

    handing_over = False


def run(
    service: str,
    settings_type: type[Settings],
    serve: Callable[[Settings, Shutdown], Awaitable[None]],
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Run `serve(settings, shutdown)` to its end and exit: 0 well, 1 failed, 2 bad settings.

    `argv`: the flags, where they are not all that the process was started with.
    """
    flags = sys.argv[1:] if argv is None else argv
    settings = load(settings_type, flags, os.environ, program=f"python -m {service}")
    logs.configure(service, settings.log_level, settings.log_format)
    log = structlog.get_logger("main")
    gc.set_threshold(GC_THRESHOLD)
    # Modules stay, so nobody need look through them.
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_shutdown(serve, settings))
    except CannotStart as error:
        log.error("cannot start", why=str(error))
        sys.exit(EXIT_FAILED)
    except Exception:
        log.exception("failed")
        sys.exit(EXIT_FAILED)
    log.info("stopped")
    sys.exit(0)


async def _until_shutdown(serve: Callable[[Settings, Shutdown], Awaitable[None]], settings: Settings) -> None:
    shutdown = Shutdown()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, shutdown.set)
    loop.add_signal_handler(signal.SIGINT, _interrupted, shutdown)
    loop.add_signal_handler(signal.SIGUSR2, _hand_over, shutdown)
    await serve(settings, shutdown)


def _hand_over(shutdown: Shutdown) -> None:
    shutdown.handing_over = True
    shutdown.set()


def _interrupted(shutdown: asyncio.Event) -> None:
    if shutdown.is_set():
        os._exit(EXIT_HARD)
    shutdown.set()
