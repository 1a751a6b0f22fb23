"""One page of a browser as the host knows it, and who hears what happens there."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol


class Observer(Protocol):
    """Who is told what happens on the pages. None of it may block.

    `own` is the document that the host itself navigated to.
    """

    def committed(self, url: str, *, own: bool) -> None: ...

    def submits(self, frame: str) -> None: ...

    def landed(self, frame: str) -> None: ...


@dataclass(eq=False, slots=True)
class Page:
    """One tab or window."""

    target: str
    session: str
    context: str
    url: str
    dialog: str = ""
    """The kind of the dialog that is open: alert, confirm, prompt, beforeunload; "" when none is."""
    loaders: deque[str] = field(default_factory=lambda: deque(maxlen=16))
    """Documents committed in the main frame, the present one last."""
    loaded: bool = False
    failed: bool = False
    """The present document is Chrome's own error page."""
    leaving: bool = False
    """The host navigates or closes it: a page that asks whether to stay is not heard."""
    broken: bool = False
    """Its renderer crashed, or the tab is gone."""
    closing: bool = False
    """It is about to go; Chrome takes up to 0.2 s for that after it has said yes."""
    tainted: bool = False
    """A client may have left something in it: it is not handed on."""
    still: bool = False
    """It was stilled, and not woken since."""
    frozen: bool = False
    """That was done too, which has it hidden."""
    stuck: bool = False
    """It did not take notice when it was stilled: it is busy, or was."""
    own: str = ""
    """The document that the host navigated to last, once Chrome has said which that is."""
    unsaid: list[tuple[str, str]] | None = None
    """Documents and addresses committed while that is not known yet."""
    told: deque[str] = field(default_factory=lambda: deque(maxlen=16))
    """Documents that the observer has been told of."""
    frames: set[str] = field(default_factory=set)
    """Sessions on those of its frames that run in processes of their own."""
    secrets: set[tuple[str, int]] = field(default_factory=set)
    """Fields that were seen to hold a secret, by session and lasting node id: they may show it later."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_at(self, loader: str) -> bool:
        """Whether that document is the present one."""
        return bool(self.loaders) and self.loaders[-1] == loader

    def commits(self, loader: str) -> None:
        """Take notice of a document, of which Chrome tells in more than one way."""
        self.broken = False
        if not self.is_at(loader):
            self.loaders.append(loader)
            self.loaded = False

    def landed(self, loader: str) -> bool:
        """Whether that document, or one it led to, has been loaded."""
        return loader in self.loaders and self.loaded
