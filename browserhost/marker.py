"""The open-marker: what a host must remember about a profile's browser if it dies the next moment.

Kept from the first launch on, so that its being there with `used` means "a login may be in the
directory". It is fsynced before Chrome starts and before a hold's end is acknowledged.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from browserhost import durable

RUNNING, CLEAN, UNCLEAN = "running", "clean", "unclean"


@dataclass(frozen=True, slots=True)
class Marker:
    """`token` is the last one under which the browser was driven; `end` is how the browser ended.

    `held`: that token's hold was not closed here. `end` stays RUNNING when nobody saw the
    end: then the end is unproven. `flushed_at`: every cookie set before this moment (seconds
    since 1970) is on disk. `report`: the cause of a suspicion that the lock service has not
    yet confirmed, as a name of SuspicionCause; `suspected`: it has confirmed one for `token`,
    so any later hold of the profile was granted by a decision. `driven`: the last token under which
    a browser was opened; None where that is not known. `config_generation` stands for how the browser looks.
    """

    token: int
    held: bool
    boot_id: str
    pid: int = 0
    start_ticks: int = 0
    proxy_key: str = ""
    flushed_at: float | None = None
    used: bool = False
    end: str = RUNNING
    report: str = ""
    detail: str = ""
    suspected: bool = False
    driven: int | None = None
    config_generation: int = 0


def load(path: Path) -> Marker | None:
    """The marker; None when there is none. One that cannot be read says the least comfortable thing."""
    try:
        content = durable.read(path)
        if content is None:
            return None
        values = json.loads(content)
        return Marker(**{f.name: values[f.name] for f in fields(Marker) if f.name in values})
    except (OSError, ValueError, TypeError):
        # Used, and ended nobody knows how: only a clean directory may start.
        return Marker(token=0, held=False, boot_id="", used=True, detail=f"{path} cannot be read")


def store(path: Path, marker: Marker) -> None:
    """Put the marker on disk. Raises DiskFull, the old one untouched."""
    durable.write(path, json.dumps(asdict(marker)).encode())
