"""The keeper: parent of one browser's Xvfb and Chrome, so that neither outlives the other or its files.

The host runs it as `python -I -S keeper.py ...` (see `tree.py`, its other half). It needs nothing but
the standard library, and imports little of that before Xvfb starts: a browser waits for every millisecond.

- It inherits the profile's lock and gives it to Chrome's main process alone, so the lock is free
  exactly when both are dead.
- It inherits Chrome's ends of the debugging pipe and keeps none: closing the host's is a clean
  shutdown for Chrome. Copies of the host's ends it keeps, so that a next host can go on with a live
  browser when this one has died (see `keeper_store.py`); nobody calls in time, and it closes them.
- Its own end of the life line, a socket, tells it that the host died (end of file). The host says, a
  line each: `note TEXT`, what a next host must know of the browser; `drop`, keep it for no next one;
  `kill`, Chrome must die now. The keeper reports, one a line:

      keeper PID START
      xvfb PID START DISPLAY
      chrome PID START
      end STATUS HOW STDERR         Chrome is dead; STATUS as waitpid(2) gives it; STDERR in hex
      gone                          so is everything, and the temporary directory is removed
      failed PROGRAM PROBLEM

START is the start time in clock ticks since boot, field 22 of proc_pid_stat(5).
"""

import os
import select
import sys
from collections.abc import Callable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from browserhost.keeper_store import Store

CLEAN_EXIT_S = 10.0
"""How long Chrome may take to end by itself once its pipe is closed; it needs 0.2 s."""
_CHILDREN_EXIT_S = 1.0
_XVFB_EXIT_S = 2.0
_TAIL = 4096
_SIGKILL, _SIGTERM = 9, 15
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: Sequence[str]) -> int:
    """Arguments: four descriptors (life line, lock, Chrome's reading and writing end of the pipe),
    what to keep for a next host (see Store), a directory to make, keep and remove, the screen's size
    `WxH`, as whom and in which control group to run the two (`UID:GID` or `-`, `CGROUP` or `-`),
    Xvfb's path, then Chrome's argv."""
    # In isolated mode Python puts no folder of ours on the path; at its end it cannot hide the library's.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from browserhost.keeper_spawn import Places, dump_nothing, private
    from browserhost.keeper_store import Store

    dump_nothing()
    line, lock, commands, answers = (private(int(each)) for each in arguments[:4])
    kept, directory, size, user, cgroup, xvfb_path, *chrome_argv = arguments[4:]
    life, store, places = _Life(line), Store(kept), Places(user, cgroup)
    life.report(f"keeper {os.getpid()} {_start_ticks(os.getpid())}")
    xvfb, display = 0, b""
    try:
        environment = {**places.make(directory), "XAUTHORITY": f"{directory}/Xauthority"}
        _write_cookie(environment["XAUTHORITY"], places.give)
        errors, errors_end = (private(each) for each in os.pipe())
        asked, told = (private(each) for each in os.pipe())
        xvfb = places.spawn(
            [
                *(xvfb_path, "-displayfd", "3", "-screen", "0", f"{size}x24", "-noreset"),
                *("-nolisten", "tcp", "-auth", environment["XAUTHORITY"]),
            ],
            environment,
            {3: told, 2: errors_end},
        )
        os.close(told)
        _while_xvfb_starts()
        display = _first_line(asked, line)
        if not display:
            life.report(f"failed Xvfb {_tail(errors, b'').hex() or '-'}")
            return 1
        life.report(f"xvfb {xvfb} {_start_ticks(xvfb)} {display.decode()}")
        chrome = places.spawn(
            chrome_argv,
            {**environment, "DISPLAY": f":{display.decode()}"},
            {3: commands, 4: answers, 5: lock, 2: errors_end},
        )
        for descriptor in (commands, answers, errors_end):
            os.close(descriptor)
        life.report(f"chrome {chrome} {_start_ticks(chrome)}")
        _keep(life, store, errors, chrome, xvfb)
    except OSError as problem:
        life.report(f"failed {problem.filename or 'keeper'} {str(problem).encode().hex()}")
        return 1
    finally:
        store.drop()
        _stop_xvfb(xvfb)
        places.leave()
        store.close()
        _remove(directory)
    life.report("gone")
    return 0


