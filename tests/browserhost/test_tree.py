"""Keeper and host with small programs in Chrome's and Xvfb's place: who ends whom, and what is told.

The integration tests do the same with the real ones.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from browserhost.keepers import Called, Keepers
from browserhost.note import Note
from browserhost.tree import Exit, Kept, NotTheSame, ProcessTree, StartFailed
from tenure import processes
from tests.fixtures.chrome import all_gone, until

XVFB = "echo 7 >&3; exec sleep 60"
# Like Chrome, it ends by itself once its pipe is closed.
CHROME = "read line <&3; exit 0"


@dataclass
class Made:
    """A tree, and the host's ends of its pipe."""

    tree: ProcessTree
    ends: list[int]
    lock: Path
    keepers: Keepers
    keeper: subprocess.Popen[bytes] | None

    def close_pipe(self) -> None:
        while self.ends:
            os.close(self.ends.pop())

    def host_dies(self) -> None:
        """As far as keeper and Chrome can tell: all that it had of them is closed."""
        loop = asyncio.get_running_loop()
        for descriptor in (self.tree._life, self.tree._keeper_end):
            loop.remove_reader(descriptor)
        self.tree._life.close()
        os.close(self.tree._keeper_end)
        for child in self.tree._children.values():
            os.close(child.pidfd)
        self.close_pipe()

    async def next_host(self) -> Called:
        """Who calls first."""
        called: list[Called] = []
        async with asyncio.timeout(30):
            while not called:
                called = await self.keepers.call()
        return called[0]

    async def buried(self) -> None:
        """The keeper was this process's child all along."""
        assert self.keeper is not None
        await asyncio.to_thread(self.keeper.wait)

    async def ended(self) -> None:
        """Return once nothing of it is left, seen from outside."""
        await self.buried()
        await until(lambda: not self.tree.directory.exists() and not self.is_locked())
        assert list(self.keepers.folder.iterdir()) == []

    def is_locked(self) -> bool:
        with self.lock.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    async def gone(self) -> Exit:
        await asyncio.wait_for(asyncio.shield(self.tree.gone), 30)
        self.close_pipe()
        assert not self.tree.directory.exists()
        assert not self.is_locked()
        return self.tree.exit.result()


