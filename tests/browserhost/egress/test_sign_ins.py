"""Who refused what, without any upstream."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest

from browserhost.egress import sign_ins
from browserhost.egress.asking import NotTaken, Unwilling
from browserhost.egress.credentials import Credentials
from browserhost.egress.sign_ins import FIRST_S, LONGEST_S, SignIns

ALICE, BOB = Credentials("alice", "right"), Credentials("bob", "right")
GATE = "gate.test:8080"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ins(clock: Clock) -> SignIns:
    return SignIns(clock)


async def shown(ins: SignIns, who: Credentials, error: Exception | None = None, where: str = "") -> None:
    async with ins.attempt(GATE, who, where):
        if error is not None:
            raise error


async def refused(ins: SignIns, where: str) -> str:
    """What is said of one that was shown, and was refused."""
    with pytest.raises(NotTaken) as error:
        await shown(ins, ALICE, NotTaken(), where)
    return str(error.value).removeprefix("the proxy refused the credentials")


async def test_each_refusal_doubles_the_wait_up_to_a_bound(ins: SignIns, clock: Clock) -> None:
    waits = []
    for _ in range(9):
        with pytest.raises(NotTaken) as refused:
            await shown(ins, ALICE, NotTaken())
        waits.append(float(str(refused.value).split()[-2]))
        with pytest.raises(NotTaken):
            ins.refuse(GATE, ALICE)
        clock.now += waits[-1]
        ins.refuse(GATE, ALICE)
    assert waits == [FIRST_S * 2**n for n in range(6)] + [LONGEST_S] * 3


async def test_once_they_are_taken_it_begins_anew(ins: SignIns, clock: Clock) -> None:
    for error in (NotTaken(), NotTaken(), None, NotTaken(), NotTaken()):
        with suppress(NotTaken):
            await shown(ins, ALICE, error)
        clock.now += 2 * FIRST_S
    ins.refuse(GATE, ALICE)


async def test_nobody_else_is_refused_with_them(ins: SignIns) -> None:
    with pytest.raises(NotTaken):
        await shown(ins, ALICE, NotTaken())
    assert ins.is_wary(GATE)
    assert not ins.is_wary("other.test:8080")
    await shown(ins, BOB)
    ins.refuse("other.test:8080", ALICE)


async def test_an_upstream_that_fails_otherwise_has_refused_nobody(ins: SignIns) -> None:
    for _ in range(2):
        with pytest.raises(Unwilling):
            await shown(ins, ALICE, Unwilling("the proxy answered 502"))
    assert not ins.is_wary(GATE)


async def test_after_a_refusal_one_goes_ahead_alone(ins: SignIns, clock: Clock) -> None:
    with pytest.raises(NotTaken):
        await shown(ins, ALICE, NotTaken())
    clock.now += FIRST_S
    async with ins.attempt(GATE, ALICE):
        with pytest.raises(NotTaken, match="an attempt with them is under way"):
            await shown(ins, ALICE)
    await shown(ins, ALICE)


async def test_who_is_connected_nowhere_was_let_in_all_the_same(ins: SignIns, clock: Clock) -> None:
    with pytest.raises(NotTaken):
        await shown(ins, ALICE, NotTaken())
    clock.now += FIRST_S
    with pytest.raises(Unwilling):
        await shown(ins, ALICE, Unwilling("the proxy answered 502"))
    async with ins.attempt(GATE, ALICE), asyncio.timeout(30):
        await shown(ins, ALICE)


async def test_one_after_the_other_goes_first_while_nothing_is_known(
    ins: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "TOGETHER_S", 600)
    under_way, most = 0, 0

    async def hang_up() -> None:
        nonlocal under_way, most
        async with ins.attempt(GATE, ALICE):
            under_way += 1
            most = max(most, under_way)
            # Turns for the others to come in, if they may.
            for _ in range(5):
                await asyncio.sleep(0)
            under_way -= 1
            raise EOFError

    ends = await asyncio.gather(*(hang_up() for _ in range(4)), return_exceptions=True)
    assert [type(end) for end in ends] == [EOFError] * 4
    assert most == 1


async def test_what_was_taken_a_moment_ago_is_shown_once_more_before_all_are_put_off(ins: SignIns) -> None:
    await shown(ins, ALICE)
    answered = asyncio.Event()

    async def fails() -> None:
        async with ins.attempt(GATE, ALICE):
            await answered.wait()
            raise NotTaken

    # Those that are under way together are one refusal.
    together = [asyncio.create_task(fails()) for _ in range(3)]
    await asyncio.sleep(0)
    answered.set()
    ends = await asyncio.gather(*together, return_exceptions=True)
    assert [str(end) for end in ends] == ["the proxy refused the credentials"] * 3
    assert not ins.is_wary(GATE)
    with pytest.raises(NotTaken, match=r"again for 5 s$"):
        await shown(ins, ALICE, NotTaken())
    assert ins.is_wary(GATE)


async def test_a_first_one_that_takes_long_keeps_the_others_for_a_while_only(
    ins: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "TOGETHER_S", 0.01)
    async with ins.attempt(GATE, ALICE), asyncio.timeout(30):
        await shown(ins, ALICE)


async def test_refusals_are_remembered_longer_than_what_is_unknown(
    ins: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "MOST", 4)
    with pytest.raises(NotTaken):
        await shown(ins, ALICE, NotTaken())
    for number in range(9):
        await shown(ins, Credentials(f"user {number}", "right"))
    with pytest.raises(NotTaken):
        ins.refuse(GATE, ALICE)
    assert len(ins._standings) <= 4


async def test_a_destination_that_is_put_off_is_remembered_longer_than_what_is_unknown(
    ins: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "MOST", 4)
    await shown(ins, ALICE, where="shop.test")
    for _ in range(2):
        await refused(ins, "blocked.test")
    for number in range(9):
        await shown(ins, Credentials(f"user {number}", "right"))
    with pytest.raises(NotTaken):
        ins.refuse(GATE, ALICE, "blocked.test")
    ins.refuse(GATE, ALICE, "shop.test")
    assert len(ins._standings) <= 4


async def test_a_destination_that_is_refused_again_and_again_puts_off_itself_alone(
    ins: SignIns, clock: Clock
) -> None:
    """Providers answer for a blocked one as for a wrong password."""
    await shown(ins, ALICE, where="shop.test")
    said = []
    for _ in range(3):
        said.append(await refused(ins, "blocked.test"))
        clock.now += 4 * FIRST_S
    assert said == ["", ", and is not shown them again for 5 s", ", and is not shown them again for 10 s"]
    clock.now -= 3 * FIRST_S
    assert ins.is_wary(GATE)
    with pytest.raises(NotTaken):
        ins.refuse(GATE, ALICE, "blocked.test")
    ins.refuse(GATE, ALICE, "shop.test")
    await shown(ins, ALICE, where="shop.test")
    assert not ins.is_wary(GATE)
    assert await refused(ins, "blocked.test") == ""


async def test_two_destinations_that_are_refused_one_after_the_other_put_off_all(
    ins: SignIns, clock: Clock
) -> None:
    await shown(ins, ALICE, where="shop.test")
    assert await refused(ins, "blocked.test") == ""
    assert await refused(ins, "forbidden.test") == ", and is not shown them again for 5 s"
    for where in ("shop.test", "blocked.test"):
        with pytest.raises(NotTaken, match=r"again for 5 s$"):
            ins.refuse(GATE, ALICE, where)
    # Those that were refused say nothing new of the credentials: all are put off again, for as long.
    for where in ("blocked.test", "forbidden.test"):
        clock.now += FIRST_S
        assert await refused(ins, where) == ", and is not shown them again for 5 s"
        with pytest.raises(NotTaken, match=r"again for 5 s$"):
            ins.refuse(GATE, ALICE, "shop.test")
    clock.now += FIRST_S
    ins.refuse(GATE, ALICE, "shop.test")
    assert await refused(ins, "third.test") == ", and is not shown them again for 10 s"
    with pytest.raises(NotTaken, match=r"again for 10 s$"):
        ins.refuse(GATE, ALICE, "shop.test")


async def test_credentials_that_are_taken_no_longer_are_shown_one_at_a_time_however_many_destinations_ask(
    ins: SignIns, clock: Clock
) -> None:
    names = [f"{number}.test" for number in range(20)]
    for where in names:
        await shown(ins, ALICE, where=where)
    shows = []
    for _ in range(1200):
        for where in names:
            with suppress(NotTaken):
                async with ins.attempt(GATE, ALICE, where):
                    shows.append(clock.now)
                    raise NotTaken
        clock.now += 1
    # The first of them might have been its destination's.
    assert shows[0] == shows[1]
    assert all(after - before >= FIRST_S for before, after in pairwise(shows[1:]))


async def test_of_two_waits_the_longer_one_is_told(ins: SignIns, clock: Clock) -> None:
    await shown(ins, ALICE, where="shop.test")
    for where, wait_s in (("1.test", 0.0), ("2.test", FIRST_S), ("3.test", 2 * FIRST_S)):
        await refused(ins, where)
        clock.now += wait_s
    # Its own is 5 s.
    assert await refused(ins, "1.test") == ", and is not shown them again for 10 s"


async def test_a_refusal_that_comes_after_another_destination_was_let_through_is_its_own(
    ins: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "TOGETHER_S", 0.01)
    with pytest.raises(NotTaken):
        async with ins.attempt(GATE, ALICE, "blocked.test"):
            await shown(ins, ALICE, where="shop.test")
            raise NotTaken
    ins.refuse(GATE, ALICE, "shop.test")


async def test_where_credentials_were_never_taken_any_refusal_is_theirs(ins: SignIns) -> None:
    assert await refused(ins, "blocked.test") == ", and is not shown them again for 5 s"
    with pytest.raises(NotTaken):
        ins.refuse(GATE, ALICE, "shop.test")


async def test_of_destinations_that_were_refused_no_more_than_a_bound_is_remembered(
    ins: SignIns, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "MOST_REFUSED", 3)
    await shown(ins, ALICE, where="shop.test")
    for number in range(9):
        await refused(ins, f"{number}.test")
        clock.now += LONGEST_S
    (found,) = ins._standings.values()
    assert len(found.refused) == 3


async def test_refusals_that_were_under_way_together_count_once(
    ins: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "TOGETHER_S", 0.01)
    with pytest.raises(NotTaken, match=r"again for 5 s$"):
        async with ins.attempt(GATE, ALICE):
            assert await refused(ins, "") == ", and is not shown them again for 5 s"
            raise NotTaken
