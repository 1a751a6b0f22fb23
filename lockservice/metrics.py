"""What a replica counts. Events are counted where they happen; the rest is read off the mirror at a scrape.

What is read off the mirror is of the whole store, the same at every replica; events are this replica's own,
to be summed over all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lockservice.core.acquire import Queued
from lockservice.core.hold import Hold
from lockservice.core.record import State
from lockservice.core.release import UNTRUSTED, Released
from lockservice.loops import LOOPS
from lockservice.mirror import Mirror
from lockservice.parking import Parking
from lockservice.watching import Watching
from tenure.errors import TenureError

_TXN_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5)
_LAG_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5)
_WAIT_S = (0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_MEMBERS = (1, 2, 4, 8, 16, 32, 64)
_ITEMS = (1, 10, 50, 100, 250, 500, 1000)


class Metrics:
    """One replica's. Each call costs a microsecond or two."""

    def __init__(self, mirror: Mirror, parking: Parking, watching: Watching) -> None:
        self.registry = registry = CollectorRegistry()
        self._mirror = mirror
        ProcessCollector(registry=registry)
        registry.register(_Now(mirror, parking, watching, self))
        grants = Counter("tenure_grants", "Holds granted here, by how.", ["how"], registry=registry)
        self._at_once = grants.labels("at_once")
        self._hand_over = grants.labels("hand_over")
        self._to_head = grants.labels("to_head")
        self._joins = Counter("tenure_joins", "Places in queues given here.", registry=registry)
        self._releases = Counter("tenure_releases", "Holds released here.", registry=registry)
        self._waits = Histogram(
            "tenure_wait_seconds",
            "How long calls waited in queues here, by what became of them: granted, left (their callers went "
            "away), or the error's reason.",
            ["outcome"],
            buckets=_WAIT_S,
            registry=registry,
        )
        self._batches = Histogram(
            "tenure_batch_size", "Transitions a Txn.", buckets=_MEMBERS, registry=registry
        )
        self._txns = Histogram(
            "tenure_txn_seconds",
            "How long Txns took, by outcome: answered, rejected, not_sent, unclear.",
            ["outcome"],
            buckets=_TXN_S,
            registry=registry,
        )
        self._bulks = Histogram(
            "tenure_bulk_items", "Items a bulk call.", ["call"], buckets=_ITEMS, registry=registry
        )
        self._suspicions = Counter(
            "tenure_suspicions", "Holds that became suspect here, by cause.", ["cause"], registry=registry
        )
        self._lags = Histogram(
            "tenure_watch_delay_seconds",
            "From the answer to a write of this replica to when its watch told it; sampled.",
            buckets=_LAG_S,
            registry=registry,
        )
        self._loops_ended = Counter(
            "tenure_loops_ended",
            "Loops of this replica that ended by a mistake and were begun again.",
            ["loop"],
            registry=registry,
        )
        for name in LOOPS:
            # Shown as 0 from the start, so that the first end is a rise too.
            self._loops_ended.labels(name)
        # A write of our own that the watch has not told yet: its revision, and when it was answered.
        self._unheard: tuple[int, float] | None = None

    # --- events ----------------------------------------------------------------------------

    def batch(self, size: int, seconds: float, outcome: str) -> None:
        """A Txn was sent."""
        self._batches.observe(size)
        self._txns.labels(outcome).observe(seconds)

    def bulk(self, call: str, items: int) -> None:
        """A call came for many at once."""
        self._bulks.labels(call).observe(items)

    def acquired(self, outcome: Hold | Queued) -> None:
        """An acquire found its profile free, or got a place in its queue."""
        (self._at_once if isinstance(outcome, Hold) else self._joins).inc()

    def granted_to_head(self) -> None:
        """A free profile was granted to a place in its queue."""
        self._to_head.inc()

    def released(self, outcome: Released) -> None:
        """A hold was released: to nobody, to the head of its queue, or untrusted, which makes it suspect."""
        self._releases.inc()
        if outcome.state is State.HELD:
            self._hand_over.inc()
        elif outcome.state is State.SUSPECTED_STALE:
            self.suspected(UNTRUSTED)

    def suspected(self, cause: str) -> None:
        """A hold became suspect."""
        self._suspicions.labels(cause).inc()

    def loop_ended(self, name: str) -> None:
        """A loop ended that never should, and is begun again."""
        self._loops_ended.labels(name).inc()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Around a wait in a queue."""
        began, outcome = _now(), "left"
        try:
            yield
            outcome = "granted"
        except TenureError as error:
            outcome = error.reason
            raise
        finally:
            self._waits.labels(outcome).observe(_now() - began)

    def look_at_watch(self) -> None:
        """Something was written here, or told by the watch."""
        told = self._mirror.revision
        if self._unheard is None:
            if self._mirror.written > told:
                self._unheard = (self._mirror.written, _now())
        elif self._unheard[0] <= told:
            self._lags.observe(_now() - self._unheard[1])
            self._unheard = None
        elif self._mirror.written <= told:
            # All there is was taken in anew, and that write is not to come.
            self._unheard = None

    def watch_lag_s(self) -> float:
        """For how long now the watch has owed us a write of our own."""
        return _now() - self._unheard[1] if self._unheard else 0.0


class _Now(Collector):
    """What there is at a scrape."""

    def __init__(self, mirror: Mirror, parking: Parking, watching: Watching, metrics: Metrics) -> None:
        self._mirror = mirror
        self._parking = parking
        self._watching = watching
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is there is known at a scrape."""
        return ()

    def collect(self) -> Iterable[Metric]:
        mirror = self._mirror
        profiles = GaugeMetricFamily("tenure_profiles", "Profiles stored, by state.", labels=["state"])
        for state in State:
            profiles.add_metric([state.value], mirror.states[state])
        yield profiles
        yield _gauge("tenure_waiters", "Places in queues.", mirror.tenant_waiters.total())
        yield _gauge("tenure_workers", "Workers whose leases live.", len(mirror.workers))
        yield _gauge("tenure_parked_calls", "Calls that wait at this replica.", self._parking.count())
        yield _gauge("tenure_watch_streams", "WatchProfiles streams of this replica.", self._watching.total())
        yield _gauge("tenure_etcd_heard", "1 while etcd's watch is heard.", self._watching.heard)
        yield _gauge(
            "tenure_watch_lag_seconds",
            "For how long etcd's watch has owed this replica a write of its own.",
            self._metrics.watch_lag_s(),
        )
        yield _gauge("tenure_watch_revision", "The revision that the watch has told.", mirror.revision)
        yield CounterMetricFamily(
            "tenure_workers_gone",
            "Workers whose leases ran out or were ended, of all replicas, since this one started.",
            value=mirror.workers_gone,
        )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _now() -> float:
    return asyncio.get_running_loop().time()
