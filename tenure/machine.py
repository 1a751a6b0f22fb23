"""What a machine must have before Tenure can run on it: one table, read by `tenure doctor` and by set-up.

Set-up runs this file before anything is installed, so it needs the standard library and nothing of ours:

    python3 -I tenure/machine.py              # a table; exit 1 when something is missing
    python3 -I tenure/machine.py --packages   # the missing Debian packages, on one line; always exit 0

`-I` matters: without it Python would put this folder, and with it our `token.py`, ahead of the library's.
"""

import ctypes
import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

OLDEST_PYTHON = (3, 11)

Locate = Callable[[str], str | None]
"""Where a command or a Python module is, or None."""


@dataclass(frozen=True, slots=True)
class Need:
    """Something to be found on the machine: any one of `commands`, or else a Python module, or a library."""

    package: str
    """The Debian package that brings it."""
    why: str
    commands: tuple[str, ...] = ()
    module: str = ""
    library: str = ""

    @property
    def name(self) -> str:
        return self.library or (self.commands[0] if self.commands else f"python3 -m {self.module}")

    def path(self, command: Locate = shutil.which, module: Locate | None = None) -> str | None:
        """Where it is: the first of `commands` on PATH; None when the machine lacks it. A library's name."""
        if self.library:
            return library_name(self.library)
        if self.module:
            return (module or module_origin)(self.module)
        return next((found for name in self.commands if (found := command(name))), None)


def module_origin(name: str) -> str | None:
    spec = importlib.util.find_spec(name)
    return spec.origin if spec else None


def library_name(name: str) -> str | None:
    """The library, where the system's loader finds it."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    return name


VENV = Need("python3-venv", "makes the virtual environment", module="ensurepip")
GIT = Need("git", "compares the protos with those of the last commit", ("git",))
OPENSSL = Need("openssl", "makes the certificates of the tests", ("openssl",))
ETCD = Need("etcd-server", "keeps holds, queues and tokens", ("etcd",))
ETCDCTL = Need("etcd-client", "backs etcd up, and restores it", ("etcdctl",))
STRACE = Need("strace", "makes the disk of a test's etcd slow", ("strace",))
CHROME = Need(
    "chromium",
    "is the browser",
    ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"),
)
XVFB = Need("xvfb", "gives every browser a display of its own", ("Xvfb",))
XDOTOOL = Need("xdotool", "sends real mouse and keyboard input", ("xdotool",))
XDAMAGE = Need("libxdamage1", "tells what a display shows anew", library="libXdamage.so.1")
SETPRIV = Need("util-linux", "ends every service with its supervisor", ("setpriv",))
FLOCK = Need("util-linux", "keeps two set-ups from meeting", ("flock",))

NEEDS = (VENV, GIT, OPENSSL, ETCD, ETCDCTL, STRACE, CHROME, XVFB, XDOTOOL, XDAMAGE, SETPRIV, FLOCK)


def missing(needs: Sequence[Need] = NEEDS, command: Locate = shutil.which) -> list[Need]:
    """The needs that this machine does not meet, in the table's order."""
    return [need for need in needs if need.path(command) is None]


def packages(needs: Sequence[Need]) -> list[str]:
    """The Debian packages that bring `needs`, each once, in the table's order."""
    return list(dict.fromkeys(need.package for need in needs))


def remedy(needs: Sequence[Need], *, apt: bool) -> str:
    """What a person does about `needs`; `apt` says whether the machine installs Debian packages."""
    if not needs:
        return ""
    if apt:
        return f"sudo apt-get install --no-install-recommends {' '.join(packages(needs))}"
    lines = (f"  {' or '.join(need.commands) or need.name}   (Debian: {need.package})" for need in needs)
    return "\n".join(["install with your system's package manager:", *lines])


def python_problem(version: tuple[int, ...]) -> str | None:
    """Why a Python of this version cannot run Tenure, and what to do; None when it can."""
    if version >= OLDEST_PYTHON:
        return None
    wanted, found = (".".join(map(str, each[:2])) for each in (OLDEST_PYTHON, version))
    return f"Python {wanted} or newer is needed, python3 is {found}: put a newer python3 first on PATH"


def main(arguments: Sequence[str]) -> int:
    lacking = missing()
    if "--packages" in arguments:
        sys.stdout.write(" ".join(packages(lacking)) + "\n")
        return 0
    for need in NEEDS:
        sys.stdout.write(f"{need.path() or 'MISSING':<28} {need.name}: {need.why}\n")
    problem = python_problem(sys.version_info[:3])
    for advice in (problem, remedy(lacking, apt=shutil.which("apt-get") is not None)):
        if advice:
            sys.stdout.write(f"\n{advice}\n")
    return 1 if lacking or problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
