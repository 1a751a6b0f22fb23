"""All profiles' records as a replica knows them, and what is counted and found by them. Pure.

There may be a million. One at rest is kept as it is stored, its revision before it in one bytes object, and
decoded when it is asked for: some 300 bytes a profile. The others are few, and kept decoded. Dictionaries of
nothing but text and bytes are nothing to the garbage collector, so a million costs no pauses.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from lockservice.core.document import VERSION, Unreadable, decode
from lockservice.core.record import AT_WORK, Record, State
from tenure.names import ProfileName

# How a record begins that says AVAILABLE, as we write it. Written otherwise it is decoded and kept so.
_AT_REST = b'{"v":%d,"state":"AVAILABLE",' % VERSION
_REVISION_BYTES = 8
_BINDING = AT_WORK | {State.HELD}
_NONE: dict[str, bytes] = {}


class Seen(NamedTuple):
    """A record, and its mod_revision."""

    record: Record
    mod: int


class Records:
    """`states`: how many profiles are in each; `held`: how many of a tenant are. `bound` are held or have an
    incident at work; `holders` say which ones a worker holds.
    """

    def __init__(self) -> None:
        self.states: Counter[State] = Counter()
        self.held: Counter[str] = Counter()
        self.bound: set[ProfileName] = set()
        self.holders: defaultdict[str, set[ProfileName]] = defaultdict(set)
        # b"" for one that is not at rest: to take it out and put it in again would make the dictionary grow,
        # and move, now and then.
        self._tenants: dict[str, dict[str, bytes]] = {}
        self._busy: dict[ProfileName, Seen] = {}

    def get(self, profile: ProfileName) -> Seen | None:
        """What is known of a profile; None also when it cannot be understood."""
        at_rest = self._tenants.get(profile.tenant, _NONE).get(profile.profile)
        if not at_rest:
            return self._busy.get(profile)
        try:
            return Seen(decode(Record, at_rest[_REVISION_BYTES:]), _mod(at_rest))
        except Unreadable:
            # Whoever needs it reads etcd, and hears why.
            return None

    def mod(self, profile: ProfileName) -> int:
        """A record's mod_revision; 0 when there is none."""
        at_rest = self._tenants.get(profile.tenant, _NONE).get(profile.profile)
        if at_rest:
            return _mod(at_rest)
        busy = self._busy.get(profile)
        return busy.mod if busy else 0

    def of(self, tenant: str) -> list[ProfileName]:
        """A tenant's profiles."""
        return [ProfileName(tenant, profile) for profile in self._tenants.get(tenant, ())]

    def __iter__(self) -> Iterator[ProfileName]:
        for tenant, profiles in self._tenants.items():
            for profile in profiles:
                yield ProfileName(tenant, profile)

    def put(
        self, profile: ProfileName, value: bytes, mod: int, record: Record | None = None
    ) -> tuple[Seen | None, Seen | None] | None:
        """Take a record; None when at least as new a one is known. `record`: what `value` says, where that is
        known. Raises Unreadable.

        Returns what was known, unless it was at rest, and what is now, unless that is.
        """
        profiles = self._tenants.get(profile.tenant)
        if profiles is None:
            profiles = self._tenants[profile.tenant] = {}
        before = self._busy.get(profile)
        at_rest = profiles.get(profile.profile)
        known = before.mod if before else _mod(at_rest) if at_rest else 0
        if known >= mod:
            return None
        now = None if value.startswith(_AT_REST) else Seen(record or decode(Record, value), mod)
        profiles[profile.profile] = b"" if now else mod.to_bytes(_REVISION_BYTES, "big") + value
        if now is not None:
            self._busy[profile] = now
        elif before is not None:
            del self._busy[profile]
        if known:
            self.states[before.record.state if before else State.AVAILABLE] -= 1
        self.states[now.record.state if now else State.AVAILABLE] += 1
        self._index(profile, before, now)
        return before, now

    def _index(self, profile: ProfileName, before: Seen | None, now: Seen | None) -> None:
        if before is not None and (worker := _holder(before)):
            self.held[profile.tenant] -= 1
            self.holders[worker].discard(profile)
            if not self.holders[worker]:
                del self.holders[worker]
        if now is not None and (worker := _holder(now)):
            self.held[profile.tenant] += 1
            self.holders[worker].add(profile)
        if now is not None and now.record.state in _BINDING:
            self.bound.add(profile)
        elif before is not None:
            self.bound.discard(profile)


def _mod(at_rest: bytes) -> int:
    return int.from_bytes(at_rest[:_REVISION_BYTES], "big")


def _holder(seen: Seen) -> str:
    record = seen.record
    return record.holding.worker if record.state is State.HELD and record.holding is not None else ""