class Nursery:
    """Starts trees of shell scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Made] = []

    def script(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)  # also for another user
        return str(path)

    def start(
        self,
        chrome: str = CHROME,
        xvfb: str = XVFB,
        user: tuple[int, int] | None = None,
        cgroup: str = "",
        wait_s: float = 0.0,
    ) -> Made:
        lock_path = self.folder / "lock"
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        keepers = Keepers(self.folder / "keepers", wait_s)
        called, path = keepers.listen("k")
        way_out = socket.create_server(("127.0.0.1", 0))
        self.port = way_out.getsockname()[1]
        kept = Kept(ours_out, ours_in, way_out.fileno(), called.fileno(), wait_s, path)
        try:
            tree = ProcessTree.start(
                directory=self.folder / "tmp",
                xvfb=self.script("Xvfb", xvfb),
                size=(800, 600),
                argv=[self.script("chrome", chrome), "about:blank"],
                environment={"PATH": os.environ["PATH"], "WITNESS": str(self.folder / "witness")},
                lock=lock,
                pipe=(theirs_in, theirs_out),
                user=user,
                cgroup=cgroup,
                kept=kept if wait_s else None,
                way_out=way_out.fileno(),
            )
        finally:
            for end in (theirs_in, theirs_out, lock):
                os.close(end)
            called.close()
            way_out.close()
            if not wait_s:
                path.unlink()
        made = Made(tree, [ours_in, ours_out], lock_path, keepers, tree._keeper)
        self.made.append(made)
        return made

    async def started(
        self, chrome: str = CHROME, xvfb: str = XVFB, cgroup: str = "", wait_s: float = 0.0
    ) -> Made:
        made = self.start(chrome, xvfb, cgroup=cgroup, wait_s=wait_s)
        await asyncio.wait_for(asyncio.shield(made.tree.chrome), 30)
        return made


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    made = Nursery(tmp_path)
    yield made
    for each in made.made:
        each.tree.kill()
        each.close_pipe()
        if each.tree._life.fileno() >= 0:
            await asyncio.wait_for(asyncio.shield(each.tree.gone), 30)
        await each.buried()


async def test_chrome_is_told_its_display_and_gets_the_pipe_on_three_and_four(nursery: Nursery) -> None:
    made = nursery.start('echo "$DISPLAY $XAUTHORITY $TMPDIR $1" >&4; read line <&3')
    pid, start = await asyncio.wait_for(asyncio.shield(made.tree.chrome), 30)
    tmp = nursery.folder / "tmp"
    said = await asyncio.to_thread(os.read, made.ends[0], 1000)
    assert said.decode().split() == [":7", f"{tmp}/Xauthority", str(tmp), "about:blank"]
    assert (start, made.tree.display) == (
        next(each.start for each in processes.table() if each.pid == pid),
        ":7",
    )
    assert tmp.stat().st_mode & 0o777 == 0o700
    assert (tmp / "Xauthority").stat().st_mode & 0o777 == 0o600
    assert made.is_locked()


async def test_a_crash_leaves_no_picture_of_the_memory(nursery: Nursery, cores: int) -> None:
    made = await nursery.started(
        "read line <&3; grep core /proc/self/limits >&2; cd $TMPDIR/..; kill -SEGV $$"
    )
    made.close_pipe()
    ended = await made.gone()
    assert ended.status is not None
    assert os.WTERMSIG(ended.status) == signal.SIGSEGV
    assert not os.WCOREDUMP(ended.status)
    assert ended.stderr.split()[4:6] == [str(cores), str(cores)]


async def test_a_chrome_that_ends_by_itself_is_reported_with_its_status_and_last_words(
    nursery: Nursery,
) -> None:
    made = await nursery.started("read line <&3; echo 'so long' >&2; exit 3")
    made.close_pipe()
    ended = await made.gone()
    assert (os.waitstatus_to_exitcode(ended.status or 0), ended.how) == (3, "itself")
    assert (str(ended), ended.stderr, ended.clean) == ("exited with status 3", "so long\n", False)


async def test_closing_the_pipe_ends_chrome_cleanly(nursery: Nursery) -> None:
    made = await nursery.started()
    made.close_pipe()
    assert (await made.gone()).clean


async def test_only_the_end_of_many_last_words_is_kept(nursery: Nursery) -> None:
    made = await nursery.started("read line <&3; for i in {1..20000}; do echo line $i >&2; done; exit 1")
    made.close_pipe()
    ended = await made.gone()
    assert len(ended.stderr) <= 4096
    assert ended.stderr.endswith("line 20000\n")


async def test_a_chrome_that_hangs_is_killed_at_the_hosts_word(nursery: Nursery) -> None:
    made = await nursery.started("trap '' TERM; sleep 60")
    made.tree.kill()
    ended = await made.gone()
    assert (str(ended), ended.clean) == ("was killed by SIGKILL", False)


async def test_what_chrome_started_ends_with_it_also_when_it_strayed(nursery: Nursery) -> None:
    made = await nursery.started("sleep 60 & setsid sleep 60 & echo started >&4; read line <&3; exit 0")
    await asyncio.to_thread(os.read, made.ends[0], 100)
    table = processes.table()
    family = processes.below(made.tree.keeper_pid, table)
    # Xvfb, Chrome and its two; not by name, for a loaded machine has not become `sleep` yet.
    assert len(family) == 4
    made.close_pipe()
    await made.gone()
    await all_gone(family)


async def test_a_dead_display_ends_chrome(nursery: Nursery) -> None:
    made = await nursery.started("sleep 60")
    os.kill(made.tree.xvfb_pid, signal.SIGKILL)
    ended = await made.gone()
    assert (str(ended), ended.clean) == ("its display (Xvfb) ended first", False)


async def test_a_dead_keepers_children_are_ended_by_the_host(nursery: Nursery) -> None:
    made = await nursery.started()
    made.tree.on_orphaned = made.close_pipe
    os.kill(made.tree.keeper_pid, signal.SIGKILL)
    ended = await made.gone()
    assert (str(ended), ended.clean) == ("exited with status 0 after its keeper died", True)


async def test_a_dead_keepers_hung_chrome_is_killed_by_the_host(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.tree.ORPHAN_EXIT_S", 0.1)
    made = await nursery.started("sleep 60")
    os.kill(made.tree.keeper_pid, signal.SIGKILL)
    assert not (await made.gone()).clean


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_keeper_outlasts_the_signals_of_a_service_manager(
    nursery: Nursery, number: signal.Signals
) -> None:
    made = await nursery.started("echo up >&4; read line <&3; exit 0")
    await asyncio.to_thread(os.read, made.ends[0], 100)
    os.kill(made.tree.keeper_pid, number)
    made.close_pipe()
    ended = await made.gone()
    assert (ended.how, ended.clean) == ("itself", True)


async def test_a_display_that_does_not_start_is_told_and_chrome_never_starts(nursery: Nursery) -> None:
    made = nursery.start(xvfb="echo 'no fonts' >&2; exit 1", chrome="touch $WITNESS")
    with pytest.raises(StartFailed, match="Xvfb did not start: no fonts"):
        await asyncio.wait_for(asyncio.shield(made.tree.chrome), 30)
    await made.gone()
    assert not (nursery.folder / "witness").exists()


async def test_a_chrome_that_cannot_be_executed_is_told(nursery: Nursery) -> None:
    made = nursery.start()
    (nursery.folder / "chrome").unlink()
    with pytest.raises(StartFailed, match="No such file"):
        await asyncio.wait_for(asyncio.shield(made.tree.chrome), 30)
    await made.gone()


async def test_killing_it_before_it_started_leaves_nothing(nursery: Nursery) -> None:
    made = nursery.start(xvfb="sleep 60")
    made.tree.kill()
    await made.gone()
    assert made.tree.chrome.exception() is not None


# What the kernel says of a process, where it is, and whether it may remove what is the keeper's.
STATUS = """
exec >&4; grep -E '^(Uid|Gid|Groups|NoNewPrivs):' /proc/self/status; echo "HOME $HOME" "TMPDIR $TMPDIR"
test -r "$XAUTHORITY" && touch "$TMPDIR/mine" && ! rm -f "$XAUTHORITY" 2>/dev/null && echo done
read line <&3
"""


async def test_with_a_user_of_their_own_the_programs_have_nothing_of_the_keepers() -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        nursery = Nursery(Path(folder))
        made = nursery.start(STATUS, user=(310_007, 310_008))
        if os.geteuid() != 0:
            with pytest.raises(StartFailed, match="Operation not permitted"):
                await asyncio.wait_for(asyncio.shield(made.tree.chrome), 30)
            await made.gone()
            return
        said = await asyncio.to_thread(read_until, made.ends[0], b"done\n")
        lines = [line.split() for line in said.decode().splitlines()]
        assert lines == [
            ["Uid:", *["310007"] * 4],
            ["Gid:", *["310008"] * 4],
            ["Groups:"],
            ["NoNewPrivs:", "1"],
            ["HOME", f"{folder}/tmp/t", "TMPDIR", f"{folder}/tmp/t"],
            ["done"],
        ]
        made.close_pipe()
        await made.gone()


def read_until(descriptor: int, end: bytes) -> bytes:
    said = b""
    while not said.endswith(end):
        more = os.read(descriptor, 4096)
        assert more, said
        said += more
    return said


@pytest.mark.parametrize("forks", [False, True])
@pytest.mark.parametrize("wait_s", [0.0, 60.0])
async def test_the_programs_have_nothing_open_but_what_is_meant_for_them(
    nursery: Nursery, wait_s: float, forks: bool
) -> None:
    """Neither what the keeper holds for a next host, nor the way out's socket, nor the life line."""
    group = nursery.folder / "group"
    if forks:
        group.mkdir()
        (group / "cgroup.procs").touch()
    made = await nursery.started(
        "ls /proc/$$/fd >&4; echo done >&4; read line <&3; exit 0",
        f"ls /proc/$$/fd >$WITNESS; {XVFB}",
        cgroup=str(group) if forks else "",
        wait_s=wait_s,
    )
    said = await asyncio.to_thread(read_until, made.ends[0], b"done\n")
    script = "255"  # where bash has the script that it reads
    assert set(said.decode().split()) == {"0", "1", "2", "3", "4", "5", script, "done"}
    assert set((nursery.folder / "witness").read_text().split()) == {"0", "1", "2", "3", script}
    made.close_pipe()
    if wait_s:
        made.tree.keep_for_nobody()
    assert (await made.gone()).clean


