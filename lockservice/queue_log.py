"""When each queue last changed. Pure.

A record says by its own mod_revision when it changed. A queue that somebody left says nothing any more, so it
is noted here, for streams that resume.
"""

from __future__ import annotations

from tenure.names import ProfileName

MOST = 100_000


class QueueLog:
    """Of the `most` queues that changed last. What is not known counts as changed."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._last: dict[ProfileName, int] = {}
        self._unknown_to = 0

    def begin(self, revision: int) -> None:
        """Forget everything: nothing is known of changes up to `revision`."""
        self._last.clear()
        self._unknown_to = revision

    def note(self, profile: ProfileName, revision: int) -> None:
        """A queue changed."""
        # Last in the dictionary's order, which is that of being forgotten.
        self._last[profile] = max(revision, self._last.pop(profile, 0))
        if len(self._last) > self._most:
            forgotten = self._last.pop(next(iter(self._last)))
            self._unknown_to = max(self._unknown_to, forgotten)

    def changed_since(self, profile: ProfileName, revision: int) -> bool:
        """Whether the queue changed, or may have, after `revision`."""
        return revision < self._unknown_to or self._last.get(profile, 0) > revision
