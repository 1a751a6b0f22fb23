"""Raising the epoch, recorded as a call."""

from __future__ import annotations

from collections.abc import Sequence

from lockservice.core.keys import Keys
from lockservice.etcd.client import Etcd
from lockservice.etcd.errors import EtcdError
from lockservice.raising import raise_epoch
from tests.chaos.call import OK, UNCLEAR, Call
from tests.chaos.recorder import Recorder


async def bump(recorder: Recorder, endpoints: Sequence[str], root: str) -> Call:
    """Raise it once, as after a restore; the outcome may be unclear."""
    call = recorder.begin("admin", "bump", "", "etcd")
    try:
        async with Etcd(list(endpoints)) as etcd:
            number = await raise_epoch(etcd, Keys(root))
    except (EtcdError, ValueError) as error:
        return recorder.end(call, UNCLEAR, reason=type(error).__name__)
    return recorder.end(call, OK, epoch=number)
