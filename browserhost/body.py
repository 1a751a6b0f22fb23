"""What a live browser is made of, and what can be told of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from browserhost import durable
from browserhost.beginning import Parts
from browserhost.camera import Camera
from browserhost.chrome import LaunchSpec
from browserhost.closing import Closing
from browserhost.files.store import Files
from browserhost.first_words import FirstWords
from browserhost.flushing import Flushing
from browserhost.handing import Handing
from browserhost.hands_host import KeptHands
from browserhost.leaving import Leaving
from browserhost.memory import Memory
from browserhost.note import Note
from browserhost.pages import Pages
from browserhost.stilling import Stilling
from tenure.errors import BrowserCrashed


class Body:
    """`pid` and `start_ticks` name Chrome's main process. `timings` are seconds: `launch` to the first
    answer, `attach` to the first page. `ended` resolves once nothing of the browser is left, and the
    profile's lock is free with that. `mux` is where DevTools clients join, `leaving` how they are left
    to a next host.
    """

    def __init__(self, spec: LaunchSpec, parts: Parts, note: Note | None = None) -> None:
        """`note` is of the host that had it before, None where this one starts it."""
        tree, mux = parts.tree, parts.mux
        self.spec, self.mux = spec, mux
        self.pid, self.start_ticks = 0, 0
        self.timings: dict[str, float] = {}
        self._tree, self._forwarder = tree, parts.forwarder
        self._pages = Pages(mux.root)
        self._camera = Camera(mux.root, self._pages)
        self._flushing = Flushing(mux.root, self._pages)
        self._stilling = Stilling(mux.root, self._pages)
        self.files = Files(mux.root, lambda: self.own, spec.user, spec.files)
        self._handing = Handing(
            mux.root,
            self._pages,
            self._stilling,
            parts.forwarder,
            self.files.keep_downloads,
            in_tab=spec.hand_over_in_tab,
            ahead=spec.look_ahead,
        )
        self.hands = KeptHands(lambda: self.display, keep=spec.keep_hands)
        note = note or Note(
            str(spec.profile_dir),
            str(tree.directory),
            str(tree.own),
            user=spec.user,
            cgroup=spec.cgroup,
            fingerprint=spec.fingerprint,
            launched_at=time.monotonic(),
        )
        self.spent = note.spent
        """The method by which a client did what goes on until the browser ends; "" when none did."""
        self._memory = Memory(note, tree, mux, self._pages, kept=bool(spec.keepers.wait_s))
        self._closing = Closing(parts, spec.profile_dir, self._flushing, self.hands, self.files, self._memory)
        self.ended = self._closing.ended
        self.leaving = Leaving(parts.pipe, mux, tree, self._memory)
        mux.on_change, mux.on_leave = self.remember, self.files.keep_downloads
        self._first_words = FirstWords(
            spec,
            parts,
            self._pages,
            self.begin_files,
            self._flushing,
            self._stilling,
            self._handing,
            self._memory,
            self._closing,
        )

    @property
    def flushed_at(self) -> float | None:
        """The unix time of the last flush; None when there was none."""
        return self._flushing.at

    @property
    def fingerprint(self) -> str:
        """Its upstream's, as it was when this was started."""
        return self._memory.note.fingerprint

    @property
    def note(self) -> Note:
        """What a next host would be told of it."""
        return self._memory.note

    @property
    def url(self) -> str:
        """The last committed URL of the front page."""
        front = self._pages.front
        return front.url if front is not None else ""

    @property
    def own(self) -> Path:
        """The folder that is Chrome's own, its TMPDIR. It is there from the start to the end."""
        return self._tree.own

    @property
    def uploads(self) -> Path:
        """The only folder that the session's clients may choose files from."""
        return self.files.uploads

    @property
    def downloads(self) -> Path:
        """Where whatever the session downloads goes."""
        return self.files.downloads

    def begin_files(self, token: int) -> None:
        """Give the token, whose session begins, folders of its own. Raises BrowserCrashed, DiskFull."""
        try:
            with durable.disk_full_is_refused(self.own):
                # Where clients go on, what they and the host before have said of downloads stands.
                self.files.begin(token, tell=not self.mux.roster.waiting)
        except OSError as error:
            raise BrowserCrashed(problem=f"its folders cannot be made: {error}") from error

    def end_files(self, token: int) -> None:
        """Take away what sessions up to the token's put there, and downloaded. Idempotent; does not raise."""
        self.files.end(token)

    @property
    def display(self) -> dict[str, str]:
        """The variables that name its X display, and the file with the cookie that opens it."""
        return {"DISPLAY": self._tree.display, "XAUTHORITY": str(self._tree.directory / "Xauthority")}

    def remember(self, **said: Any) -> None:
        """Have the keeper remember fields of the Note for a next host, at once: before anything is awaited it
        has them, whatever becomes of this process."""
        self._memory.remember(**said)

    def keep_for_nobody(self) -> None:
        """No next host is to go on with it: it ends with this one. Idempotent."""
        self._memory.forget()

    def spend(self, method: str) -> None:
        """A client is about to do what goes on until the browser ends: it is handed on to nobody."""
        if not self.spent:
            self.spent = method
            self.remember(spent=method)
