"""What a browser's keeper remembers of it for a next host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from browserhost.mux import CdpMux
from browserhost.note import Note
from browserhost.pages import Pages
from browserhost.tree import ProcessTree


class Memory:
    """One browser's. `note` is what a next host would be told.

    `ending` are sessions of a host before that are to end, and are remembered until they have.
    """

    def __init__(self, note: Note, tree: ProcessTree, mux: CdpMux, pages: Pages, *, kept: bool) -> None:
        """`kept`: its keeper waits for a next host at all."""
        self.note = note
        self.ending = tuple(each for each in note.sessions if each not in mux.sessions)
        self._tree, self._mux, self._pages, self._kept = tree, mux, pages, kept
        self._begun = False

    def begin(self) -> None:
        """Chrome's process is known: from now on there is something to remember."""
        self._begun = True

    def remember(self, **said: Any) -> None:
        """Have the keeper remember fields of the Note, at once: before anything is awaited it has them,
        whatever becomes of this process."""
        if self._kept and self._begun and not self._tree.gone.done():
            own = (page.session for page in self._pages.all)
            sessions = (*self.ending, *self._mux.sessions, *own)
            self.note = replace(self.note, sessions=sessions, **said)
            self._tree.remember(self.note.text())

    def forget(self) -> None:
        """No next host is to go on with it: it ends with this one. Idempotent."""
        if self._kept:
            self._tree.keep_for_nobody()
