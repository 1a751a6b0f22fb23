"""What the browser host does unless it is told otherwise, from what this machine is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from browserhost import launches
from browserhost.chrome import LONGEST_TMP


def default_data_root() -> Path:
    """Where state belongs (XDG base directories)."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "tenure"


def default_capacity() -> int:
    """As many browsers as half of the machine's memory holds, at least 2, at most 64."""
    return max(2, min(64, default_memory() // launches.EACH))


def default_memory() -> int:
    """Half of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def default_tmp_root() -> Path:
    """Where temporary files belong, or /tmp when that path is too long for Chrome's sockets."""
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) <= LONGEST_TMP else Path("/tmp")
