"""Whose is what on one debugging pipe: sessions, calls under way, what is known of targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from browserhost.member import Asked, MuxClient
from browserhost.parked import Parked
from browserhost.targets import Targets


class Roster:
    """The tables are the same objects for good; who routes may keep them at hand.

    `bases` are the sessions with which everything ends that clients set up, `watch` is the one on which
    targets are followed. `parked` are the clients of a host before that are not back yet, or are not to
    come back, by ticket.
    """

    def __init__(self) -> None:
        self.calls: dict[int, Asked] = {}
        self.owners: dict[str, MuxClient] = {}
        self.clients: set[MuxClient] = set()
        self.bases: set[str] = set()
        self.targets = Targets()
        self.watch = ""
        self.parked: dict[str, Parked] = {}

    @property
    def sessions(self) -> tuple[str, ...]:
        """With which everything ends that clients set up, and what is followed here."""
        return tuple(sorted(self.bases | ({self.watch} if self.watch else set())))

    @property
    def waiting(self) -> list[Parked]:
        """The clients of a host before that are not back yet, and still may be."""
        return [each for each in self.parked.values() if each.waits]

    def join(self, client: MuxClient) -> None:
        """A client is there, with its base."""
        self.clients.add(client)
        self.bases.add(client.base)
        self.owners[client.base] = client

    def own(self, client: MuxClient, session: str) -> None:
        """A session is the client's; "" is none."""
        if session:
            client.sessions.add(session)
            self.owners[session] = client

    def forget(self, client: MuxClient, child: str) -> None:
        """A child session of the client's is over."""
        self.owners.pop(child, None)
        client.sessions.discard(child)
        client.children.pop(child, None)
        client.views.pop(child, None)

    def remove(self, client: MuxClient) -> None:
        """Nothing is the client's any more; its base ends only when Chrome says so."""
        self.clients.discard(client)
        self.owners.pop(client.base, None)
        for session in client.sessions:
            self.owners.pop(session, None)
        client.sessions.clear()
        client.children.clear()
        for number in [number for number, call in self.calls.items() if call.client is client]:
            del self.calls[number]

    def state(self, clients: Mapping[str, MuxClient]) -> dict[str, Any]:
        """What a next host needs to go on with these clients, by ticket, as JSON may have it.

        It holds for as long as nothing is sent and nothing is read.
        """
        tickets = {client: ticket for ticket, client in clients.items()}
        calls = [
            [number, tickets[call.client], call.id, call.method]
            for number, call in self.calls.items()
            if call.client in tickets
        ]
        return {
            "clients": {ticket: client.state() for ticket, client in clients.items()},
            "calls": calls,
            "watch": self.watch,
            "targets": {target: dict(info) for target, info in self.targets.known.items()},
        }

    def restore(self, state: Mapping[str, Any], dismiss: Callable[[MuxClient], object]) -> None:
        """Go on with the clients of a host before: they are parked. `dismiss` ends one's sessions.

        Once, before anything is read. Raises KeyError, TypeError, ValueError with nothing changed.
        """
        parked = {str(ticket): Parked(dismiss, known) for ticket, known in state["clients"].items()}
        calls = {
            int(number): Asked(parked[ticket].member, int(given), str(method))
            for number, ticket, given, method in state["calls"]
        }
        self.targets, self.watch = Targets(state["targets"]), str(state["watch"])
        self.calls.update(calls)
        for each in parked.values():
            self.join(each.member)
            for session in each.member.sessions:
                self.owners[session] = each.member
            each.wait()
        self.parked = parked
