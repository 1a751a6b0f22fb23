"""Ports that are chosen ahead, for programs that begin to listen later or stay away for a while."""

from __future__ import annotations

import errno
import random
import socket
from contextlib import ExitStack
from typing import Self

FREE_PORT = "127.0.0.1:0"

# Below those that the kernel gives to connections that leave (32768 and up, unless told otherwise), so that
# none of these takes one in the meantime.
_CHOICE = (20000, 32768)
_TRIES = 100


class Ports:
    """Ports that nobody else who chooses by this class is given, until `give_back` or this process's end.

    Each has a claim, an abstract unix socket: such a name is seen in the network namespace where the port
    is, is had by one process, and goes with it, however it ends. Whoever chooses in another way may still
    take the port before its program listens, or while it is away.
    """

    def __init__(self) -> None:
        self._claims = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def address(self, listen: str = FREE_PORT, row: int = 1) -> str:
        """`listen` with a free port in place of port 0, the first of a `row` of them.

        Raises OSError when there is none, or the host is none of this machine's.
        """
        host, _, port = listen.rpartition(":")
        if port != "0":
            return listen
        for _ in range(_TRIES):
            first = random.randrange(_CHOICE[0], _CHOICE[1] - row + 1)
            with ExitStack() as claims:
                if all(_claimed(host.strip("[]"), number, claims) for number in range(first, first + row)):
                    self._claims.push(claims.pop_all())
                    return f"{host}:{first}"
        raise OSError(errno.EADDRINUSE, f"no port is free to listen on at {host}")

    def give_back(self) -> None:
        """Let others have them. Idempotent."""
        self._claims.close()


def family(host: str) -> socket.AddressFamily:
    """What kind of address it is."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _claimed(host: str, port: int, claims: ExitStack) -> bool:
    """Whether it is ours now: nobody else has chosen it, and nobody listens there."""
    try:
        claims.enter_context(socket.socket(socket.AF_UNIX)).bind(f"\0tenure-port-{port}")
        socket.create_server((host, port), family=family(host)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