async def test_the_programs_join_their_control_group_before_they_run(nursery: Nursery) -> None:
    """Any directory does: the kernel's own takes the same word in a file of that name."""
    group = nursery.folder / "group"
    group.mkdir()
    (group / "cgroup.procs").touch()
    made = await nursery.started(cgroup=str(group))
    assert (group / "cgroup.procs").read_text() == "0"
    made.close_pipe()
    assert (await made.gone()).clean


async def test_a_control_group_that_cannot_be_joined_is_told_and_chrome_never_starts(
    nursery: Nursery,
) -> None:
    made = nursery.start(cgroup=str(nursery.folder / "group"), chrome="touch $WITNESS")
    with pytest.raises(StartFailed, match="No such file"):
        await asyncio.wait_for(asyncio.shield(made.tree.chrome), 30)
    await made.gone()
    assert not (nursery.folder / "witness").exists()
    assert not (nursery.folder / "group").exists()


# --- a next host ---------------------------------------------------------------------

NOTE = Note("/data/alice", "/tmp/keeper", "/tmp/keeper/t", turn=3, sessions=("S",))
ECHO = 'while read line <&3; do echo "$line" >&4; done; exit 0'


async def kept(nursery: Nursery, chrome: str = ECHO, wait_s: float = 60.0) -> Made:
    """A browser whose keeper has a note and waits that long for a next host."""
    made = await nursery.started(chrome, wait_s=wait_s)
    made.tree.remember(NOTE.text())
    return made