class _Life:
    """The life line: what the host says, and what it is told, which is remembered for a next one."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.said = b""
        self._heard = b""

    def report(self, line: str) -> None:
        self.said += line.encode() + b"\n"
        try:
            os.write(self.descriptor, line.encode() + b"\n")
        except OSError:
            return  # the host is gone; what is to be done is the same

    def hear(self) -> "list[bytes] | None":
        """The lines that are complete; None when the host is gone."""
        try:
            more = os.read(self.descriptor, 1 << 16)
        except OSError:
            more = b""
        *lines, self._heard = (self._heard + more).split(b"\n")
        return lines if more else None

    def pass_to(self, descriptor: int) -> None:
        """There is a next host."""
        os.close(self.descriptor)
        self.descriptor, self._heard = descriptor, b""


def _keep(life: _Life, store: "Store", errors: int, chrome: int, xvfb: int) -> None:
    """Wait for Chrome's end, hasten it where told to, report it, and see that nothing of it stays."""
    from time import monotonic

    chrome_end, xvfb_end = os.pidfd_open(chrome), os.pidfd_open(xvfb)
    ends = [errors, chrome_end, xvfb_end]
    line = life.descriptor  # where a host is heard: at first its own line, then where a next one calls
    how, tail = "itself", b""
    deadline: float | None = None  # by when Chrome must have ended
    patience: float | None = None  # by when a next host must have called
    while True:
        ready = _ready([*ends, line], deadline, patience)
        if errors in ready:
            tail = _tail(errors, tail)
        if chrome_end in ready:
            break
        if xvfb_end in ready:
            # Chrome ends on its own without a display, at once; should it not, it is of no use.
            how, deadline = "display", monotonic() + _CHILDREN_EXIT_S
            ends.remove(xvfb_end)
        if line in ready and line == life.descriptor:
            told = life.hear()
            if told is None:
                # Not before: as long as the host lives nobody else is answered.
                line, patience = store.fileno(), monotonic() + store.patience_s
            elif _is_kill(told, store):
                how, deadline = "killed", monotonic()
        elif line in ready and (next_line := store.hand_over(life.said)) >= 0:
            life.pass_to(next_line)
            line, patience = next_line, None
        if patience is not None and monotonic() >= patience:
            store.drop()
            line, patience = -1, None
            how, deadline = "host", deadline or monotonic() + CLEAN_EXIT_S
        if deadline is not None and monotonic() >= deadline:
            # Safe: Chrome is our child and not reaped, so its pid and group cannot be another's.
            how, deadline = f"{how.removesuffix('-killed')}-killed", monotonic() + 1
            os.killpg(chrome, _SIGKILL)
    tail = _tail(errors, tail)
    _, status = os.waitpid(chrome, 0)
    life.report(f"end {status} {how} {tail.hex() or '-'}")
    _bury_group(chrome)


def _ready(descriptors: Sequence[int], *dates: float | None) -> set[int]:
    """Those of the descriptors that can be read, at the latest at the first of the dates."""
    from time import monotonic

    poll = select.poll()
    for descriptor in descriptors:
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
    first = min((each for each in dates if each is not None), default=None)
    return {each for each, _ in poll.poll(None if first is None else max(first - monotonic(), 0.0) * 1000)}


def _is_kill(told: list[bytes], store: "Store") -> bool:
    """Whether what the host says is that Chrome must end now. What else it says is done."""
    for line in told:
        if line == b"drop":
            store.drop()
        elif line.startswith(b"note "):
            store.note = line[5:]
    return b"kill" in told


def _bury_group(group: int) -> None:
    """Reap what Chrome left behind. It may first end by itself, as the network service still writes."""
    from time import monotonic

    deadline = monotonic() + _CHILDREN_EXIT_S
    while True:
        try:
            pid, _ = os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if monotonic() >= deadline:
                # Safe: a child of ours is still in the group, so the number is not free for another.
                os.killpg(group, _SIGKILL)
            select.select([], [], [], 0.005)


def _stop_xvfb(xvfb: int) -> None:
    """End Xvfb, then reap until there is nobody left: what strayed from the group is killed."""
    from time import monotonic

    from browserhost.keeper_spawn import children

    if xvfb:
        os.kill(xvfb, _SIGTERM)  # safe: our child, not reaped; a dead one stays until it is
    deadline = monotonic() + _XVFB_EXIT_S
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if monotonic() >= deadline:
                for child in children():
                    os.kill(child, _SIGKILL)
            select.select([], [], [], 0.005)


def _while_xvfb_starts() -> None:
    """What takes time and is needed only later."""
    import ctypes
    import signal

    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("prctl(PR_SET_CHILD_SUBREAPER) failed")
    # A service manager that signals the whole group must not part Chrome from its keeper.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _write_cookie(path: str, give: Callable[[int], None]) -> None:
    """Write an Xauthority file (Xau(3)): one MIT-MAGIC-COOKIE-1 that fits every address and display."""
    texts = (b"", b"", b"MIT-MAGIC-COOKIE-1", os.urandom(16))
    entry = [b"\xff\xff", *(len(text).to_bytes(2, "big") + text for text in texts)]  # FamilyWild
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, b"".join(entry))
    give(descriptor)
    os.close(descriptor)


def _first_line(descriptor: int, life: int) -> bytes:
    """Read up to the newline, as Xvfb breaks when its reader leaves early.

    Empty when Xvfb ended instead, or the host did, or wants no browser any more.
    """
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor, life], [], [])
        more = b"" if life in ready else os.read(descriptor, 64)
        if not more:
            return b""
        line += more
    os.close(descriptor)
    return line.strip()


def _tail(descriptor: int, tail: bytes) -> bytes:
    """Add what can be read at once, keep the end."""
    while select.select([descriptor], [], [], 0)[0]:
        more = os.read(descriptor, 65536)
        if not more:
            break
        tail = (tail + more)[-_TAIL:]
    return tail


def _start_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(") ")[2].split()[19])


def _remove(directory: str) -> None:
    from shutil import rmtree

    rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
