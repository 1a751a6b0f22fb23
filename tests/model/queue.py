"""Acquire, queue, hand-over, release, cancel: several replicas, calls and Txns late, doubled and lost."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.explore import Move, ranked
from tests.model.queue_store import Store
from tests.model.queue_world import (
    FREE,
    HELD,
    NO_TXN,
    NOBODY,
    STALE,
    Call,
    Chances,
    Record,
    Txn,
    Worker,
    World,
    become,
    ended,
    heard,
    less,
    named,
    said,
    travels,
    with_worker,
    without,
)


class Queue(Store):
    """Two workers with one request each, or one with two."""

    NAME = "queue"
    WORKERS = 2
    REQUESTS = 1
    CHANCES = Chances(retries=1, unclear=1, vanish=1)
    LARGE = Chances(retries=1, unclear=1, vanish=1, leases=1)

    def start(self) -> World:
        n = self.WORKERS
        left = self.LARGE if self.large else self.CHANCES
        return World(
            Record(FREE, NOBODY, 1), (True,) * n, (0,) * n, (), (Worker(),) * n, (), (), (), (), (), left
        )

    def canonical(self, s: World) -> World:
        """Replicas are alike, so are messages on their way, and of revisions only the order matters."""
        txns = [call.txn for call in s.at_replicas] + list(s.late)
        tokens = [call.token for call in (*s.calls, *s.at_replicas)] + [w.token for w in s.workers]
        rank = ranked([s.p.mod, *tokens, *(txn.mod for txn in txns)])

        def txn(each: Txn) -> Txn:
            return each._replace(mod=rank[each.mod])

        def call(each: Call) -> Call:
            return each._replace(token=rank[each.token], txn=txn(each.txn))

        return s._replace(
            p=s.p._replace(mod=rank[s.p.mod]),
            workers=tuple(w._replace(token=rank[w.token]) for w in s.workers),
            calls=tuple(sorted(map(call, s.calls))),
            at_replicas=tuple(sorted(map(call, s.at_replicas))),
            late=tuple(sorted(map(txn, s.late))),
            granted=tuple(sorted(set(s.granted))),
            cancelled=tuple(sorted(set(s.cancelled))),
        )

    def moves(self, s: World) -> Iterator[Move[World]]:
        for index in range(self.WORKERS):
            yield from self.worker_moves(s, index)
            yield from self.worker_learns(s, index)
        for call in dict.fromkeys(s.calls):
            yield from self.call_travels(s, call)
        for call in dict.fromkeys(s.at_replicas):
            yield from self.replica_works(s, call)
        for txn in dict.fromkeys(s.late):
            yield self.late_txn_arrives(s, txn)
        yield from self.somebody_sweeps(s)
        yield from self.recovery_decides(s)

    # --- the workers ---------------------------------------------------------------------

    def worker_moves(self, s: World, index: int) -> Iterator[Move[World]]:
        worker, name = s.workers[index], f"worker {index}"
        who = (index, worker.request)
        if not s.alive[index]:
            return
        if worker.does == "idle" and worker.request < self.REQUESTS:
            asks = Worker("waits", worker.request + 1)
            call = Call("acquire", (index, asks.request))
            yield Move(f"{name} sends Acquire {asks.request}", become(s, index, asks, sends=call), must=False)
        if worker.does == "waits":
            idle = Worker("idle", worker.request)
            if s.left.retries:
                again = s._replace(calls=(*s.calls, Call("acquire", who)), left=less(s.left, "retries"))
                yield Move(
                    f"{name} hears nothing and sends Acquire {worker.request} again", again, must=False
                )
            if s.left.cancel or not travels(s, Call("acquire", who)):
                fewer = less(s.left, "cancel") if s.left.cancel else s.left
                gives_up = become(s._replace(left=fewer), index, idle, sends=Call("cancel", who))
                yield Move(f"{name} gives up request {worker.request} and sends Cancel", gives_up, must=True)
            if s.left.vanish:
                vanished = become(s._replace(left=less(s.left, "vanish")), index, idle)
                yield Move(
                    f"the caller of request {worker.request} vanishes, worker {index} lives on",
                    vanished,
                    False,
                )
        if worker.does == "has":
            ends = worker._replace(does="ends")
            release = Call("release", who, worker.token)
            yield Move(
                f"{name} is done and sends Release {worker.token}", become(s, index, ends, sends=release)
            )
            yield from self.hands_over(s, worker.token)
        if worker.does == "ends" and not travels(s, Call("release", who, worker.token)):
            again = s._replace(calls=(*s.calls, Call("release", who, worker.token)))
            yield Move(f"{name} hears nothing and sends Release {worker.token} again", again)
        if s.left.leases:
            yield Move(f"the lease of {name} ends, and with it its place", self._lease_ends(s, index), False)

    def hands_over(self, s: World, token: int) -> Iterator[Move[World]]:
        """A hold is to go to a named heir, who knows its request id and waits to be told (rule 6)."""
        for index, heir in enumerate(s.workers):
            if not s.left.transfers or heir.does != "idle" or heir.request >= self.REQUESTS:
                continue
            waits = Worker("waits", heir.request + 1)
            call = Call("transfer", (index, waits.request), token)
            asked = become(s._replace(left=less(s.left, "transfers")), index, waits, sends=call)
            yield Move(f"somebody sends Transfer {token} to {named(call.who)}", asked, must=False)

    def worker_learns(self, s: World, index: int) -> Iterator[Move[World]]:
        """A renewal lists the worker's holds; what it does not know it releases (rule 8)."""
        worker = s.workers[index]
        if not self.keeps("rule8-renewal-lists-holds") or s.p.state != HELD or s.p.who[0] != index:
            return
        knows = worker.does == "waits" and worker.request == s.p.who[1]
        knows = knows or (worker.does in ("has", "ends") and worker.token == s.p.mod)
        release = Call("release", s.p.who, s.p.mod)
        if s.alive[index] and not knows and not travels(s, release):
            story = f"worker {index} hears in a renewal of hold {s.p.mod}, knows nothing of it, sends Release"
            yield Move(story, s._replace(calls=(*s.calls, release)))

    def _lease_ends(self, s: World, index: int) -> World:
        alive = tuple(other != index and lives for other, lives in enumerate(s.alive))
        p = s.p
        if p.state == HELD and p.who[0] == index:
            p = Record(STALE, p.who, s.p.mod + 1)
        return s._replace(
            alive=alive,
            p=p,
            queue=tuple(place for place in s.queue if place[0] != index),
            workers=with_worker(s.workers, index, Worker("gone")),
            left=less(s.left, "leases"),
        )

    # --- calls and replicas --------------------------------------------------------------

    def call_travels(self, s: World, call: Call) -> Iterator[Move[World]]:
        rest = s._replace(calls=without(s.calls, call))
        yield self._decided(rest, call, f"a replica takes {said(call)}")
        if s.left.blind and call.kind == "acquire" and s.p.state == FREE and s.queue:
            # A replica's mirror may know of p already, and not of the queue yet.
            txn = Txn("GRANT", call.who, s.p.mod)
            unaware = rest._replace(at_replicas=(*s.at_replicas, call._replace(txn=txn)))
            story = (
                f"a replica that does not know of the queue yet takes {said(call)}: {said(txn)} is on its way"
            )
            yield Move(story, unaware._replace(left=less(s.left, "blind")), must=False)
        if s.left.lost:
            yield Move(f"{said(call)} is lost", rest._replace(left=less(s.left, "lost")), must=False)

    def replica_works(self, s: World, call: Call) -> Iterator[Move[World]]:
        rest = s._replace(at_replicas=without(s.at_replicas, call))
        if call.parked:
            if s.p.state == HELD and s.p.who == call.who:
                yield from self._answered(rest, call, s.p.mod)
            elif call.who not in s.queue:
                yield Move(f"the place of {named(call.who)} is gone, its wait ends", rest)
        elif call.txn != NO_TXN:
            yield self._txn_arrives(rest, call, call.txn)
            if s.left.unclear:
                # The identical one again, and the first copy may still arrive, whenever it likes (rule 1).
                flying = s._replace(late=(*s.late, call.txn), left=less(s.left, "unclear"))
                yield Move(
                    f"{said(call.txn)} is unclear; the replica sends the same again", flying, must=False
                )
        if s.left.deaths:
            dead = rest._replace(left=less(s.left, "deaths"))
            if call.txn != NO_TXN:
                dead = dead._replace(late=(*dead.late, call.txn))
            yield Move(f"the replica that has {said(call)} dies", dead, must=False)

    def _decided(self, s: World, call: Call, story: str) -> Move[World]:
        """A replica reads and decides. `s` is without the call."""
        decide = {
            "acquire": self._for_acquire,
            "release": self._for_release,
            "transfer": self._for_transfer,
            "cancel": self._for_cancel,
        }[call.kind]
        txn = decide(s, call)
        if txn is not None:
            here = call._replace(txn=txn, parked=False)
            return Move(f"{story}: {said(txn)} is on its way", s._replace(at_replicas=(*s.at_replicas, here)))
        if call.kind == "acquire" and call.who in s.queue:
            here = call._replace(txn=NO_TXN, parked=True)
            return Move(f"{story}: it has its place", s._replace(at_replicas=(*s.at_replicas, here)))
        if call.kind in ("acquire", "transfer") and (s.p.state, s.p.who) == (HELD, call.who):
            return Move(f"{story}: it has its hold", heard(s, call, s.p.mod))
        if call.kind == "cancel":
            s = s._replace(cancelled=(*s.cancelled, call.who))
        return Move(f"{story}: it is over", ended(s, call))

    def _for_acquire(self, s: World, call: Call) -> Txn | None:
        """Rule 3."""
        worker, request = call.who
        if (s.p.state, s.p.who) == (HELD, call.who) or call.who in s.queue or not s.alive[worker]:
            return None
        if self.keeps("rule3-consumed") and request <= s.consumed[worker]:
            return None
        if s.p.state != FREE:
            return Txn("JOIN", call.who, s.p.mod)
        # Only the head keeps it from being granted at once.
        return Txn("JOIN", call.who, s.p.mod, s.queue[0]) if s.queue else Txn("GRANT", call.who, s.p.mod)

    def _for_release(self, s: World, call: Call) -> Txn | None:
        """Rule 6: to the head as read, else to nobody."""
        if s.p.state != HELD or s.p.mod != call.token:
            return None
        return Txn("RELEASE", call.who, call.token, s.queue[0] if s.queue else NOBODY)

    def _for_transfer(self, s: World, call: Call) -> Txn | None:
        """Rule 6, with a named heir."""
        worker, request = call.who
        if s.p.state != HELD or s.p.mod != call.token or not s.alive[worker]:
            return None
        return Txn("TRANSFER", call.who, call.token) if s.consumed[worker] < request else None

    def _for_cancel(self, s: World, call: Call) -> Txn | None:
        """Rule 8: leave, or release what was granted meanwhile, or burn n."""
        if call.who in s.queue:
            return Txn("LEAVE", call.who)
        if (s.p.state, s.p.who) == (HELD, call.who):
            return self._for_release(s, call._replace(token=s.p.mod))
        fresh = s.alive[call.who[0]] and s.consumed[call.who[0]] < call.who[1]
        if self.keeps("rule8-cancel-burns") and fresh:
            return Txn("BURN", call.who)
        return None

    def _txn_arrives(self, s: World, call: Call, txn: Txn) -> Move[World]:
        after, done, wrong = self.apply(s, txn)
        if not done and txn.kind == "TRANSFER" and after.p.mod == txn.mod:
            # The heir has gone since somebody looked, and by then the host had drained the hold.
            suspect = Txn("SUSPECT", call.who, txn.mod)
            story = f"{said(txn)} fails its compares: {said(suspect)} is on its way"
            return Move(story, ended(after, call)._replace(late=(*after.late, suspect)))
        if not done:
            return self._decided(after, call._replace(txn=NO_TXN), f"{said(txn)} fails its compares")
        story = f"{said(txn)} is done"
        if txn.kind in ("GRANT", "TRANSFER"):
            return Move(story, heard(after, call, after.p.mod), wrong=wrong)
        if txn.kind == "JOIN":
            parked = call._replace(txn=NO_TXN, parked=True)
            return Move(story, after._replace(at_replicas=(*after.at_replicas, parked)), wrong=wrong)
        if call.kind == "cancel":
            after = after._replace(cancelled=(*after.cancelled, call.who))
        return Move(story, ended(after, call), wrong=wrong)

    def _answered(self, s: World, call: Call, token: int) -> Iterator[Move[World]]:
        yield Move(f"{named(call.who)} is told: token {token}", heard(s, call, token))
        if s.left.lost:
            lost = s._replace(left=less(s.left, "lost"))
            yield Move(f"the answer to {named(call.who)}, token {token}, is lost", lost, must=False)

    # --- etcd, and what nobody asks for --------------------------------------------------

    def late_txn_arrives(self, s: World, txn: Txn) -> Move[World]:
        index = s.late.index(txn)
        after, done, wrong = self.apply(s._replace(late=s.late[:index] + s.late[index + 1 :]), txn)
        return Move(f"a late {said(txn)} {'is done' if done else 'fails its compares'}", after, wrong=wrong)

    def somebody_sweeps(self, s: World) -> Iterator[Move[World]]:
        """Rule 4: whoever sees a free profile with a queue grants to its head."""
        if not self.keeps("rule4-level") or s.p.state != FREE or not s.queue:
            return
        txn = Txn("HEAD", s.queue[0], s.p.mod)
        if txn not in s.late:
            story = (
                f"a replica sees a free profile that {named(txn.who)} waits for: {said(txn)} is on its way"
            )
            yield Move(story, s._replace(late=(*s.late, txn)))

    def recovery_decides(self, s: World) -> Iterator[Move[World]]:
        if s.p.state == STALE:
            freed = s._replace(p=Record(FREE, NOBODY, s.p.mod + 1))
            yield Move(f"recovery frees the profile after the incident of {named(s.p.who)}", freed)

    def wrong_at_rest(self, s: World) -> str:
        if s.p.state == FREE and s.queue:
            return "a waiter sleeps for ever"
        if s.p.state == HELD and s.alive[s.p.who[0]]:
            return "granted to nobody"
        return ""


