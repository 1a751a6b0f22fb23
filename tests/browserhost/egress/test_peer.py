"""Whose socket is at the other end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from browserhost.egress import peer

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["netlink", "table"])
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int | None]:
    """Either way of asking."""
    if request.param == "table":

        def refuse(*_: object) -> int | None:
            raise PermissionError

        monkeypatch.setattr(peer, "_ask_kernel", refuse)
    else:
        monkeypatch.setattr(peer, "_TABLE", Path("/nonexistent"))
    return peer.uid_of


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection: the client's socket, the server's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with client, accepted:
            yield client, accepted


def test_an_open_socket_is_its_users(ask: Callable[..., int | None], pair: Pair) -> None:
    client, accepted = pair
    assert ask(client.getsockname(), accepted.getsockname()) == os.geteuid()


def test_a_socket_that_its_owner_has_closed_is_nobodys(ask: Callable[..., int | None], pair: Pair) -> None:
    client, accepted = pair
    at = client.getsockname()
    client.sendall(b"said before it went")
    client.close()
    assert ask(at, accepted.getsockname()) is None
    assert accepted.recv(5) == b"said "


def test_where_there_is_no_socket_there_is_no_user(ask: Callable[..., int | None], pair: Pair) -> None:
    assert ask(("127.0.0.1", 1), pair[1].getsockname()) is None
    assert ask(("127.9.9.9", pair[0].getsockname()[1]), pair[1].getsockname()) is None
