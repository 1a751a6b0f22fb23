"""What the mux knows of one client, and what it needs of the pipe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from browserhost.frames import Piece
from browserhost.targets import View, is_shown
from tenure.cdp import Result

ATTACHED, RECEIVED = "Target.attachedToTarget", "Target.receivedMessageFromTarget"


class Pipe(Protocol):
    """What carries the messages, as `browserhost.pipe.DebuggingPipe`."""

    @property
    def full(self) -> bool: ...

    def write(self, *pieces: Piece) -> None: ...

    def when_room(self, tell: Callable[[], None]) -> None: ...

    def pause(self, who: object) -> None: ...

    def resume(self, who: object) -> None: ...


@dataclass(eq=False, slots=True)
class MuxClient:
    """One client. `deliver` gets messages in pieces, `on_lost` why there will be no more; neither blocks."""

    deliver: Callable[[tuple[Piece, ...]], None]
    on_lost: Callable[[str], None]
    base: str = ""
    """Its browser-level session: where it ends, all of it ends."""
    session: str = ""
    """The one that it takes for the connection's own: the same, or a page's."""
    sessions: set[str] = field(default_factory=set)
    """Its own and its children's."""
    views: dict[str, View] = field(default_factory=dict)
    """What each of them was told of targets."""
    children: dict[str, Child] = field(default_factory=dict)
    banished: set[str] = field(default_factory=set)
    """Sessions on targets that are not of the web."""
    gone: asyncio.Future[Result] | None = None
    """Resolves with Chrome's answer to its detach, once it leaves."""

    def state(self) -> dict[str, Any]:
        """As JSON may have it, for `restore`."""
        return {
            "base": self.base,
            "session": self.session,
            "sessions": sorted(self.sessions),
            "views": {session: sorted(view.told) for session, view in self.views.items()},
            "children": {child: [each.parent, each.target] for child, each in self.children.items()},
            "banished": sorted(self.banished),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the client of which a host before said this. Raises KeyError, TypeError, ValueError."""
        self.base, self.session = str(state["base"]), str(state["session"])
        self.sessions, self.banished = set(state["sessions"]), set(state["banished"])
        self.views = {session: View(told) for session, told in state["views"].items()}
        self.children = {child: Child(*known) for child, known in state["children"].items()}

    def may_hear(self, params: Mapping[str, Any]) -> bool:
        """Whether it may hear of the event that is in a message of a session in the old manner.

        Not that it was attached to what is not of the web. Such a session has no frames of its own.
        """
        if str(params.get("sessionId")) in self.banished:
            return False
        inner = json.loads(params["message"])
        if inner.get("method") == RECEIVED:
            return self.may_hear(inner["params"])
        if inner.get("method") != ATTACHED or is_shown(inner["params"]["targetInfo"]):
            return True
        self.banished.add(str(inner["params"]["sessionId"]))
        return False


@dataclass(frozen=True, slots=True)
class Child:
    """`parent` is the session that it was attached from."""

    parent: str
    target: str


class Asked(NamedTuple):
    """A call that Chrome has not answered yet: whose it is, and its id and method there."""

    client: MuxClient | None
    """None is the host itself."""
    id: int
    method: str = ""
