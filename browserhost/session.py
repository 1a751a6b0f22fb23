"""A session as the host knows it: one a hold, an open browser while it lasts, its last facts after."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from tenure.names import SessionName
from tenure.v1 import session_pb2


class State(Enum):
    """Named as `tenure.v1.SessionState`."""

    OPEN = session_pb2.SESSION_STATE_OPEN
    CLOSED = session_pb2.SESSION_STATE_CLOSED
    CRASHED = session_pb2.SESSION_STATE_CRASHED
    CUT = session_pb2.SESSION_STATE_CUT


class Page(Protocol):
    """What a session shows of its browser."""

    @property
    def url(self) -> str: ...

    @property
    def flushed_at(self) -> float | None: ...


@dataclass(slots=True)
class Session:
    """`secret` and `cdp_url` are empty while nobody may connect. Times are seconds since 1970."""

    name: SessionName
    host: str
    proxy_key: str
    opened_at: float
    page: Page | None
    state: State = State.OPEN
    secret: str = ""
    cdp_url: str = ""
    url: str = ""
    flushed_at: float | None = None

    @property
    def token(self) -> int:
        return self.name.fencing_token

    def look(self) -> None:
        """Take over what the browser says now, as long as the session has one."""
        if self.page is not None:
            self.url, self.flushed_at = self.page.url, self.page.flushed_at

    def end(self, state: State) -> None:
        """Keep the last facts and let go of the browser. A session that ended stays as it ended."""
        if self.state in (State.OPEN, State.CUT):
            self.look()
            self.state = state
        self.page = None
        self.secret = self.cdp_url = ""

    def message(self, *, with_cdp_url: bool = False) -> session_pb2.Session:
        """The wire form. The CDP URL has a secret in it, so it is left out unless asked for."""
        self.look()
        message = session_pb2.Session(
            name=str(self.name),
            cdp_url=self.cdp_url if with_cdp_url else "",
            host=self.host,
            proxy_key=self.proxy_key,
            url=self.url,
            open_time=timestamp(self.opened_at),
            state=self.state.value,
            fencing_token=self.token,
        )
        if self.flushed_at is not None:
            message.flushed_at.CopyFrom(timestamp(self.flushed_at))
        return message


def timestamp(seconds: float) -> Timestamp:
    """A wire time from seconds since 1970."""
    stamp = Timestamp()
    stamp.FromNanoseconds(round(seconds * 1e9))
    return stamp
