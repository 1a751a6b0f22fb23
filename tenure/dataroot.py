"""The folder with everything a system keeps, and who runs on it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

_PREVIOUS_ENDS_S = 45.0


class Taken(Exception):
    """Another system runs on the data root. Its text says which, and what to do."""


def default() -> Path:
    """`tenure` in XDG_STATE_HOME, or in ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "tenure"


class DataRoot:
    """A data root that one system has to itself, from `take` to `give_back`.

    The lock is inherited by every part of the system, so it is free exactly when the last
    of them is gone, also after the supervisor was killed and its parts are still closing.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self.lock_fd = lock_fd

    @classmethod
    async def take(cls, path: Path, say: Callable[[str], None]) -> DataRoot:
        """Have the folder, making it when it is not there. Raises Taken, OSError.

        Waits for the parts of a killed system to end; a running system is refused at once.
        """
        for folder in (path, path / "logs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _lock(lock_fd):
                _refuse_living(path)
                say(f"waiting for the parts of a killed system on {path} to end")
                await _locked(path, lock_fd)
        except BaseException:
            os.close(lock_fd)
            raise
        return cls(path, lock_fd)

    def log(self, name: str) -> Path:
        """Where a part's log goes."""
        return self.path / "logs" / f"{name}.log"

    def write_state(self, parts: Mapping[str, object]) -> None:
        """Tell others who runs here and where: `run.json`, replaced as a whole."""
        state = {"pid": os.getpid(), "data_root": str(self.path), "parts": parts}
        fresh = self.path / "run.json.new"
        fresh.write_text(json.dumps(state, indent=2) + "\n")
        fresh.replace(self.path / "run.json")

    def give_back(self) -> None:
        """Let another system have it. Idempotent."""
        if self.lock_fd >= 0:
            (self.path / "run.json").unlink(missing_ok=True)
            os.close(self.lock_fd)
            self.lock_fd = -1


def read_state(path: Path) -> dict[str, object]:
    """What `write_state` told last; empty when no system runs there, or none was stopped cleanly."""
    try:
        state = json.loads((path / "run.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _lock(lock_fd: int) -> bool:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_living(path: Path) -> None:
    pid = read_state(path).get("pid")
    if isinstance(pid, int) and Path(f"/proc/{pid}").exists():
        raise Taken(
            f"A system runs on {path} already (pid {pid}; {path / 'run.json'} says where it answers). "
            "Use that one, stop it, or choose another folder with --data-root."
        )


async def _locked(path: Path, lock_fd: int) -> None:
    try:
        async with asyncio.timeout(_PREVIOUS_ENDS_S):
            while True:
                if _lock(lock_fd):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise Taken(
            f"Parts of a killed system still run on {path} after {_PREVIOUS_ENDS_S:g} s. "
            f"See which with `fuser {path / 'lock'}` and end them, or choose another --data-root."
        ) from None
