import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenure import request_id
from tenure.errors import InvalidId

NOW_MS = 1_795_000_000_000
ids = st.integers(request_id._EARLIEST_MS << 80, (request_id._LATEST_MS << 80) - 1)


def ulid(value: int) -> str:
    return "".join(request_id._CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def uuid7(value: int) -> str:
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0b11 << 62) | 0b10 << 62))


@given(ids, ids)
def test_canonical_ulids_order_as_the_ulids_do(a: int, b: int) -> None:
    assert (request_id.parse(ulid(a)) < request_id.parse(ulid(b))) == (a < b)


@given(ids)
def test_every_spelling_of_one_id_is_one_id(value: int) -> None:
    canonical = request_id.parse(ulid(value))
    assert canonical == request_id.parse(ulid(value).lower()) == request_id.parse(canonical)
    assert request_id.parse(uuid7(value)) == request_id.parse(uuid7(value).upper())


@given(ids)
def test_the_time_of_an_id_is_on_top(value: int) -> None:
    assert request_id.time_ms(request_id.parse(uuid7(value))) == value >> 80


@given(st.lists(st.integers(NOW_MS, NOW_MS + 5), min_size=2, max_size=50))
def test_minted_ids_rise_whatever_the_clock_does(clock_ms: list[int]) -> None:
    ticks = iter(clock_ms)
    minter = request_id.Minter(clock=lambda: next(ticks) / 1000)
    minted = [minter.mint() for _ in clock_ms]
    assert minted == sorted(set(minted))


def test_a_minted_id_is_a_uuidv7_of_now() -> None:
    minted = request_id.Minter(clock=lambda: NOW_MS / 1000).mint()
    assert uuid.UUID(minted).version == 7
    assert request_id.time_ms(minted) == NOW_MS
    assert request_id.parse(str(uuid.UUID(minted))) == request_id.parse(minted) == minted


def test_two_processes_minting_in_one_millisecond_do_not_collide() -> None:
    minters = [request_id.Minter(clock=lambda: NOW_MS / 1000) for _ in range(50)]
    assert len({m.mint() for m in minters}) == 50


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "run-1",
        "8f14e45f-ceea-467f-a9b1-3c5b8f1d2e3a",
        "8f14e45fceea467fa9b13c5b8f1d2e3a",
        "0" * 26,
        "U" * 26,
        "Z" * 26,
        "0199aaaa-bbbb-7ccc-1ddd-eeeeeeeeeeee",
        "{199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeee}",
        "x" * 32,
        "x" * 36,
    ],
)
def test_what_does_not_rise_with_time_is_refused(bad: str) -> None:
    with pytest.raises(InvalidId, match="request_id"):
        request_id.parse(bad)
