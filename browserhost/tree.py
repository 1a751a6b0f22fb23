"""A browser's processes as the host sees them: keeper, Xvfb, Chrome. `keeper.py` is the other half.

As long as the keeper lives it does the work and the host reads its reports. Should it be killed,
the host, a child subreaper too, inherits Xvfb and Chrome and ends them in the same order.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from browserhost import cgroup as cgroups
from tenure import processes

KEEPER = Path(__file__).with_name("keeper.py")
_NAMED = {"keeper", "xvfb", "chrome"}
ORPHAN_EXIT_S = 10.0
"""As the keeper's CLEAN_EXIT_S, for a Chrome whose keeper died."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How Chrome ended. `status` is waitpid's, None where the host could not reap it itself.

    `how`: `itself`, `host` (its pipe was closed), `display` (Xvfb died first), `keeper` (the keeper
    died first); with `-killed` where it had to be killed; or `killed` at the host's word.
    """

    status: int | None
    how: str
    stderr: str = ""

    @property
    def clean(self) -> bool:
        return self.status == 0 and self.how in {"itself", "host", "keeper"}

    def __str__(self) -> str:
        if self.how.startswith("display"):
            return "its display (Xvfb) ended first"
        if self.status is None:
            return "it ended while it had no keeper"
        code = os.waitstatus_to_exitcode(self.status)
        text = f"exited with status {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return f"{text} after its keeper died" if self.how.startswith("keeper") else text


@dataclass(slots=True)
class _Child:
    """A process below the keeper. The descriptor names it for good, whatever becomes of its pid."""

    pid: int
    start_ticks: int
    pidfd: int

    def kill(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)


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


class ProcessTree:
    """Owns a keeper and what it keeps. Start it with `start`; it is over when `gone` is done.

    `chrome` resolves with (pid, start ticks), or raises StartFailed. `exit` resolves when Chrome is
    dead. `gone` resolves when nothing is left: no process, no temporary directory, no lock held.
    `directory` is the keeper's, `own` the part of it that is Chrome's, its TMPDIR.
    `cgroup` is the directory of the control group that they are in, empty where they have none.
    `on_orphaned` is called when the keeper died before Chrome: close it, over its pipe.
    """

    def __init__(
        self,
        keeper: subprocess.Popen[bytes] | None,
        keeper_pid: int,
        life: socket.socket,
        directory: Path,
        own: Path,
    ) -> None:
        """`keeper` is None where it is no child of ours. Raises ProcessLookupError when it is dead."""
        loop = asyncio.get_running_loop()
        self.chrome: asyncio.Future[tuple[int, int]] = loop.create_future()
        self.exit: asyncio.Future[Exit] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.display = ""
        self.cgroup = ""
        self.on_orphaned: Callable[[], None] = lambda: None
        self._loop, self._keeper, self._life = loop, keeper, life
        self.directory, self.own = directory, own
        self._children: dict[str, _Child] = {}
        self._received = b""
        self._all_gone = False
        self._burial: asyncio.Task[None] | None = None
        self.keeper_pid = keeper_pid
        self._unsaid = self._note = b""
        self._keeper_end = os.pidfd_open(keeper_pid)
        loop.add_reader(life, self._read)
        loop.add_reader(self._keeper_end, self._keeper_ended)

    @classmethod
    def start(
        cls,
        *,
        directory: Path,
        xvfb: str,
        size: tuple[int, int],
        argv: Sequence[str],
        environment: Mapping[str, str],
        lock: int,
        pipe: tuple[int, int],
        user: tuple[int, int] | None = None,
        cgroup: str = "",
        kept: Kept | None = None,
    ) -> ProcessTree:
        """Start a keeper that starts the rest. `directory` holds their TMPDIR, made and removed with them.

        `pipe` are the ends that Chrome reads and writes; they and `lock` stay the caller's to close. With
        `user`, a (uid, gid), Xvfb and Chrome run as that, with no new privileges ever. `cgroup` is the
        directory of a control group for the two, which the keeper makes, and removes at the end. `kept` is
        what the keeper is to hold for a next host; it stays the caller's to close.
        """
        processes.adopt_orphans()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        inherited = (theirs.fileno(), lock, *pipe)
        held = () if kept is None else kept.descriptors
        with theirs:
            keeper = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(KEEPER), *map(str, inherited)),
                    "-" if kept is None else kept.word,
                    *(str(directory), "{}x{}".format(*size)),
                    *("-" if user is None else "{}:{}".format(*user), cgroup or "-"),
                    *(xvfb, *argv),
                ],
                pass_fds=(*inherited, *held),
                env=environment,
                cwd="/",
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        own = directory if user is None else directory / "t"
        tree = cls(keeper, keeper.pid, ours, directory, own)
        tree.cgroup = cgroup
        return tree

    @classmethod
    def adopt(cls, life: socket.socket, reports: Sequence[str], directory: Path, own: Path) -> ProcessTree:
        """Go on with a keeper that another host started, and all that it reported to that.

        `life` is its new life line, this tree's from now on. Raises NotTheSame when it, Xvfb or Chrome is not
        running any more.
        """
        said = [line.split() for line in reports]
        named = {words[0]: (int(words[1]), int(words[2])) for words in said if words[0] in _NAMED}
        if set(named) != _NAMED or any(words[0] not in _NAMED for words in said):
            raise NotTheSame("its Chrome has ended")
        if gone := [what for what, who in named.items() if not _runs(*who)]:
            raise NotTheSame(f"its {' and '.join(gone)} ended meanwhile")
        try:
            tree = cls(None, named["keeper"][0], life, directory, own)
        except ProcessLookupError:
            raise NotTheSame("its keeper has ended") from None
        for what, *words in said:
            tree._heard(what, *words)
        return tree

    @property
    def xvfb_pid(self) -> int:
        return self._children["xvfb"].pid

    def kill(self) -> None:
        """Kill Chrome and what belongs to it now. Idempotent; `gone` tells when it is done."""
        if "chrome" in self._children and self._burial is not None:
            self._children["chrome"].kill(signal.SIGKILL)
        self._order(b"kill\n")

    def remember(self, note: str) -> None:
        """Have the keeper remember a line in place of the last one. It has it even if we die the next moment,
        as long as it reads what it is told."""
        self._note = b"note " + note.encode() + b"\n"
        self._say()

    def keep_for_nobody(self) -> None:
        """From now on the host's death ends the browser at once. Idempotent."""
        self._order(b"drop\n")

    def _order(self, line: bytes) -> None:
        self._unsaid += line
        self._say()

    def _say(self) -> None:
        """Send what is left of a line, orders, then the newest note; go on when there is room."""
        if self._life.fileno() < 0:
            return
        self._loop.remove_writer(self._life)
        try:
            while self._unsaid or self._note:
                if not self._unsaid:
                    self._unsaid, self._note = self._note, b""
                self._unsaid = self._unsaid[self._life.send(self._unsaid) :]
        except BlockingIOError:
            self._loop.add_writer(self._life, self._say)
        except OSError:
            self._unsaid = self._note = b""  # it is dead, as its end will tell

    def _read(self) -> None:
        try:
            data = self._life.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._life)  # the keeper's end follows, and tells the rest
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._heard(*line.decode().split())

    def _heard(self, what: str, *words: str) -> None:
        if what in {"xvfb", "chrome"}:
            self.display = f":{words[2]}" if what == "xvfb" else self.display
            self._met(what, int(words[0]), int(words[1]))
        elif what == "end":
            self._chrome_ended(Exit(int(words[0]), words[1], _unhex(words[2])))
        elif what == "failed":
            self._failed(StartFailed(words[0], _unhex(words[1])))
        elif what == "gone":
            self._all_gone = True

    def _met(self, what: str, pid: int, start_ticks: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
            same = processes.parse_stat(Path(f"/proc/{pid}/stat").read_text()).start == start_ticks
        except (OSError, ValueError):
            return  # it is dead and reaped already, as the next report will say
        if not same:
            os.close(pidfd)
            return
        self._children[what] = _Child(pid, start_ticks, pidfd)
        if what == "chrome" and not self.chrome.done():
            self.chrome.set_result((pid, start_ticks))

    def _failed(self, problem: StartFailed) -> None:
        if not self.chrome.done():
            self.chrome.set_exception(problem)
            self.chrome.exception()  # whoever awaits it still gets it; nobody has to

    def _chrome_ended(self, how: Exit) -> None:
        self._failed(StartFailed("Chrome", how.stderr))
        if not self.exit.done():
            self.exit.set_result(how)

    def _keeper_ended(self) -> None:
        self._loop.remove_reader(self._keeper_end)
        self._read()  # what it said last may still lie there
        if self._keeper is not None:
            self._keeper.wait()  # does not block: its pidfd told its end
        if self._all_gone:
            self._finish()
        else:
            self._burial = self._loop.create_task(self._bury(), name="bury a browser without keeper")

    async def _bury(self) -> None:
        """What the keeper would have done: Chrome first, cleanly if it will, then its group, Xvfb last."""
        chrome, xvfb = self._children.get("chrome"), self._children.get("xvfb")
        if chrome is not None:
            self.on_orphaned()
            how = "keeper"
            if not await _ended(chrome.pidfd, ORPHAN_EXIT_S):
                how = "keeper-killed"
                chrome.kill(signal.SIGKILL)
                await _ended(chrome.pidfd, ORPHAN_EXIT_S)
            if self._keeper is None:
                _kill_group(chrome.pid)
            else:
                with suppress(ProcessLookupError, PermissionError):
                    # Safe: Chrome is not reaped before the next line, so its group's number is still its own.
                    os.killpg(chrome.pid, signal.SIGKILL)
            self._chrome_ended(Exit(_reap(chrome.pid), how))
            await _reap_group(chrome.pid)
        if xvfb is not None:
            xvfb.kill(signal.SIGTERM)
            if not await _ended(xvfb.pidfd, 2.0):
                xvfb.kill(signal.SIGKILL)
                await _ended(xvfb.pidfd, 2.0)
            _reap(xvfb.pid)
        if self.cgroup:
            # Whatever had left Chrome's process group is in here still.
            await asyncio.to_thread(cgroups.end, Path(self.cgroup))
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)
        self._finish()

    def _finish(self) -> None:
        self._chrome_ended(Exit(None, "keeper"))
        self._let_go()
        if not self.gone.done():
            self.gone.set_result(None)

    def _let_go(self) -> None:
        for descriptor in (self._life, self._keeper_end):
            self._loop.remove_reader(descriptor)
        self._loop.remove_writer(self._life)
        self._life.close()
        os.close(self._keeper_end)
        for child in self._children.values():
            os.close(child.pidfd)
        self._children.clear()