class QueueAgain(Queue):
    """One worker that asks twice, so that an old request meets a newer one."""

    NAME = "queue-again"
    WORKERS = 1
    REQUESTS = 2
    CHANCES = Chances(retries=1, unclear=1, cancel=1)
    LARGE = Chances(retries=1, unclear=1, lost=1, cancel=1)


class QueueOfThree(Queue):
    """Three workers that ask once: one may overtake another while the first one's lease ends."""

    NAME = "queue-of-three"
    WORKERS = 3
    CHANCES = Chances(leases=1, blind=1)
    LARGE = Chances(leases=1, blind=1, unclear=1)


class QueueHandedOver(Queue):
    """A hold that goes to a named heir, while its holder releases it and the heir may give up or die."""

    NAME = "queue-handed-over"
    CHANCES = Chances(transfers=1, unclear=1, cancel=1, leases=1)
    LARGE = Chances(transfers=1, unclear=1, cancel=1, leases=1, retries=1)


class QueueNotHandedOver(Queue):
    """A hold that was drained for an heir who died, while its holder releases it and asks anew."""

    NAME = "queue-not-handed-over"
    REQUESTS = 2
    CHANCES = Chances(transfers=1, leases=1)
    LARGE = Chances(transfers=1, leases=1, unclear=1)
