"""What a replica knows, and what it may say of it."""

from __future__ import annotations

import dataclasses

import pytest

from lockservice.core.acquire import own_hold
from lockservice.core.document import encode
from lockservice.core.record import State
from lockservice.core.snapshot import KeyValue, Sight
from lockservice.core.stored import Ask, Epoch, Schedule, Worker
from lockservice.etcd.txn import delete, put
from lockservice.mirror import Mirror, Touched
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tests.lockservice.test_states import holding, record
from tests.lockservice.worlds import KEYS, PROFILE

HELD = record(State.HELD, holding("1"))


def kv(key: bytes, value: bytes, revision: int, lease: int = 0) -> KeyValue:
    return KeyValue(key=key, value=value, create_revision=revision, mod_revision=revision, lease=lease)


def place(request_id: str, revision: int, worker: str = "b") -> KeyValue:
    ask = Ask(request_id=request_id, worker=worker, run_id="r", as_sent="", max_runtime_ms=1)
    return kv(KEYS.place(PROFILE, request_id), encode(ask), revision)


def gone(key: bytes, revision: int) -> wire.Event:
    return wire.Event(type=wire.Event.EVENT_TYPE_DELETE, kv=KeyValue(key=key, mod_revision=revision))


def came(value: KeyValue) -> wire.Event:
    return wire.Event(kv=value)


@pytest.fixture
def mirror() -> Mirror:
    """Alice is held by worker a since revision 5; b, c and d wait."""
    mirror = Mirror(KEYS)
    worker = Worker(tenant="default", lease=9, ttl_s=15, registered_ms=1)
    mirror.replace(
        [
            kv(KEYS.epoch, encode(Epoch(number=0, cluster="c")), 1),
            kv(KEYS.worker("a"), encode(worker), 2, 9),
            kv(KEYS.consumed("a", PROFILE), b"1", 5, 9),
            kv(KEYS.record(PROFILE), encode(HELD), 5),
            place("4", 8),
            place("2", 6),
            place("3", 7),
        ],
        8,
    )
    return mirror


def test_the_queue_is_in_the_order_of_joining(mirror: Mirror) -> None:
    assert [w.request_id for w in mirror.queue(PROFILE)] == ["2", "3", "4"]
    assert [mirror.position(PROFILE, n) for n in ("2", "3", "4", "5")] == [1, 2, 3, 0]
    touched = mirror.apply([gone(KEYS.place(PROFILE, "3"), 9), came(place("1", 10))])
    assert touched == [Touched(PROFILE, "3"), Touched(PROFILE, "1")]
    assert [w.request_id for w in mirror.queue(PROFILE)] == ["2", "4", "1"]


def test_a_guess_is_never_proven(mirror: Mirror) -> None:
    guess = mirror.guess(Sight(keys=KEYS, profile=PROFILE, worker="a", request_id="2"))
    assert not guess.proven
    assert (guess.mod, guess.record, guess.consumed.request_id) == (5, HELD, "1")
    assert guess.head is not None
    assert guess.head == guess.place
    assert own_hold(PROFILE, guess, "a", "1") is not None


def test_holds_are_known_by_worker_until_they_end(mirror: Mirror) -> None:
    assert [h.token for h in mirror.holds("a")] == [5]
    freed = dataclasses.replace(HELD, state=State.AVAILABLE, holding=None)
    mirror.apply([came(kv(KEYS.record(PROFILE), encode(freed), 9))])
    assert mirror.holds("a") == []
    assert mirror.take_lost("a") == []


def test_a_hold_that_became_an_incident_is_lost_once(mirror: Mirror) -> None:
    suspect = dataclasses.replace(HELD, state=State.SUSPECTED_STALE, incident=5)
    mirror.apply([came(kv(KEYS.record(PROFILE), encode(suspect), 9))])
    assert [h.token for h in mirror.take_lost("a")] == [5]
    assert mirror.take_lost("a") == []


def test_own_writes_are_known_before_the_watch_tells_and_not_undone_by_it(mirror: Mirror) -> None:
    passed_on = dataclasses.replace(HELD, holding=holding("2"))
    ops = [put(KEYS.record(PROFILE), encode(passed_on)), delete(KEYS.place(PROFILE, "2"))]
    mirror.learn(ops, 9)
    # Late news from the watch.
    mirror.apply([came(kv(KEYS.record(PROFILE), encode(HELD), 5))])
    hold = mirror.hold(PROFILE)
    assert hold is not None
    assert (hold.token, hold.holding.request_id) == (9, "2")
    assert [w.request_id for w in mirror.queue(PROFILE)] == ["3", "4"]


def test_it_counts_the_keys_on_a_lease(mirror: Mirror) -> None:
    assert (mirror.lease_keys("a"), mirror.lease_keys("b")) == (2, 4)
    mirror.apply([gone(KEYS.place(PROFILE, "2"), 9), gone(KEYS.consumed("a", PROFILE), 9)])
    assert (mirror.lease_keys("a"), mirror.lease_keys("b")) == (1, 3)


def test_a_snapshot_replaces_everything(mirror: Mirror) -> None:
    assert mirror.replace([place("9", 20)], 20) == [Touched(PROFILE)]
    assert mirror.holds("a") == []
    assert mirror.workers == {}
    assert [w.request_id for w in mirror.queue(PROFILE)] == ["9"]


def test_what_it_cannot_read_is_told_and_harms_nothing_else(mirror: Mirror) -> None:
    key = KEYS.record(dataclasses.replace(PROFILE, profile="bob"))
    mirror.apply([came(kv(key, b'{"v":99}', 9)), came(place("5", 10))])
    ((found, why),) = mirror.take_unreadable()
    assert found == key
    assert "upgrade" in why
    assert mirror.position(PROFILE, "5") == 4


def test_older_news_of_a_host_do_not_stay_when_a_newer_word_was_written_here(mirror: Mirror) -> None:
    def word(state: str) -> bytes:
        return encode(Schedule(state=state, by="ann", since_ms=1))

    key = KEYS.schedule("h")
    mirror.learn([put(key, word("CORDONED"))], 10)
    mirror.apply([came(kv(key, word("READY"), 9)), came(kv(key, word("CORDONED"), 10))])
    assert mirror.schedules["h"].state == "CORDONED"


def test_what_was_written_here_is_not_news_when_the_watch_tells_it(mirror: Mirror) -> None:
    freed = encode(record(State.AVAILABLE))
    assert mirror.learn([put(KEYS.record(PROFILE), freed)], 9) == [Touched(PROFILE)]
    told = [came(kv(KEYS.record(PROFILE), freed, 9)), came(place("5", 10))]
    assert mirror.apply(told) == [Touched(PROFILE, "5")]
    assert mirror.revision == 10
    assert not mirror._own, "what the watch has told is not waited for"


def test_a_snapshot_is_taken_in_beside_what_is_shown(mirror: Mirror) -> None:
    filling = Mirror(KEYS)
    filling.fill([kv(KEYS.record(PROFILE), encode(record(State.AVAILABLE)), 30)])
    filling.fill([place("9", 31)])
    assert mirror.hold(PROFILE) is not None
    assert mirror.adopt(filling, 31) == [Touched(PROFILE)]
    assert mirror.hold(PROFILE) is None
    assert [waiter.request_id for waiter in mirror.queue(PROFILE)] == ["9"]
    assert (mirror.workers, mirror.revision) == ({}, 31)
