"""Who this host is: an id minted once and kept with its data, and one running host a data directory."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browserhost import durable, lock
from browserhost.paths import DataRoot
from servicekit.server import CannotStart
from tenure.names import canonical_id

_SALT_BYTES = 32


class DataRootInUse(CannotStart):
    """Another host runs on this data directory."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(path, holder)
        self.path = path
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"a browser host already runs on {self.path}, as process {self.holder or '(unknown)'}. "
            "Stop it first, or give this one a data root of its own (TENURE_DATA_ROOT)."
        )


def boot_id() -> str:
    """Changes with every boot of the machine (proc_sys_kernel(5))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def host_id(root: DataRoot) -> str:
    """This host's id, minted at the first call on a data directory. Raises DiskFull, ValueError."""
    content = durable.read(root.host_file)
    if content is not None:
        return canonical_id(str(json.loads(content)["host"]), "host")
    minted = f"h-{secrets.token_hex(6)}"
    durable.write(root.host_file, json.dumps({"host": minted}).encode())
    return minted


def fingerprint_salt(root: DataRoot) -> bytes:
    """What fingerprints of upstreams are made with, minted once: one that outlives the host is known again.

    Only for the host's user to read, since passwords can be guessed with it. Raises OSError.
    """
    path = root.path / "fingerprints.salt"
    content = durable.read(path)
    if content is not None and len(content) == _SALT_BYTES:
        return content
    minted = secrets.token_bytes(_SALT_BYTES)
    durable.make_directory(root.path)
    path.unlink(missing_ok=True)  # written by halves
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(minted)
        file.flush()
        os.fsync(file.fileno())
    return minted


@contextmanager
def sole_host(root: DataRoot) -> Iterator[None]:
    """Hold the data directory for this process. Raises DataRootInUse naming the holder's pid."""
    descriptor = lock.try_lock(root.lock_file)
    if descriptor is None:
        raise DataRootInUse(root.path, root.lock_file.read_text().strip())
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)