def go_on(called: Called, made: Made) -> ProcessTree:
    tree = ProcessTree.adopt(called.life, called.reports, made.tree.directory, made.tree.own)
    made.ends = [called.read, called.write]
    called.write = called.read = -1
    made.tree = tree
    return tree


async def test_a_next_host_gets_the_live_browser_with_all_that_was_said_of_it(nursery: Nursery) -> None:
    made = await kept(nursery)
    before, keeper = made.tree.chrome.result(), made.tree.keeper_pid
    made.host_dies()
    called = await made.next_host()
    assert (called.note, called.chrome) == (NOTE, before)
    with socket.socket(fileno=called.way_out) as way_out:
        assert way_out.getsockname()[1] == nursery.port
    called.way_out = -1
    tree = go_on(called, made)
    assert (await tree.chrome, tree.keeper_pid, tree.display) == (before, keeper, ":7")
    os.write(made.ends[1], b"hello\n")
    assert await asyncio.to_thread(os.read, made.ends[0], 100) == b"hello\n"
    assert made.is_locked()
    tree.keep_for_nobody()
    made.close_pipe()
    assert (await made.gone()).clean
    assert list(made.keepers.folder.iterdir()) == []


async def test_a_browser_that_no_host_calls_for_in_time_ends_cleanly(nursery: Nursery) -> None:
    made = await kept(nursery, "while read line <&3; do :; done; touch $WITNESS", wait_s=0.3)
    made.host_dies()
    await made.ended()
    assert (nursery.folder / "witness").exists()


