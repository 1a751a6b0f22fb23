"""Who is let in to a view. Without a browser."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

import pytest

from browserhost.addresses import Kind
from browserhost.endpoint import CdpEndpoint
from browserhost.host import Host
from browserhost.view.service import Views
from browserhost.web.server import Refused, Visit


class Issued:
    def __init__(self) -> None:
        self.browser, self.clients, self.addresses = self, set[Any](), self
        self.mux, self.root, self.main = self, self, "main"


class Endpoint:
    def __init__(self, kind: Kind) -> None:
        self.issued, self._kind = Issued(), kind

    def find(self, secret: str, kind: Kind) -> Issued | None:
        return self.issued if (secret, kind) == ("secret", self._kind) else None

    def known(self) -> list[Any]:
        return []


class NoSocket:
    """One who asks for a view, and not for a WebSocket."""

    def __init__(self, *parts: str) -> None:
        self.parts = ["view", *parts]

    def accept(self) -> Any:
        raise Refused(HTTPStatus.BAD_REQUEST, "Only a WebSocket is served.")


@pytest.mark.parametrize(
    ("parts", "kind", "status"),
    [
        ((), Kind.VIEW, HTTPStatus.NOT_FOUND),
        (("other",), Kind.VIEW, HTTPStatus.NOT_FOUND),
        (("secret", "else"), Kind.VIEW, HTTPStatus.NOT_FOUND),
        (("secret",), Kind.CONTROL, HTTPStatus.NOT_FOUND),  # its session has ended
        (("secret",), Kind.VIEW, HTTPStatus.BAD_REQUEST),
        (("secret", "words"), Kind.VIEW, HTTPStatus.BAD_REQUEST),
    ],
)
async def test_who_is_not_let_in_leaves_nothing_behind(
    parts: tuple[str, ...], kind: Kind, status: HTTPStatus
) -> None:
    endpoint = Endpoint(kind)
    views = Views(cast("CdpEndpoint", endpoint), cast("Host", endpoint))
    with pytest.raises(Refused) as refused:
        await views._serve(cast("Visit", NoSocket(*parts)))
    assert refused.value.status == status
    assert views._shows == {}
    assert endpoint.issued.clients == set()
