"""DevTools clients that a host before this one left, from the time they may come until they are back."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from browserhost.client import Issued
from browserhost.parked import Parked
from browserhost.web.server import Refused


class Returning:
    """By ticket, of all browsers. `expected` are those of browsers of which it is not known yet whether this
    host goes on with them."""

    def __init__(self) -> None:
        self.expected: frozenset[str] = frozenset()
        self._parked: dict[str, Parked] = {}
        self._issued: dict[str, Issued] = {}

    def expect(self, parked: Mapping[str, Parked]) -> None:
        """They are here; nobody is let in yet."""
        self._parked.update(parked)

    def admit(self, issued: Issued) -> None:
        """Those of the grant's browser may come back to it."""
        for ticket in issued.browser.mux.roster.parked:
            self._issued[ticket] = issued

    def take(self, ticket: str) -> tuple[Issued | None, Parked]:
        """Who comes back, once, and to what; None where he is told why he is not let in.

        Raises Refused: with SERVICE_UNAVAILABLE as long as that is not known, NOT_FOUND for nobody's.
        """
        parked = self._parked.get(ticket)
        if parked is None and ticket in self.expected:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Whether it goes on is not known yet.")
        if parked is None:
            raise Refused(HTTPStatus.NOT_FOUND, "Nobody of this name was left here.")
        issued = self._issued.get(ticket)
        if issued is None and not parked.reason:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Whether it may act is not known yet.")
        self._parked.pop(ticket)
        self._issued.pop(ticket, None)
        return issued, parked