@pytest.mark.parametrize("wait_s", [0.3, 0.0])
async def test_the_way_outs_port_is_nobody_elses_while_chrome_lives(nursery: Nursery, wait_s: float) -> None:
    go = nursery.folder / "witness-go"
    os.mkfifo(go)
    chrome = "while read line <&3; do :; done; touch $WITNESS; read line <$WITNESS-go"
    made = await (kept(nursery, chrome, wait_s=wait_s) if wait_s else nursery.started(chrome))
    made.host_dies()
    await until((nursery.folder / "witness").exists)
    try:
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", nursery.port))
    finally:
        descriptor = os.open(go, os.O_RDWR)
        os.write(descriptor, b"on\n")
        await made.ended()
        os.close(descriptor)
    socket.create_server(("127.0.0.1", nursery.port)).close()


def switches(status: Path) -> int:
    """How often a process has waited for something."""
    return int(status.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])


async def test_while_its_host_lives_a_keeper_answers_nobody(nursery: Nursery) -> None:
    made = await kept(nursery)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(made.keepers.folder / "k"))
        status = Path(f"/proc/{made.tree.keeper_pid}/status")
        before = switches(status)
        made.tree.remember(NOTE.text())
        await until(lambda: switches(status) > before)  # it has seen to everything and waits again
        caller.setblocking(False)
        with pytest.raises(BlockingIOError):
            caller.recv(1)
        made.host_dies()
        caller.setblocking(True)
        # It is the one that waited: now, and not before.
        assert await asyncio.to_thread(caller.recv, 1) == b"k"
        caller.sendall(b"kill\n")
        await made.ended()


async def test_a_browser_that_is_kept_for_nobody_ends_with_its_host(nursery: Nursery) -> None:
    made = await kept(nursery)
    made.tree.keep_for_nobody()
    made.host_dies()
    await made.ended()


async def test_a_browser_of_which_nothing_was_said_ends_with_its_host(nursery: Nursery) -> None:
    made = await nursery.started(ECHO, wait_s=60.0)
    made.host_dies()
    await made.ended()


async def test_a_host_that_dies_while_it_takes_over_leaves_the_browser_to_the_next(nursery: Nursery) -> None:
    made = await kept(nursery)
    made.host_dies()
    first = await made.next_host()
    for descriptor in (first.write, first.read, first.way_out):
        os.close(descriptor)
    first.life.close()  # without a word
    second = await made.next_host()
    assert second.chrome == first.chrome
    second.close()
    await made.ended()


async def test_who_calls_and_does_not_want_it_ends_it(nursery: Nursery) -> None:
    made = await kept(nursery)
    made.host_dies()
    (await made.next_host()).close()
    await made.ended()


async def test_a_dead_keeper_of_another_hosts_is_noticed_and_its_browser_ended(nursery: Nursery) -> None:
    made = await kept(nursery, "sleep 60 & while read line <&3; do :; done")
    made.host_dies()
    called = await made.next_host()
    family = processes.below(made.tree.keeper_pid, processes.table())
    tree = go_on(called, made)
    os.kill(tree.keeper_pid, signal.SIGKILL)
    tree.on_orphaned = made.close_pipe
    await asyncio.wait_for(asyncio.shield(tree.gone), 30)
    await all_gone(family)
    assert tree.exit.result().how == "keeper"


async def test_a_keeper_whose_chrome_has_ended_is_not_gone_on_with(nursery: Nursery) -> None:
    made = await kept(nursery)
    made.host_dies()
    called = await made.next_host()
    reports = (*called.reports, "end 0 itself -")
    with pytest.raises(NotTheSame):
        ProcessTree.adopt(called.life, reports, made.tree.directory, made.tree.own)
    os.kill(called.chrome[0], signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{called.chrome[0]}").exists())
    with pytest.raises(NotTheSame, match="chrome"):
        ProcessTree.adopt(called.life, called.reports, made.tree.directory, made.tree.own)
    called.close()
    await made.ended()
