"""A session's DevTools clients at the end of a host that hands over: who comes back, and who is cut off.

Who comes back has asked for it. First it is to send nothing more, then Chrome is read to the end of a
message, then it is told where to go on; what it says to that proves that it has heard all there was.
Only then the next host is told of it. Whoever is late at any step is cut off, and connects anew: where it
is not known what was heard, nothing is said twice.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from browserhost.browser import Browser
from browserhost.client import Client, Guest

_TICKET = 32


async def part(browser: Browser, guests: frozenset[Guest], reason: str) -> None:
    """Leave those to the next host that can be; the others are told `reason`. Does not raise.

    The browser is not to be used afterwards, if any was left.
    """
    clients = [each for each in guests if isinstance(each, Client)]
    answers = await asyncio.gather(*(client.quiet() for client in clients))
    quiet = [client for client, is_quiet in zip(clients, answers, strict=True) if is_quiet]
    others = guests - set(quiet)
    for guest in others:
        guest.close(reason)
    members = [guest.member for guest in others if guest.member is not None]
    with suppress(TimeoutError):
        await asyncio.gather(*(browser.mux.leave(member) for member in members))
    if not quiet:
        return
    tickets = {secrets.token_urlsafe(_TICKET): client for client in quiet}
    left = {}
    if await browser.leaving.rest():
        heard = await asyncio.gather(*(client.part(ticket) for ticket, client in tickets.items()))
        for (ticket, client), has_heard in zip(tickets.items(), heard, strict=True):
            if has_heard and client.member is not None:
                left[ticket] = client.member
    if left:
        await browser.leaving.leave(left)
    for client in quiet:
        client.close(reason)
