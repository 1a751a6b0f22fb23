"""Times of the fence that more than one service must agree on. Seconds of CLOCK_BOOTTIME."""

from __future__ import annotations

SERVE_S = 6.0
"""D: how long after *sending* a verify a host serves its token without a further one. Whoever gets no
acknowledgement from a host must wait longer than this before it takes the host to be cut off."""
