"""A replica's own writes and the watch tell the same story, whichever is first."""

from __future__ import annotations

from lockservice.core.changes import join, leave
from lockservice.core.document import encode
from lockservice.core.keys import Keys
from lockservice.core.stored import Ask
from lockservice.etcd.txn import NOTHING, Op, get, get_all
from lockservice.mirror import Mirror
from tenure.etcdwire.v1 import etcdwire_pb2 as wire
from tenure.names import ProfileName

_KEYS = Keys("/test/")
_ALICE = ProfileName("default", "alice")
_N = "0" * 32
_PLACE = _KEYS.place(_ALICE, _N)
_ASK = Ask(request_id=_N, worker="w1", run_id="r", as_sent="alice", max_runtime_ms=1)
_JOIN, _LEAVE = join(_KEYS, _ALICE, _ASK, 7), leave(_KEYS, _ALICE, _N)


def joined(revision: int) -> wire.Event:
    kv = wire.KeyValue(key=_PLACE, value=encode(_ASK), create_revision=revision, mod_revision=revision)
    return wire.Event(kv=kv)


def left(revision: int) -> wire.Event:
    return wire.Event(type=wire.Event.EVENT_TYPE_DELETE, kv=wire.KeyValue(key=_PLACE, mod_revision=revision))


def test_a_place_joined_here_is_known_before_the_watch_tells_it() -> None:
    mirror = Mirror(_KEYS)

    mirror.learn([_JOIN], 7)
    assert mirror.position(_ALICE, _N) == 1

    assert mirror.apply([joined(7)]) == []
    assert mirror.position(_ALICE, _N) == 1


def test_a_place_that_was_left_again_does_not_come_back_with_a_late_answer() -> None:
    mirror = Mirror(_KEYS)

    mirror.apply([joined(7), left(8)])
    mirror.learn([_JOIN], 7)

    assert mirror.queue(_ALICE) == []
    assert mirror.queued() == []


def test_a_place_that_was_left_here_stays_left_when_the_watch_is_behind() -> None:
    mirror = Mirror(_KEYS)

    mirror.learn([_JOIN], 7)
    mirror.learn([_LEAVE], 8)
    mirror.apply([joined(7)])
    assert mirror.position(_ALICE, _N) == 0, "the watch has nothing new to tell of what was written here"

    mirror.apply([left(8)])
    assert mirror.queue(_ALICE) == []


def test_a_place_that_ended_here_before_it_was_heard_of_ends_when_the_watch_tells_it() -> None:
    mirror = Mirror(_KEYS)

    # A hand-over of this replica to one who joined elsewhere, in a batch with another's join: the watch has
    # told of none of it.
    mirror.learn([_LEAVE, join(_KEYS, ProfileName("default", "bob"), _ASK, 7)], 8)
    mirror.apply([joined(7), left(8)])

    assert mirror.queue(_ALICE) == []


def test_of_reads_there_is_nothing_to_learn() -> None:
    mirror = Mirror(_KEYS)
    assert {op.means for op in (get(_PLACE), get_all(_KEYS.queue(_ALICE)))} == {NOTHING}

    # What cannot be parsed is not looked at.
    assert mirror.learn([Op(b"?", NOTHING), _JOIN], 7) != []
    assert mirror.apply([joined(7)]) == []
