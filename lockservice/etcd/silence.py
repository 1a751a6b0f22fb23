"""How long a member has let calls wait, to tell a short deadline from a member that does not answer."""

from __future__ import annotations


class Silence:
    """Of one channel. Times are seconds, of any one clock that only rises."""

    def __init__(self) -> None:
        self._waited = 0.0
        # What came before is counted, or was ended by an answer.
        self._upto = 0.0

    def broken(self, now: float) -> None:
        """An answer came."""
        self._waited = 0.0
        self._upto = now

    def waited(self, sent: float, now: float) -> float:
        """A call that was sent at `sent` waited in vain. Returns for how long the member has not answered: it
        itself, or all those that waited since the last answer; of calls that wait side by side the time
        counts once, and when nobody waits none.
        """
        self._waited += max(0.0, now - max(sent, self._upto))
        self._upto = now
        return max(self._waited, now - sent)
