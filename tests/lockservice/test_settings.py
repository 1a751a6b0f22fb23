"""How a profile's browser looks: who may say so, what that changes, and what stands for it."""

from __future__ import annotations

import dataclasses

import pytest

from lockservice.core import settings
from lockservice.core.decision import Refuse, Reply, Write
from lockservice.core.document import decode, encode
from lockservice.core.keys import Keys
from lockservice.core.record import Record, State
from lockservice.core.settings import Look, Wanted
from lockservice.core.snapshot import EpochSeen, KeyValue, Snapshot
from lockservice.core.stored import Settings
from lockservice.mirror import Mirror
from tenure.errors import InvalidField, NotFound
from tenure.names import ProfileName

KEYS = Keys("/t/")
ALICE = ProfileName("default", "alice")
SWISS = Look(width=1024, height=768, locale="de-CH", time_zone="Europe/Zurich")
WANTED = Wanted(revision=7, by="admin", look=SWISS)


def stored(value: Settings, mod: int = 9) -> KeyValue:
    return KeyValue(key=KEYS.settings(ALICE), value=encode(value), mod_revision=mod, create_revision=mod)


def seen(found: KeyValue | None = None, state: State = State.AVAILABLE) -> Snapshot:
    record = Record(state=state, epoch=1, since_ms=1, as_sent="alice")
    return Snapshot(epoch=EpochSeen(1, 3), record=record, mod=7, extra=((found,) if found else (),))


def decided(snapshot: Snapshot, wanted: Wanted = WANTED) -> Settings:
    decision = settings.decide(KEYS, ALICE, snapshot, wanted, 1000)
    assert isinstance(decision, Write)
    return decision.then(11)


@pytest.mark.parametrize("state", [State.AVAILABLE, State.HELD, State.DISABLED, State.MANUAL_REVIEW])
def test_in_any_state_it_is_written_beside_the_record(state: State) -> None:
    decision = settings.decide(KEYS, ALICE, seen(state=state), WANTED, 1000)
    assert isinstance(decision, Write)
    [put] = decision.ops
    message = put.message().request_put
    assert message.key == b"/t/s/default/alice"
    assert settings.look_of(decode(Settings, message.value)) == SWISS


def test_what_was_not_named_stays() -> None:
    before = decided(seen())
    labels = decided(seen(stored(before)), Wanted(revision=7, by="other", labels={"team": "a"}))
    assert (settings.look_of(labels), labels.labels, labels.by) == (SWISS, {"team": "a"}, "other")
    plain = decided(seen(stored(labels)), Wanted(revision=7, by="admin", look=Look()))
    assert (settings.look_of(plain), plain.labels) == (Look(), {"team": "a"})


def test_what_is_so_already_stays_with_whoever_said_so_first() -> None:
    before = decided(seen())
    again = Wanted(revision=3, by="other", look=SWISS)
    decision = settings.decide(KEYS, ALICE, seen(stored(before)), again, 2000)
    assert isinstance(decision, Reply)
    assert decision.value.by == "admin"


def test_a_profile_that_has_changed_or_is_not_there_is_refused() -> None:
    late = settings.decide(KEYS, ALICE, seen(), dataclasses.replace(WANTED, revision=6), 1000)
    assert isinstance(late, Refuse)
    assert isinstance(late.error, InvalidField)
    none = settings.decide(KEYS, ALICE, Snapshot(epoch=EpochSeen(1, 3), extra=((),)), WANTED, 1000)
    assert isinstance(none, Refuse)
    assert isinstance(none.error, NotFound)


def test_a_look_has_a_number_of_its_own_and_that_of_nobody_is_0() -> None:
    looks = [SWISS, dataclasses.replace(SWISS, width=1025), Look(locale="de-CH"), Look(time_zone="de-CH")]
    numbers = {settings.generation(look) for look in looks}
    assert len(numbers) == len(looks)
    assert settings.generation(Look()) == 0
    assert settings.generation(SWISS) == settings.generation(dataclasses.replace(SWISS))
    assert all(0 < number < 2**48 for number in numbers)


def test_the_order_of_extensions_counts() -> None:
    one, other = ("a", "1" * 64), ("b", "2" * 64)
    there = Wanted(revision=7, by="admin", look=Look(extensions=(one, other)))
    back = Wanted(revision=7, by="admin", look=Look(extensions=(other, one)))
    before = decided(seen(), there)
    after = decided(seen(stored(before)), back)
    assert settings.look_of(after).extensions == (other, one)


def test_a_replica_keeps_the_newest_that_it_hears_of() -> None:
    mirror = Mirror(KEYS)
    assert mirror.settings(ALICE) is None
    mirror.fill([stored(Settings(by="new", since_ms=2), mod=12)])
    mirror.fill([stored(Settings(by="old", since_ms=1), mod=11)])
    found = mirror.settings(ALICE)
    assert found is not None
    assert found.by == "new"
