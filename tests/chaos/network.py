"""Network namespaces for three members, made here and removed here; needs root and `ip` (iproute2).

Members sit on one bridge, each in a namespace of its own. What one sends to another is lost without a word
once its neighbour table has a wrong address for it: so a way can be cut in one direction only.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

_numbers = itertools.count()
_NOBODY = "02:de:ad:be:ef:00"


def possible() -> str:
    """Why no namespaces can be made here; "" when they can."""
    if os.geteuid() != 0:
        return "not root: three members cannot be put into network namespaces"
    if shutil.which("ip") is None:
        return "no `ip` (Debian: iproute2): members cannot be put into network namespaces"
    probe = f"tenure-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"the kernel makes no network namespace: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return ""


class Network:
    """A bridge and so many namespaces. Use it as `with`."""

    def __init__(self, count: int = 3) -> None:
        # The kernel takes its time to remove what had a name: no name comes twice.
        number = os.getpid() + 7 * next(_numbers)
        self._bridge = f"tnr{number % 100000}"
        self._subnet = f"10.{200 + number % 50}.{number // 50 % 250}"
        self.names = [f"{self._bridge}m{i}" for i in range(count)]

    def address(self, index: int) -> str:
        """A member's address; this side reaches it too."""
        return f"{self._subnet}.{index + 1}"

    def cut(self, source: int, target: int) -> None:
        """Lose what `source` sends to `target`. Idempotent."""
        self._in(source, "neigh", "replace", self.address(target), "lladdr", _NOBODY, "dev", "eth0")

    def mend(self) -> None:
        """Everybody reaches everybody. Idempotent."""
        for source in range(len(self.names)):
            for target in range(len(self.names)):
                if source != target:
                    here = (self.names[source], "neigh", "del", self.address(target), "dev", "eth0")
                    subprocess.run(["ip", "-n", *here], check=False, capture_output=True)

    def __enter__(self) -> Self:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self._subnet}.254/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for index, name in enumerate(self.names):
            _ip("netns", "add", name)
            outside = f"{name}v"[-15:]
            _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", outside, "master", self._bridge, "up")
            self._in(index, "addr", "add", f"{self.address(index)}/24", "dev", "eth0")
            self._in(index, "link", "set", "eth0", "up")
            self._in(index, "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self.names:
            # The other end of its cable goes with it.
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._bridge], check=False, capture_output=True)

    def _in(self, index: int, *arguments: str) -> None:
        if arguments[:2] == ("neigh", "replace"):
            arguments = (*arguments, "nud", "permanent")
        _ip("-n", self.names[index], *arguments)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
