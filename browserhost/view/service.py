"""`/view/SECRET` at the host's own listener: the gateway brings people there.

A socket gets pictures as binary messages (JPEG) and words as text: what is shown, that somebody is done, what
was refused. `/view/SECRET/words` is the same without the pictures.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from browserhost.addresses import Kind
from browserhost.browser import Browser
from browserhost.client import Issued
from browserhost.endpoint import CdpEndpoint, check_room
from browserhost.host import Host
from browserhost.profile import Profile
from browserhost.view.driving import Driving
from browserhost.view.show import Show
from browserhost.view.viewer import Viewer
from browserhost.web.server import Refused, Route, Visit

WORDS = "words"


class Views:
    """Serves the route."""

    def __init__(self, endpoint: CdpEndpoint, host: Host) -> None:
        self._endpoint, self._host = endpoint, host
        self._shows: dict[Browser, Show] = {}

    def register(self) -> None:
        """Have the listener serve it."""
        self._endpoint.web.routes["view"] = Route(self._serve)

    async def _serve(self, visit: Visit) -> None:
        secret, rest = (visit.parts[1], visit.parts[2:]) if len(visit.parts) > 1 else ("", [])
        looks = self._endpoint.find(secret, Kind.VIEW)
        issued = looks or self._endpoint.find(secret, Kind.CONTROL)
        if issued is None or rest not in ([], [WORDS]):
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such session, or it has ended.")
        check_room(issued, Viewer)
        show = self._shows.get(issued.browser) or Show(issued.browser)
        drives = None if looks is not None else self._driving(issued, show)
        socket = visit.accept()
        self._shows[issued.browser] = show  # once it is certain that somebody comes who leaves it again
        heard = drives.heard if drives is not None else None
        viewer = Viewer(issued, socket, heard, wants_pictures=rest != [WORDS])
        # Nothing is awaited between the look-up and this, so a cut finds either no grant or this viewer.
        issued.clients.add(viewer)
        driving = None
        if drives is not None:
            drives.viewer = viewer
            driving = asyncio.create_task(drives.run(), name="a person's hands")
        try:
            show.join(viewer)
            if driving is not None:
                viewer.hear({"type": "control"})
            await viewer.run()
        finally:
            issued.clients.discard(viewer)
            if drives is not None and driving is not None:
                await drives.finish()
                driving.cancel()
                await asyncio.gather(driving, return_exceptions=True)
            await show.leave(viewer)
            if not show.seen and self._shows.get(issued.browser) is show:
                del self._shows[issued.browser]

    def _driving(self, issued: Issued, show: Show) -> Driving:
        """The hands for the session that the grant is of. Raises Refused when it has ended."""
        profile = self._profile_of(issued)
        if profile is None or profile.session is None:
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such session, or it has ended.")
        return Driving(profile, profile.session.token, show)

    def _profile_of(self, issued: Issued) -> Profile | None:
        for profile in self._host.known():
            if profile.session is not None and profile.session.secret == issued.addresses.main:
                return profile
        return None
