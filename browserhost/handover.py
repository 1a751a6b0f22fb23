"""`python -m browserhost handover`: the running host goes, its browsers stay for the next one."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from browserhost import lock
from browserhost.defaults import default_data_root
from browserhost.paths import DataRoot

END_S = 60.0
"""How long the host may take to be gone; it waits for opens under way and writes cookies first."""


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 once the host is gone, 1 when none runs or it does not go."""
    options = _options(arguments)
    root = DataRoot.at(options.data_root)
    pid = running(root)
    if pid is None:
        print(f"no browser host runs on {root.path}", file=sys.stderr)
        return 1
    if not ask(pid, END_S):
        print(f"the browser host (process {pid}) has not gone within {END_S:g} s", file=sys.stderr)
        return 1
    print(f"the browser host (process {pid}) has gone; its browsers wait for the next one")
    return 0


def running(root: DataRoot) -> int | None:
    """The process that has the data directory; None when there is none."""
    if not root.lock_file.exists():
        return None
    descriptor = lock.try_lock(root.lock_file)
    if descriptor is not None:
        os.close(descriptor)
        return None
    return int(root.lock_file.read_text())


def ask(pid: int, timeout: float) -> bool:
    """Ask a host to hand over; whether it was gone within `timeout` seconds."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(process, signal.SIGUSR2)
        ready, _, _ = select.select([process], [], [], timeout)
        return bool(ready)
    finally:
        os.close(process)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m browserhost handover",
        description=(
            "Ask the browser host of a data directory to go and to leave its browsers to the next one, which "
            "is to be started within its --adopt-s. Sessions, holds and logins go on, and so do DevTools "
            "clients at the gateway; those at the host's own address connect again."
        ),
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        default=Path(os.environ.get("TENURE_DATA_ROOT") or default_data_root()),
        help="the host's data directory (TENURE_DATA_ROOT; default: %(default)s)",
    )
    return parser.parse_args(arguments)
