"""How a keeper starts a program: as whom, in which control group, with which descriptors.

Of the standard library only, as the keeper is; its importer has put the package on the path.
"""

import fcntl
import os
import select
from collections.abc import Mapping

_SIGNALS = (1, 2, 13, 15, 25)  # HUP, INT, PIPE, TERM, XFSZ: those that the keeper or Python ignores
_PR_SET_NO_NEW_PRIVS = 38
_EMPTY_S = 2.0


def private(descriptor: int) -> int:
    """Move a descriptor out of the way of 3 to 5 and keep children from inheriting it."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 16)
    os.close(descriptor)
    return moved


def children() -> list[int]:
    """The processes whose parent this one is."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    if int(stat.read().rpartition(") ")[2].split()[1]) == os.getpid():
                        found.append(int(name))
            except OSError:
                continue  # it ended meanwhile
    return found


def dump_nothing() -> None:
    """Neither this process nor any that it starts leaves its memory behind when it crashes: an account's
    secrets are in there.

    One byte, and not none: a dump that is piped to a program is made whatever the limit is, but for this one
    (core(5), `do_coredump` of Linux). Who may set none but 0 gets that.
    """
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    bytes_ = 0 if most == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (bytes_, bytes_))


class Places:
    """As whom a browser's programs run, and in which control group; None and "": as the keeper does."""

    __slots__ = ("cgroup", "user")

    def __init__(self, user: str, cgroup: str) -> None:
        """The keeper's two words `UID:GID` and `CGROUP`; `-` is neither."""
        self.user = None if user == "-" else (int(user.partition(":")[0]), int(user.partition(":")[2]))
        self.cgroup = "" if cgroup == "-" else cgroup

    def make(self, directory: str) -> dict[str, str]:
        """Make the browser's directory and control group; the environment of its programs.

        With a user of their own the directory stays the keeper's, so that they can take nothing away
        in it, and `t` in it is theirs: TMPDIR, and HOME too, since another user's is not theirs.
        """
        if self.cgroup:
            os.makedirs(self.cgroup, exist_ok=True)
        if self.user is None:
            os.mkdir(directory, 0o700)
            # What nobody told Chrome where to download goes to the folder that this names.
            with open(f"{directory}/user-dirs.dirs", "w") as places:
                places.write(f'XDG_DOWNLOAD_DIR="{directory}/Downloads"\n')
            return {**os.environ, "TMPDIR": directory, "XDG_CONFIG_HOME": directory}
        os.mkdir(directory, 0o711)
        os.chmod(directory, 0o711)  # whatever the umask
        own = f"{directory}/t"
        os.mkdir(own, 0o700)
        os.chown(own, *self.user)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        return {**kept, "TMPDIR": own, "HOME": own}

    def give(self, descriptor: int) -> None:
        """Make an open file theirs."""
        if self.user is not None:
            os.fchown(descriptor, *self.user)

    def leave(self) -> None:
        """End what is still in the control group, which had left everything else, and remove it."""
        from time import monotonic

        deadline = monotonic() + _EMPTY_S
        while self.cgroup:
            try:
                os.rmdir(self.cgroup)
            except FileNotFoundError:
                return
            except OSError:
                # In use until the last of it is dead; should it not be in time, the next host sees to it.
                if monotonic() > deadline:
                    return
                self._kill()
                select.select([], [], [], 0.005)
            else:
                return

    def _kill(self) -> None:
        try:
            with open(f"{self.cgroup}/cgroup.kill", "w") as kill:
                kill.write("1")
        except OSError:
            return

    def spawn(self, argv: list[str], environment: Mapping[str, str], places: Mapping[int, int]) -> int:
        """Start a program in a process group of its own with no descriptors but 0 to 2 and `places`.

        Raises OSError naming the program, with nothing running.
        """
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            moves = {0: null, 1: null, **places}
            if self.user is None and not self.cgroup:
                return os.posix_spawn(
                    argv[0],
                    argv,
                    environment,
                    file_actions=[(os.POSIX_SPAWN_DUP2, source, place) for place, source in moves.items()],
                    setpgroup=0,
                    setsigdef=_SIGNALS,
                )
            return self._fork(argv, environment, moves)
        finally:
            os.close(null)

    def _fork(self, argv: list[str], environment: Mapping[str, str], moves: Mapping[int, int]) -> int:
        problem, problem_end = (private(each) for each in os.pipe())  # closed by the exec that succeeds
        child = os.fork()
        if child == 0:
            try:
                self._become(argv, environment, moves)
            except OSError as error:
                os.write(problem_end, str(error.errno).encode())
            finally:
                os._exit(127)
        os.close(problem_end)
        try:
            number = os.read(problem, 16)
        finally:
            os.close(problem)
        if number:
            os.waitpid(child, 0)
            raise OSError(int(number), os.strerror(int(number)), argv[0])
        return child

    def _become(self, argv: list[str], environment: Mapping[str, str], moves: Mapping[int, int]) -> None:
        """In the child: become the program. Returns never; raises OSError."""
        import ctypes
        import signal

        os.setpgid(0, 0)
        if self.cgroup:
            group = os.open(f"{self.cgroup}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            os.write(group, b"0")
        if self.user is not None:
            uid, gid = self.user
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS) failed")
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for place, source in moves.items():
            os.dup2(source, place, inheritable=True)
        os.execve(argv[0], argv, dict(environment))
