"""How Chrome and a whole browser ended, or why it did not start. No processes here."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

from browserhost.autopsy import Cause


@dataclass(frozen=True, slots=True)
class Exit:
    """How Chrome ended. `status` is waitpid's, None where the host could not reap it itself.

    `how`: `itself`, `host` (its pipe was closed), `display` (Xvfb died first), `keeper` (the keeper
    died first); with `-killed` where it had to be killed; or `killed` at the host's word.
    """

    status: int | None
    how: str
    stderr: str = ""

    @property
    def clean(self) -> bool:
        return self.status == 0 and self.how in {"itself", "host", "keeper"}

    def __str__(self) -> str:
        if self.how.startswith("display"):
            return "its display (Xvfb) ended first"
        if self.status is None:
            return "it ended while it had no keeper"
        code = os.waitstatus_to_exitcode(self.status)
        text = f"exited with status {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return f"{text} after its keeper died" if self.how.startswith("keeper") else text


class NotTheSame(Exception):
    """What a keeper kept is no live browser any more. The text is a clause for people."""


class StartFailed(Exception):
    """A program of the tree did not start, or Chrome ended at once."""

    def __init__(self, program: str, problem: str) -> None:
        super().__init__(program, problem)
        self.program, self.problem = program, problem

    def __str__(self) -> str:
        return f"{self.program} did not start: {self.problem or 'it said nothing'}"


@dataclass(frozen=True, slots=True)
class BrowserEnd:
    """That a browser ended: `expected` when `close` was called first. `how` is a clause for people."""

    expected: bool
    how: str
    cause: Cause = field(default=Cause.ITSELF, compare=False)


@dataclass(frozen=True, slots=True)
class CloseReport:
    """`clean`: Chrome ended by itself and wrote everything. `flushed_at`: unix time of the last flush."""

    clean: bool
    how: str
    flushed_at: float | None


class NotAdopted(Exception):
    """A browser that another host left is not gone on with. The text is a clause for people."""
