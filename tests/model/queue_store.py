"""What etcd makes of each transition of the queue: its compares, what it writes, and what that breaks."""

from __future__ import annotations

from tests.model.explore import Model
from tests.model.queue_world import FREE, HELD, NOBODY, STALE, Place, Record, Txn, World, with_item

Judged = tuple[World, str] | None
"""The world after a Txn, and what it broke; None when it failed its compares."""


class Store(Model[World]):
    """The Txns of rules 3, 4, 6 and 8."""

    def apply(self, s: World, txn: Txn) -> tuple[World, bool, str]:
        """The world after etcd has judged a Txn, whether its compares held, and what it broke."""
        judge = {
            "GRANT": self._grant,
            "JOIN": self._join,
            "HEAD": self._grant_head,
            "RELEASE": self._release,
            "TRANSFER": self._transfer,
            "SUSPECT": self._suspect,
            "LEAVE": self._leave,
            "BURN": self._burn,
        }[txn.kind]
        judged = judge(s, txn)
        return (*judged[:1], True, judged[1]) if judged else (s, False, "")

    def _grant(self, s: World, txn: Txn) -> Judged:
        seen = s.p.mod == txn.mod or (not self.keeps("rule1-compares-record") and s.p.state != STALE)
        first = not s.queue or not self.keeps("rule3-empty-queue")
        if not (seen and first and self._alive(s, txn) and self._fresh(s, txn)):
            return None
        after, wrong = self._granted(_consumed(s, txn), txn.who)
        return after, wrong or ("overtakes the queue" if s.queue else "")

    def _join(self, s: World, txn: Txn) -> Judged:
        seen = s.p.mod == txn.mod or not self.keeps("rule3-join-compares-record")
        behind = txn.head in (NOBODY, *s.queue) or not self.keeps("rule3-join-compares-head")
        if not (seen and behind and s.alive[txn.who[0]] and self._fresh(s, txn)) or txn.who in s.queue:
            return None
        left_behind = s.p.state == FREE and not s.queue
        after = _consumed(s, txn)._replace(queue=(*s.queue, txn.who))
        return after, "a waiter is left behind" if left_behind else ""

    def _grant_head(self, s: World, txn: Txn) -> Judged:
        if s.p.mod != txn.mod or not self._alive(s, txn) or _head(s) != txn.who:
            return None
        return self._granted(s._replace(queue=s.queue[1:]), txn.who)

    def _release(self, s: World, txn: Txn) -> Judged:
        as_read = _head(s) == txn.head or (not self.keeps("rule6-compares-head") and txn.head == NOBODY)
        if s.p.mod != txn.mod or s.p.state != HELD or not s.alive[txn.who[0]] or not as_read:
            return None
        if txn.head != NOBODY:
            return self._granted(s._replace(queue=s.queue[1:]), txn.head, handed_over=True)
        freed = s._replace(p=Record(FREE, NOBODY, s.p.mod + 1))
        return freed, "a waiter is left behind" if s.queue else ""

    def _transfer(self, s: World, txn: Txn) -> Judged:
        """To a named heir, whoever waits: their places stay."""
        seen = s.p.mod == txn.mod or not self.keeps("rule6-transfer-compares-token")
        lives = s.alive[txn.who[0]] or not self.keeps("rule6-heir-is-alive")
        fresh = s.consumed[txn.who[0]] < txn.who[1] or not self.keeps("rule6-heir-asks-once")
        if not (seen and lives and fresh):
            return None
        after, wrong = self._granted(_consumed(s, txn), txn.who, handed_over=True)
        return after, wrong or ("" if s.p.mod == txn.mod else "given away after its end")

    def _suspect(self, s: World, txn: Txn) -> Judged:
        """Rule 10, of a hold that was drained for an heir who could not have it."""
        seen = s.p.mod == txn.mod or not self.keeps("rule10-drained-compares-token")
        if s.p.state != HELD or not seen:
            return None
        stale = s._replace(p=Record(STALE, s.p.who, s.p.mod + 1))
        return stale, "" if s.p.mod == txn.mod else "a later hold is taken for it"

    def _leave(self, s: World, txn: Txn) -> Judged:
        if txn.who not in s.queue:
            return None
        return s._replace(queue=tuple(each for each in s.queue if each != txn.who)), ""

    def _burn(self, s: World, txn: Txn) -> Judged:
        if not s.alive[txn.who[0]] or s.consumed[txn.who[0]] >= txn.who[1]:
            return None
        return _consumed(s, txn), ""

    def _alive(self, s: World, txn: Txn) -> bool:
        return s.alive[txn.who[0]] or not self.keeps("rule2-worker-alive")

    def _fresh(self, s: World, txn: Txn) -> bool:
        return s.consumed[txn.who[0]] < txn.who[1] or not self.keeps("rule3-consumed")

    def _granted(self, s: World, who: Place, *, handed_over: bool = False) -> tuple[World, str]:
        wrong = ""
        if s.p.state == HELD and not handed_over:
            wrong = "a hold is overwritten"
        elif not s.alive[who[0]]:
            wrong = "granted to the dead"
        elif who in s.granted:
            wrong = "granted twice"
        elif who in s.cancelled:
            wrong = "granted after its cancellation"
        p = Record(HELD, who, s.p.mod + 1)
        return s._replace(p=p, granted=(*s.granted, who)), wrong


def _head(s: World) -> Place:
    return s.queue[0] if s.queue else NOBODY


def _consumed(s: World, txn: Txn) -> World:
    worker, request = txn.who
    return s._replace(consumed=with_item(s.consumed, worker, max(request, s.consumed[worker])))
