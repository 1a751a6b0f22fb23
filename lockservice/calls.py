"""What every servicer needs of the call being served: who calls, and until when an answer is of use."""

from __future__ import annotations

import asyncio

from servicekit.call import remaining_s

# Our own answer, with its reason, should arrive before the caller's deadline strikes.
_MARGIN_S = 0.25
_MARGIN_SHARE = 0.1
# A stream has no deadline; each of its messages gets this long.
_MESSAGE_S = 10.0


def deadline() -> float:
    """When to answer at the latest, on the event loop's clock."""
    now = asyncio.get_running_loop().time()
    left = remaining_s()
    if left is None:
        return now + _MESSAGE_S
    return now + left - min(_MARGIN_S, left * _MARGIN_SHARE)