class NotTheSame(Exception):
    """What a keeper kept is no live browser any more. The text is a clause for people."""


class StartFailed(Exception):
    """A program of the tree did not start, or Chrome ended at once."""

    def __init__(self, program: str, problem: str) -> None:
        super().__init__(program, problem)
        self.program, self.problem = program, problem

    def __str__(self) -> str:
        return f"{self.program} did not start: {self.problem or 'it said nothing'}"


def _unhex(text: str) -> str:
    return "" if text == "-" else bytes.fromhex(text).decode(errors="replace")


async def _ended(pidfd: int, timeout: float) -> bool:
    """Whether the process ends within `timeout` seconds. It need not be a child."""
    loop = asyncio.get_running_loop()
    end: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pidfd, _resolve, end)
    try:
        async with asyncio.timeout(timeout):
            await end
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
    return True


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _runs(pid: int, start_ticks: int) -> bool:
    """Whether that very process is there; dead and not reaped counts as not."""
    try:
        found = processes.parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, ValueError):
        return False
    return found.start == start_ticks and found.runs


def _kill_group(group: int) -> None:
    """Kill what is left of the process group of a Chrome that is no child of ours, and dead.

    Not by killpg, as its number may be another's by now.
    """
    for process in processes.table():
        with suppress(ProcessLookupError):
            if process.runs and os.getpgid(process.pid) == group:
                os.kill(process.pid, signal.SIGKILL)


def _reap(pid: int) -> int | None:
    """The status of a dead child; None when it was not ours, or another reaped it."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if done else None


async def _reap_group(group: int) -> None:
    """Reap what was killed with its group; each needs a moment to die."""
    for _ in range(400):
        if not _has_dead_or_living(group):
            return
        await asyncio.sleep(0.005)


def _has_dead_or_living(group: int) -> bool:
    """Reap the group's dead children of ours; whether any, dead until now or living, was there."""
    try:
        os.waitpid(-group, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
