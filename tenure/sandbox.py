"""Whether this machine can keep browsers apart, how, and what a person can do where it cannot.

Chrome's own sandbox needs user namespaces, and a user that is not root. A host that is root gives every
tenant a user of its own; any other runs its browsers as itself. Both need what `facts` looks for.
Of the standard library alone: the host and `tenure doctor` share it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

Wanted = Literal["auto", "on", "off"]
LIKE_A_TENANT = 369_999
"""A user id of nobody's, to try with what a tenant's user may do."""
_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_PROBE_S = 10.0
# linux/capability.h
_CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7}
_WITHOUT_NAMESPACES = (
    "allow unprivileged user namespaces (sysctl user.max_user_namespaces=10000, "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container also a seccomp profile that permits them)"
)


class Isolation(Enum):
    """How browsers are kept apart, named as `tenure.v1.Isolation`."""

    USER_PER_TENANT = "a user of its own for every tenant, Chrome's sandbox on"
    OWN_USER = "the host's own user, Chrome's sandbox on"
    NONE = "Chrome's sandbox is off"


class CannotBeHad(Exception):
    """A sandbox is wanted, and this machine cannot give it. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found. `lacking`: capabilities that are not there; `namespaces`: whether a browser's user may
    make user namespaces, `helper`: whether Chrome's setuid helper is installed; `closed`: a directory or
    program that a tenant's user could not come to, empty when there is none."""

    root: bool
    lacking: tuple[str, ...] = ()
    namespaces: bool = True
    helper: bool = False
    closed: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a host does. `reason` and `remedy` are empty where everything is as it should be."""

    isolation: Isolation
    reason: str = ""
    remedy: str = ""

    @property
    def sandbox(self) -> bool:
        """Whether Chrome's own is on."""
        return self.isolation is not Isolation.NONE


def plan(wanted: Wanted, facts: Facts) -> Plan:
    """Decide. Pure. Raises CannotBeHad for a sandbox that is wanted `on` and cannot be."""
    if wanted == "off":
        return Plan(Isolation.NONE, "it was switched off", "set sandbox to auto")
    reason, remedy = _obstacle(facts)
    if not reason:
        return Plan(Isolation.USER_PER_TENANT if facts.root else Isolation.OWN_USER)
    if wanted == "on":
        raise CannotBeHad(f"browsers cannot be sandboxed: {reason}. To have it: {remedy}")
    return Plan(Isolation.NONE, reason, remedy)


def _obstacle(facts: Facts) -> tuple[str, str]:
    if facts.root and facts.lacking:
        lacking = ", ".join(f"CAP_{each}" for each in facts.lacking)
        return f"root lacks {lacking} here", "give the host these capabilities, or run it as an ordinary user"
    if not facts.namespaces and (facts.root or not facts.helper):
        helper = "" if facts.root else ", or install Debian's chromium-sandbox"
        return "user namespaces cannot be made", _WITHOUT_NAMESPACES + helper
    if facts.root and facts.closed:
        return (
            f"'{facts.closed}' is closed to other users",
            "keep data where every user may pass, as in /var/lib/tenure (setting data_root)",
        )
    return "", ""


def facts(places: Iterable[Path], programs: Iterable[str] = ()) -> Facts:
    """Look at this machine, in some 10 ms. `places` a tenant's user must come to, `programs` it must run."""
    root = os.geteuid() == 0
    lacking = _lacking() if root else ()
    return Facts(
        root,
        lacking,
        namespaces=not lacking and _namespaces(root),
        helper=_helper(),
        closed=closed([*places, *(Path(found) for each in programs if (found := shutil.which(each)))])
        if root
        else "",
    )


def control_group() -> Path | None:
    """Where browsers can have control groups (version 2) of their own, below ours; None where they cannot."""
    for mount in _MOUNTS:
        with suppress(OSError):
            lines = Path("/proc/self/cgroup").read_text().splitlines()
            own = next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")
            found = mount / own
            needed = (found, found / "cgroup.procs")
            if needed[1].exists() and all(os.access(each, os.W_OK) for each in needed):
                return found
    return None


def closed(places: Iterable[Path]) -> str:
    """The first directory above one of `places` that other users may not pass; empty when there is none.

    A place itself is its owner's to open. What is not there yet is made where it may be passed.
    """
    for place in places:
        for parent in reversed(place.expanduser().resolve().parents):
            try:
                if not parent.stat().st_mode & 0o001:
                    return str(parent)
            except FileNotFoundError:
                break
    return ""


def _lacking() -> tuple[str, ...]:
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return tuple(name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1)


def _namespaces(root: bool) -> bool:
    """Really tried, since what forbids it has many names."""
    unshare, setpriv = shutil.which("unshare"), shutil.which("setpriv")
    if unshare is None or (root and setpriv is None):
        return False
    like = f"{LIKE_A_TENANT}"
    user = [setpriv or "", f"--reuid={like}", f"--regid={like}", "--clear-groups", "--no-new-privs"]
    command = [*(user if root else ()), unshare, "--user", "--map-root-user", "--pid", "--fork", "true"]
    try:
        done = subprocess.run(command, capture_output=True, cwd="/", timeout=_PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _helper() -> bool:
    places = ("/usr/lib/chromium/chrome-sandbox", "/opt/google/chrome/chrome-sandbox")
    return any(Path(each).exists() and Path(each).stat().st_mode & 0o4000 for each in places)
