"""Where the keepers of this data directory's browsers are called, and what they answer a next host.

Each has a socket in `{data_root}/keepers/`, so that whose browsers they are is a matter of the
directory, which one host at a time has (see `identity.sole_host`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from browserhost import durable, note
from browserhost.note import Note

CALL_S = 2.0
"""How long a keeper may take to answer. It does nothing else."""
_MOST = 1 << 20
_KEPT = b"\nkept\n"

_log = structlog.get_logger("keepers")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a keeper holds for a next host: our ends of the pipe, and the sockets that the browser's way out
    and the keeper are called at. `path` is the latter's. It waits `wait_s` seconds for that host's call."""

    write: int
    read: int
    way_out: int
    called: int
    wait_s: float
    path: Path

    @property
    def descriptors(self) -> tuple[int, int, int, int]:
        return self.write, self.read, self.way_out, self.called

    @property
    def word(self) -> str:
        """As `keeper_store.Store` reads it."""
        return ":".join([*map(str, self.descriptors), f"{self.wait_s:g}", str(self.path)])


@dataclass(slots=True)
class Called:
    """A keeper that answered: its life line, and the descriptors that it kept. `close` ends its browser
    unless somebody took them over first: nobody is to go on with it then. `taken`: that somebody has all
    of it, the life line too, and ends the browser himself.
    """

    life: socket.socket
    write: int
    read: int
    way_out: int
    reports: tuple[str, ...]
    note: Note
    taken: bool = False

    @property
    def chrome(self) -> tuple[int, int]:
        """The pid and start ticks of Chrome as its keeper named it; zeros when it did not."""
        for words in (line.split() for line in self.reports):
            if words[0] == "chrome":
                return int(words[1]), int(words[2])
        return 0, 0

    def close(self) -> None:
        """Let the browser end, cleanly if it will. Idempotent; changes nothing once it is taken."""
        if self.taken:
            return
        with suppress(OSError):
            self.life.send(b"drop\n")
        self.life.close()
        for descriptor in (self.write, self.read, self.way_out):
            if descriptor >= 0:
                os.close(descriptor)
        self.write = self.read = self.way_out = -1


@dataclass(frozen=True, slots=True)
class Keepers:
    """`wait_s`: how long each waits for a next host; 0 is not at all, and then none is ever called."""

    folder: Path
    wait_s: float = 0.0

    def listen(self, name: str) -> tuple[socket.socket, Path]:
        """The socket that a new keeper is called at, and its place. Raises OSError, DiskFull."""
        durable.make_directory(self.folder)
        called = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _short(self.folder) as short:
                called.bind(f"{short}/{name}")
            called.listen(4)
        except BaseException:
            called.close()
            raise
        return called, self.folder / name

    async def call(self) -> list[Called]:
        """Every keeper that waits, all at once. Only by who holds the data directory. Does not raise.

        Where browsers do not outlive their hosts those of an earlier one, of which they did, end now.
        """
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        answers = await asyncio.gather(*(asyncio.to_thread(self._call, name) for name in names))
        called = [each for each in answers if each is not None]
        if self.wait_s:
            return called
        for each in called:
            each.close()
        return []

    def _call(self, name: str) -> Called | None:
        life = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        life.settimeout(CALL_S)
        try:
            with _short(self.folder) as short:
                life.connect(f"{short}/{name}")
            answer = _answer(life)
        except ConnectionRefusedError:
            # Its keeper was killed; nobody listens there any more.
            life.close()
            (self.folder / name).unlink(missing_ok=True)
            return None
        except (OSError, ValueError) as error:
            life.close()
            _log.warning("a keeper did not answer", name=name, why=str(error) or type(error).__name__)
            return None
        life.setblocking(False)
        return answer


NOBODY = Keepers(Path())


def _answer(life: socket.socket) -> Called:
    """Raises OSError, ValueError, with the descriptors closed."""
    deadline = time.monotonic() + CALL_S
    said, descriptors, _, _ = socket.recv_fds(life, 1 << 16, 3)
    try:
        while not said.endswith(_KEPT):
            life.settimeout(max(deadline - time.monotonic(), 0.001))
            more = life.recv(1 << 16)
            if not more or len(said) > _MOST:
                raise ValueError("it hung up" if not more else "it says too much")
            said += more
        *reports, last, _ = said.removesuffix(b"kept\n").decode().split("\n")
        word, _, text = last.partition(" ")
        if word != "note":
            raise ValueError("it says no note")
        write, read, way_out = descriptors
        return Called(life, write, read, way_out, tuple(reports), note.parse(text))
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path of the folder that leaves room for a name: a socket's has 108 bytes at most (unix(7))."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
