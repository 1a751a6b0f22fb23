"""What a person asks of a session that is somebody's: where it stands, and an address to look at it."""

from __future__ import annotations

import grpc.aio

from tenure.duration import to_duration
from tenure.errors import NotFound
from tenure.files import SessionFiles
from tenure.hold import CALL_TIMEOUT_S
from tenure.overseeing import Overseeing
from tenure.retry import call, call_again
from tenure.v1 import session_pb2, session_service_pb2, session_service_pb2_grpc


class Viewing(Overseeing):
    """The calls of a connected client that look at sessions; none needs a worker."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._sessions = session_service_pb2_grpc.SessionServiceStub(channel)

    async def view_url(self, profile: str, *, ttl: float = 60.0) -> str:
        """An address where a person sees the session that is open on a profile, whosever it is, and no more.

        As `Session.view_url`. Raises NotFound when no session is open, PermissionDenied.
        """
        shown = await self.session_of(profile)
        request = session_service_pb2.IssueViewUrlRequest(session=shown.name, ttl=to_duration(ttl, "ttl"))
        return (await call(self._sessions.IssueViewUrl, request, timeout=CALL_TIMEOUT_S)).url

    async def files(self, profile: str) -> SessionFiles:
        """The files of the session that is open on a profile, under its hold. Raises NotFound."""
        shown = await self.session_of(profile)
        return SessionFiles(self._sessions, shown.name, shown.fencing_token)

    async def session_of(self, profile: str) -> session_pb2.Session:
        """The session under the profile's hold. Raises NotFound."""
        held = (await self.explain(profile)).profile
        name = f"{held.name}/sessions/{held.hold.fencing_token}"
        if not held.hold.fencing_token:
            raise NotFound(f"Nobody holds {held.name}.", name=name)
        asked = session_service_pb2.GetSessionRequest(session=name)
        return (await call_again(self._sessions.GetSession, asked, timeout=CALL_TIMEOUT_S)).session
