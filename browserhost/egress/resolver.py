"""Names to addresses, by the machine's own resolver, away from the event loop and its other threads."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address

from browserhost.egress.addresses import IPAddress, is_localhost, parse

Resolve = Callable[[str], Awaitable[list[IPAddress]]]
"""The addresses of a name or of an address as text, best first. Raises OSError when there are none."""

# A name server that does not answer holds a thread for seconds; writes of the host must not wait for it.
_threads = ThreadPoolExecutor(16, thread_name_prefix="resolve")
_THIS_MACHINE: list[IPAddress] = [IPv4Address("127.0.0.1"), IPv6Address("::1")]


async def resolve(name: str) -> list[IPAddress]:
    """As Resolve says."""
    if is_localhost(name):
        return _THIS_MACHINE
    literal = parse(name)
    if literal is not None:
        return [literal]
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_threads, _look_up, name)
    addresses = (parse(each) for each in found)
    return [each for each in addresses if each is not None]


def _look_up(name: str) -> list[str]:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty, or longer than 63 characters
        raise OSError(str(error)) from None
    return list(dict.fromkeys(str(address[0]) for *_, address in answers))
