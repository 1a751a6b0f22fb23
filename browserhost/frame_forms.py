"""Which frames have sent a form that no document has answered yet. Pure.

A form is answered by the document of its own navigation, redirects included: another that the frame comes
to show meanwhile says nothing of whether what was sent arrived.
"""

from __future__ import annotations


class FrameForms:
    """One browser's; frames and loaders as DevTools names them."""

    def __init__(self) -> None:
        self._asked: dict[str, str] = {}
        self._loaders: dict[str, str] = {}

    def submits(self, frame: str, url: str) -> None:
        """A form is being sent from the frame to that address."""
        self._asked[frame] = url
        self._loaders.pop(frame, None)

    def starts(self, frame: str, loader: str, url: str) -> None:
        """The frame begins to load something, perhaps what the form was sent to."""
        if self._asked.get(frame) == url and frame not in self._loaders:
            self._loaders[frame] = loader

    def lands(self, frame: str, loader: str) -> bool:
        """A document has come; whether no form of the frame is unanswered now.

        Where nobody said which navigation is the form's, any document answers it.
        """
        if self._loaders.get(frame, loader) != loader:
            return False
        self._asked.pop(frame, None)
        self._loaders.pop(frame, None)
        return True
