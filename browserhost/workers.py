"""Stops workers: those of pages with their page, those of no page with what a client may have left there.

A service worker is the account's own and stays registered; what runs of it is ended, and starts anew, as it
was registered, when a page needs it. Chrome does not end a worker that never comes to rest, whatever it says
(seen on Chrome 156: its target goes, and its loop goes on). So each is paused first, and one that takes no
notice of that counts as stuck.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from browserhost.targets import CREATED, DESTROYED, is_shown
from tenure.cdp import CdpClient, Result

LASTING = ("service_worker", "shared_worker")
"""Kinds that no page's end is theirs."""
_ATTACHED = "Target.attachedToTarget"
_CRASHED = "Inspector.targetCrashed"
_FOLLOW: dict[str, Any] = {
    "autoAttach": True,
    "waitForDebuggerOnStart": False,
    "flatten": True,
    "filter": [{"type": "worker"}, {"exclude": True}],
}


@dataclass(slots=True)
class _Paused:
    """A worker that was attached to, to be paused. `owner` is the session of the page or frame that it is of,
    or of the worker of no page, which is its own.
    """

    owner: str
    answer: asyncio.Future[Result]


@dataclass(slots=True)
class _Lasting:
    """A worker of no page."""

    gone: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    session: str = ""
    taken: bool = False
    """It is to be paused."""
    doomed: bool = False
    """It is to end after that."""
    heard: bool = False
    """It has taken notice of that."""


class Workers:
    """One browser's. `root` discovers those that last, and attaches to those of pages as it is told to."""

    def __init__(self, root: CdpClient) -> None:
        self._root = root
        self._stopping = self._ending = False
        self._lasting: dict[str, _Lasting] = {}
        self._paused: dict[str, _Paused] = {}
        root.listen(self._event)

    def stop(self, *, for_good: bool) -> None:
        """Pause those of no page, also those that start until `over`; `for_good` they end. Idempotent."""
        self._stopping, self._ending = True, self._ending or for_good
        for target, worker in self._lasting.items():
            self._take(target, worker)

    def over(self) -> None:
        """What starts from now on runs; what was stopped stays so."""
        self._stopping = self._ending = False

    def resume(self, pages: Collection[str]) -> None:
        """Let those of the pages go on, by the pages' sessions, and those of no page that are not to end."""
        kept = [worker for worker in self._lasting.values() if not worker.doomed]
        free = {worker.session for worker in kept}.union(pages)
        for session in [name for name, each in self._paused.items() if each.owner in free]:
            self._release(session)
        for worker in kept:
            worker.session, worker.taken = "", False

    def of(self, pages: Collection[str]) -> list[asyncio.Future[Result]]:
        """Resolve as those of the pages take notice of being paused."""
        return [worker.answer for worker in self._paused.values() if worker.owner in pages]

    async def departures(self) -> None:
        """Return once none that is to end is there any more. The caller bounds it."""
        for gone in self.going:
            await asyncio.shield(gone)

    @property
    def going(self) -> list[asyncio.Future[None]]:
        """Resolve as those that are to end are gone; one that is stuck never is."""
        return [worker.gone for worker in self._lasting.values() if worker.doomed]

    def _take(self, target: str, worker: _Lasting) -> None:
        worker.doomed = worker.doomed or self._ending
        if not worker.taken:
            worker.taken = True
            self._root.post("Target.attachToTarget", {"targetId": target, "flatten": True})
        elif worker.session in self._paused:
            self._end_once_paused(target, worker)

    def _event(self, method: str, params: Result, session: str) -> None:
        if method == _ATTACHED:
            self._attached(params["sessionId"], params["targetInfo"], session)
        elif method == "Target.detachedFromTarget":
            self._paused.pop(params["sessionId"], None)
        elif session:
            if method == _CRASHED:
                self._stopped(session)
        elif method == CREATED and params["targetInfo"]["type"] in LASTING and is_shown(params["targetInfo"]):
            target = params["targetInfo"]["targetId"]
            if target not in self._lasting:
                self._lasting[target] = _Lasting()
            if self._stopping:
                self._take(target, self._lasting[target])
        elif method == DESTROYED:
            self._gone(params["targetId"])

    def _attached(self, session: str, info: Result, parent: str) -> None:
        target, kind = info["targetId"], info["type"]
        if kind == "worker" and parent:
            above = self._paused.get(parent)
            self._pause(session, above.owner if above is not None else parent)
        elif kind in LASTING and not parent:
            worker = self._lasting.get(target)
            if worker is None or not worker.taken:
                self._release(session)  # it was let go on before it was there
                return
            worker.session = session
            self._pause(session, session)
            self._end_once_paused(target, worker)

    def _pause(self, session: str, owner: str) -> None:
        self._root.post("Debugger.enable", {}, session)
        self._paused[session] = _Paused(owner, self._root.post("Debugger.pause", {}, session))
        self._root.post("Target.setAutoAttach", _FOLLOW, session)

    def _end_once_paused(self, target: str, worker: _Lasting) -> None:
        if worker.doomed:
            answer = self._paused[worker.session].answer
            answer.add_done_callback(lambda answer: self._end(target, worker, answer))

    def _end(self, target: str, worker: _Lasting, paused: asyncio.Future[Result]) -> None:
        if not paused.cancelled() and paused.exception() is None:
            worker.heard = True
            self._root.post("Target.closeTarget", {"targetId": target})

    def _stopped(self, session: str) -> None:
        """A service worker has ended. As long as somebody is attached its target waits for its next start."""
        for target, worker in list(self._lasting.items()):
            if worker.session == session:
                self._release(session)
                self._gone(target)

    def _gone(self, target: str) -> None:
        worker = self._lasting.get(target)
        # Of one that never took notice only the target is gone.
        if worker is not None and (worker.heard or not (worker.doomed and worker.session)):
            del self._lasting[target]
            worker.gone.set_result(None)

    def _release(self, session: str) -> None:
        self._paused.pop(session, None)
        self._root.post("Debugger.disable", {}, session)
        self._root.post("Target.detachFromTarget", {"sessionId": session})
