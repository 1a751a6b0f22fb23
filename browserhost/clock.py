"""The clocks of a host."""

from __future__ import annotations

import time


def boottime() -> float:
    """Seconds since the machine started, also those it slept: what deadlines are counted in."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
