"""A session's secrets, and the rpc that issues further ones."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from browserhost.addresses import MOST, Address, Addresses, Kind
from browserhost.addresses_service import AddressesServicer
from browserhost.host import Host
from tenure.errors import InvalidField, InvalidId, NotFound, QuotaExceeded, TokenSuperseded
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tests.browserhost.fakes import ALICE, Machine

NAME = f"{ALICE}/sessions/7"
CONTEXT: Any = SimpleNamespace()


@pytest.mark.parametrize("kind", list(Kind))
def test_a_further_secret_is_good_for_one_purpose_and_until_its_time_is_over(kind: Kind) -> None:
    known = Addresses("main")
    known.add("further", Address(kind, until=100.0), now=40.0)
    for other in Kind:
        assert known.admits("further", other, 99.9) == (other is kind)
        assert not known.admits("further", other, 100.0)
        assert not known.admits("unknown", other, 0.0)
        assert known.admits("main", other, 1e12) == (other is Kind.CDP)


def test_those_whose_time_is_over_are_forgotten_once_there_is_a_new_one() -> None:
    known = Addresses("main", {"old": Address(Kind.CDP, 10.0), "young": Address(Kind.VIEW, 30.0)})
    known.add("new", Address(Kind.CDP, 40.0), now=20.0)
    assert set(known.further) == {"young", "new"}


def test_a_session_has_so_many_addresses_until_one_expires() -> None:
    known = Addresses("main")
    for number in range(MOST):
        known.add(f"{number}", Address(Kind.CDP, 10.0 + number), now=1.0)
    with pytest.raises(QuotaExceeded, match="64 addresses") as refused:
        known.add("new", Address(Kind.VIEW, 100.0), now=9.0)
    assert (refused.value.limit, refused.value.value) == ("session_addresses", MOST)
    assert "new" not in known.further
    known.add("new", Address(Kind.VIEW, 100.0), now=10.0)
    assert "new" in known.further


def test_they_are_the_same_after_they_were_kept() -> None:
    known = Addresses("main", {"a": Address(Kind.CDP, 10.5), "b": Address(Kind.CONTROL)})
    assert Addresses.from_dict(json.loads(json.dumps(known.to_dict()))) == known


@pytest.mark.parametrize(
    "kept",
    [{}, {"main": "m"}, {"main": "m", "further": {"s": ["NONE", 1]}}, {"main": "m", "further": {"s": 1}}],
)
def test_what_was_not_kept_by_this_is_refused(kept: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Addresses.from_dict(kept)


class Servicer(AddressesServicer):
    def __init__(self, host: Host) -> None:
        self._host = host


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def issue(machine: Machine, **changes: Any) -> pb.IssueAddressResponse:
    fields: dict[str, Any] = {"session": NAME, "fencing_token": 7, "kind": pb.ADDRESS_KIND_CDP, "ttl_s": 60}
    request = pb.IssueAddressRequest(**(fields | changes))
    return await Servicer(machine.host).IssueAddress(request, cast("Any", CONTEXT))


async def test_an_open_session_gets_a_further_secret_with_its_end(machine: Machine) -> None:
    opened = await machine.open(7)
    answer = await issue(machine, ttl_s=30)
    [(main, kind, until)] = machine.endpoint.further
    assert (main, kind, answer.secret) == (opened.session.secret, Kind.CDP, f"{main}-1")
    assert answer.expire_time.ToNanoseconds() / 1e9 == pytest.approx(until)
    assert 0 < until - time.time() <= 30


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"fencing_token": 8}, InvalidField),
        ({"fencing_token": 0}, InvalidField),
        ({"fencing_token": 0, "kind": pb.ADDRESS_KIND_CONTROL}, InvalidField),
        ({"fencing_token": 8, "kind": pb.ADDRESS_KIND_VIEW}, InvalidField),
        ({"kind": pb.ADDRESS_KIND_UNSPECIFIED}, InvalidField),
        ({"kind": 99}, InvalidField),
        ({"ttl_s": 0}, InvalidField),
        ({"ttl_s": 3601}, InvalidField),
        ({"session": "nonsense"}, InvalidId),
        ({"session": f"{ALICE}/sessions/6", "fencing_token": 6}, TokenSuperseded),
    ],
)
async def test_what_cannot_be_issued_is_not(
    machine: Machine, changes: dict[str, Any], error: type[Exception]
) -> None:
    await machine.open(7)
    with pytest.raises(error):
        await issue(machine, **changes)
    assert machine.endpoint.further == []


async def test_who_only_looks_needs_no_token(machine: Machine) -> None:
    await machine.open(7)
    await issue(machine, kind=pb.ADDRESS_KIND_VIEW, fencing_token=0)
    assert [kind for _, kind, _ in machine.endpoint.further] == [Kind.VIEW]


async def test_a_session_that_ended_or_was_taken_over_issues_none(machine: Machine) -> None:
    await machine.open(7)
    await machine.profile().end_session(7)
    with pytest.raises(NotFound):
        await issue(machine)
    await machine.open(9)
    with pytest.raises(TokenSuperseded):
        await issue(machine)
    assert machine.endpoint.further == []
