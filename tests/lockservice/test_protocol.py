"""The decisions under every order of events that hypothesis finds: late Txns, retries, expiry, several
replicas.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

from lockservice.core import release
from tests.lockservice.flights import NOTHING, Flight
from tests.lockservice.parties import Owners, Recovery


class Protocol(Owners, Recovery):
    """Everybody at once."""


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def late(decide: Callable[[Protocol], None], meanwhile: Callable[[Protocol], None]) -> Protocol:
    """What is decided first arrives last. Returns the machine with that one Txn in flight."""
    machine = Protocol()
    machine.begin()
    # An even number in flight leaves the next one there.
    machine.flying = [Flight(NOTHING)]
    decide(machine)
    decided = machine.flying.pop()
    machine.flying.clear()
    meanwhile(machine)
    machine.flying = [decided]
    return machine


def held_by_a(machine: Protocol) -> None:
    machine.flying.clear()
    machine.acquires("a", 1, waits=False)


@pytest.mark.parametrize(
    ("kind", "decide", "meanwhile"),
    [
        # A grant decided on a free profile that somebody else got.
        (b"/p/", lambda m: m.acquires("b", 1, waits=False), held_by_a),
        # A grant to a worker whose lease ended.
        (b"/w/", lambda m: m.acquires("b", 1, waits=False), lambda m: m.lease_ends("b")),
        # A grant of a request that was given up before it arrived.
        (b"/k/", lambda m: m.acquires("b", 1, waits=False), lambda m: m.cancels("b", 1)),
    ],
)
def test_a_late_txn_is_stopped_by_what_it_compares(
    kind: bytes, decide: Callable[[Protocol], None], meanwhile: Callable[[Protocol], None]
) -> None:
    guarded, mutant = late(decide, meanwhile), late(decide, meanwhile)
    ((write, *_),) = guarded.flying
    assert not guarded.world.apply(write)
    mutant.world.ignored = (kind,)
    assert mutant.world.apply(write)


@pytest.mark.parametrize("ignored", [(), (b"/q/",)])
def test_a_release_decided_on_an_empty_queue_does_not_overlook_who_joined(ignored: tuple[bytes, ...]) -> None:
    def meanwhile(machine: Protocol) -> None:
        machine.acquires("b", 1, waits=True)

    def decide(machine: Protocol) -> None:
        held_by_a(machine)
        machine.flying = [Flight(NOTHING)]
        machine.releases(0, release.Result.SUCCEEDED)

    machine = late(decide, meanwhile)
    machine.world.ignored = ignored
    ((write, *_),) = machine.flying
    assert machine.world.apply(write) is bool(ignored)
