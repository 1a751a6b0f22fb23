"""Control groups (version 2) for browsers, where the machine lets us make them: nothing escapes from one.

A browser's processes may leave their process group, and its keeper may be killed; they cannot leave the
control group. So a group that was killed and is empty proves that nothing of the browser is left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tenure import sandbox

_PREFIX = "tenure-"
_EMPTY_S = 5.0
_LOOK_S = 0.005


def find(wanted: str, host: str) -> Path | None:
    """The directory for a host's groups, made; None where there is none to be had, or it is not wanted.

    `wanted` is `auto`, `off`, or a directory of version 2 that is ours. `host` names whose groups they are.
    """
    if wanted == "off":
        return None
    base = sandbox.control_group() if wanted == "auto" else Path(wanted)
    if base is None or not (base / "cgroup.procs").exists():
        return None
    place = base / f"{_PREFIX}{host}"
    with suppress(OSError):
        place.mkdir(exist_ok=True)
        if (place / "cgroup.kill").exists():
            return place
        # The kernel is older than 5.14.
        place.rmdir()
    return None


def groups(place: Path) -> Iterator[Path]:
    """The browsers' groups in a host's directory."""
    with suppress(OSError):
        yield from sorted(each for each in place.iterdir() if each.is_dir())


def members(group: Path) -> list[int]:
    """The processes in a group; none where there is no such group."""
    try:
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def end(group: Path) -> bool:
    """Kill what is in a group and remove it; whether that proved that nothing is left. Blocks. Idempotent."""
    if not group.exists():
        return True
    with suppress(OSError):
        (group / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + _EMPTY_S
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            # Busy: what was killed still ends, or cannot yet.
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        else:
            return True
