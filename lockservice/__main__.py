"""`python -m lockservice` serves; `python -m lockservice raise-epoch` is for after a restore of etcd."""

from __future__ import annotations

import asyncio
import os
import sys

from lockservice.core.keys import Keys
from lockservice.epoch import raise_epoch
from lockservice.etcd.client import Etcd
from lockservice.etcd.errors import EtcdError
from lockservice.service import serve
from lockservice.settings import LockSettings
from servicekit.main import run
from servicekit.settings import load

RAISE_EPOCH = "raise-epoch"


async def _raise_epoch(settings: LockSettings) -> int:
    async with Etcd(settings.endpoints, settings.tls) as etcd:
        return await raise_epoch(etcd, Keys(settings.etcd_prefix))


def _main() -> None:
    if sys.argv[1:2] != [RAISE_EPOCH]:
        run("lockservice", LockSettings, serve)
    settings = load(LockSettings, sys.argv[2:], os.environ, program=f"python -m lockservice {RAISE_EPOCH}")
    try:
        epoch = asyncio.run(_raise_epoch(settings))
    except (EtcdError, ValueError) as error:
        sys.exit(f"The epoch was not raised for certain: {error}")
    print(f"The epoch is {epoch}. Every hold of before becomes suspect, and all later tokens are higher.")


if __name__ == "__main__":
    _main()
