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
from pathlib import Path

from browserhost import cgroup as cgroups
from browserhost.ends import Exit, NotTheSame, StartFailed
from browserhost.keepers import Kept
from browserhost.orphans import Child, ended, kill_group, reap, reap_group, runs
from tenure import processes

__all__ = ["Exit", "Kept", "NotTheSame", "ProcessTree", "StartFailed"]

KEEPER = Path(__file__).with_name("keeper.py")
_NAMED = {"keeper", "xvfb", "chrome"}
ORPHAN_EXIT_S = 10.0
"""As the keeper's CLEAN_EXIT_S, for a Chrome whose keeper died."""


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
        self._children: dict[str, Child] = {}
        self._received = b""
        self._all_gone = False
        self._burial: asyncio.Task[None] | None = None
        self.keeper_pid = keeper_pid
        self._unsaid = self._note = b""
        self._all_said = asyncio.Event()
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
        way_out: int | None = None,
    ) -> ProcessTree:
        """Start a keeper that starts the rest. `directory` holds their TMPDIR, made and removed with them.

        `pipe` are the ends that Chrome reads and writes; they and `lock` stay the caller's to close. With
        `user`, a (uid, gid), Xvfb and Chrome run as that, with no new privileges ever. `cgroup` is the
        directory of a control group for the two, which the keeper makes, and removes at the end. `kept` is
        what the keeper is to hold for a next host; `way_out` all it holds where there is none: the socket of
        the browser's way out, whose port is nobody else's before its end. They stay the caller's to close.
        """
        processes.adopt_orphans()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        inherited = (theirs.fileno(), lock, *pipe)
        held: tuple[int, ...] = () if way_out is None else (way_out,)
        held, word = (held, str(way_out or "-")) if kept is None else (kept.descriptors, kept.word)
        with theirs:
            keeper = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(KEEPER), *map(str, inherited)),
                    word,
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
        if gone := [what for what, who in named.items() if not runs(*who)]:
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

    async def said(self) -> None:
        """Return once the keeper has all that it was told, or is dead. The caller bounds it."""
        self._say()
        await self._all_said.wait()

    def keep_for_nobody(self) -> None:
        """From now on the host's death ends the browser at once. Idempotent."""
        self._order(b"drop\n")

    def _order(self, line: bytes) -> None:
        self._unsaid += line
        self._say()

    def _say(self) -> None:
        """Send what is left of a line, orders, then the newest note; go on when there is room."""
        self._all_said.clear()
        if self._life.fileno() < 0:
            self._all_said.set()
            return
        self._loop.remove_writer(self._life)
        try:
            while self._unsaid or self._note:
                if not self._unsaid:
                    self._unsaid, self._note = self._note, b""
                self._unsaid = self._unsaid[self._life.send(self._unsaid) :]
        except BlockingIOError:
            self._loop.add_writer(self._life, self._say)
            return
        except OSError:
            self._unsaid = self._note = b""  # it is dead, as its end will tell
        self._all_said.set()

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
        self._children[what] = Child(pid, start_ticks, pidfd)
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
            if not await ended(chrome.pidfd, ORPHAN_EXIT_S):
                how = "keeper-killed"
                chrome.kill(signal.SIGKILL)
                await ended(chrome.pidfd, ORPHAN_EXIT_S)
            if self._keeper is None:
                kill_group(chrome.pid)
            else:
                with suppress(ProcessLookupError, PermissionError):
                    # Safe: Chrome is not reaped before the next line, so its group's number is still its own.
                    os.killpg(chrome.pid, signal.SIGKILL)
            self._chrome_ended(Exit(reap(chrome.pid), how))
            await reap_group(chrome.pid)
        if xvfb is not None:
            xvfb.kill(signal.SIGTERM)
            if not await ended(xvfb.pidfd, 2.0):
                xvfb.kill(signal.SIGKILL)
                await ended(xvfb.pidfd, 2.0)
            reap(xvfb.pid)
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


def _unhex(text: str) -> str:
    return "" if text == "-" else bytes.fromhex(text).decode(errors="replace")
