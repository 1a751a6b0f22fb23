"""`python -m lockservice` serves; `python -m lockservice raise-epoch` is for after a restore of etcd.

`one-of-several` is how the parent of several processes starts each of them.
"""

from __future__ import annotations

from servicekit import lean  # noqa: F401 - before all others

# isort: split
import os
import sys
from functools import partial

from lockservice import processes, raising
from lockservice.epoch import RAISE_EPOCH
from lockservice.settings import LockSettings
from servicekit.main import run

if __name__ == "__main__":
    match sys.argv[1:]:
        case [command, *flags] if command == RAISE_EPOCH:
            raising.main(flags, os.environ)
        case [command, parent, *flags] if command == processes.ONE_OF_SEVERAL:
            processes.join(int(parent), flags)
        case flags:
            run("lockservice", LockSettings, partial(processes.serve, argv=flags))
