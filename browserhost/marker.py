"""The open-marker: what a host must remember about a profile's browser if it dies the next moment.

Kept from the first launch on, so that its being there with `used` means "a login may be in the
directory". It is fsynced before Chrome starts and before a hold's end is acknowledged.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
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

    def begun(self, token: int) -> Marker:
        """The running browser is about to be driven under another hold."""
        return replace(self, token=token, held=True, used=True, suspected=False, driven=token)

    def taken_back(self, before: Marker, token: int) -> Marker:
        """It ended before anything was done under `token`: its end is judged as that of the hold `before`.

        What `begun` changed is as it was, unless something was said of the token meanwhile.
        """
        if self.token != token or self.suspected or self.report != before.report:
            return self
        flushed_at = before.flushed_at if self.flushed_at is None else self.flushed_at
        return replace(
            self,
            token=before.token,
            held=before.held,
            used=before.used,
            suspected=before.suspected,
            driven=before.driven,
            flushed_at=flushed_at,
        )


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
