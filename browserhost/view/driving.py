"""What a person does in a session: one thing after the other, under the token's fence, as Act does it."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, cast

from browserhost.acting import act, plan
from browserhost.acting.act import Guard, Progress
from browserhost.acting.settle import Patience
from browserhost.browser import Browser
from browserhost.opening import Use
from browserhost.profile import Profile
from browserhost.view import words
from browserhost.view.show import Show
from browserhost.view.viewer import NOT_UNDERSTOOD, Viewer
from browserhost.view.words import Dialog, Done
from tenure.cdp import CdpClosed, CdpError
from tenure.errors import InvalidField, TenureError
from tenure.v1.session_pb2 import Action

AHEAD = 100
"""How much may wait to be done; a person who is that far ahead has long stopped to look."""
FINISH_S = 5.0
"""How long one who has left is still worked for."""
ANSWER_S = 10.0
"""Longer than one slow client can keep all others waiting (`backlog.STALL_S`)."""
"""How long a dialog may take to go."""


class Driving:
    """One person's hands. `heard` takes what they do; `run` does it, until it is cancelled."""

    def __init__(self, profile: Profile, token: int, show: Show) -> None:
        self.viewer: Viewer
        self._profile, self._token, self._show = profile, token, show
        self._due: deque[Action | Dialog | Done] = deque()
        self._told = False
        """That there is too much to do."""
        self._arrived, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    def heard(self, message: Any) -> None:
        """Take one message. The pointer's moves that nobody came to are left out but for the last."""
        if len(message) > words.LONGEST:
            self._refuse("it is too long; paste it in parts")
            return
        said = words.parse(message)
        if said is None:
            self.viewer.close(NOT_UNDERSTOOD)
            return
        if self._due and _moves(said) and _moves(self._due[-1]):
            self._due.pop()
        if len(self._due) < AHEAD or (isinstance(said, Done) and said != self._due[-1]):
            self._due.append(said)
            self._idle.clear()
            self._arrived.set()
        elif not self._told:
            self._told = True
            self._refuse("too much waits to be done; go on once the page shows what you did")

    def _refuse(self, why: str) -> None:
        self.viewer.hear({"type": "refused", "problem": f"Not done: {why}."})

    async def finish(self) -> None:
        """Return once all that was heard is done, or after a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                await self._idle.wait()

    async def run(self) -> None:
        """Do what is heard, in order. Ends, with its viewer, when the session does."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._due:
                try:
                    await self._do(self._due.popleft())
                except InvalidField as refused:
                    self._refuse(f"it {refused.problem}; {refused.remedy}")
                except TenureError as over:
                    self.viewer.close(over.reason)
                    self._idle.set()
                    return
            self._told = False
            self._idle.set()

    async def _do(self, said: Action | Dialog | Done) -> None:
        if isinstance(said, Done):
            self._show.tell({"type": "done"})
            return
        async with self._profile.using(self._token) as use:
            browser = cast("Browser", use.browser)  # nothing else has a display
            if isinstance(said, Dialog):
                await self._answer(browser, use, said)
                return
            plan.check([said])
            async with act.turn(browser):
                await act.act(browser, Guard(use.gate, use.touch), [said], Patience(), Progress())

    async def _answer(self, browser: Browser, use: Use, said: Dialog) -> None:
        page = self._show.page
        if page is None or not page.dialog:
            return
        use.gate()
        use.touch("dialog")
        answer = {"accept": said.accept, "promptText": said.text}
        try:
            await browser.mux.root.call("Page.handleJavaScriptDialog", answer, page.session, timeout=ANSWER_S)
        except (CdpError, CdpClosed, TimeoutError):
            return  # it has gone, or goes with its page


def _moves(said: Action | Dialog | Done) -> bool:
    return isinstance(said, Action) and said.HasField("move")
