"""All profiles' records as a replica knows them, and what is counted and found by them. Pure.

There may be a million. One at rest is kept as it is stored, its revision before it in one bytes object, and
decoded when it is asked for: some 250 bytes a profile. The others are few, and kept decoded.
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
        self._tenants: dict[str, dict[str, bytes | Seen]] = {}

    def get(self, profile: ProfileName) -> Seen | None:
        """What is known of a profile; None also when it cannot be understood."""
        known = self._tenants.get(profile.tenant, {}).get(profile.profile)
        if not isinstance(known, bytes):
            return known
        try:
            return Seen(decode(Record, known[_REVISION_BYTES:]), _mod(known))
        except Unreadable:
            # Whoever needs it reads etcd, and hears why.
            return None

    def mod(self, profile: ProfileName) -> int:
        """A record's mod_revision; 0 when there is none."""
        return _mod(self._tenants.get(profile.tenant, {}).get(profile.profile))

    def of(self, tenant: str) -> list[ProfileName]:
        """A tenant's profiles."""
        return [ProfileName(tenant, profile) for profile in self._tenants.get(tenant, ())]

    def __iter__(self) -> Iterator[ProfileName]:
        for tenant, profiles in self._tenants.items():
            for profile in profiles:
                yield ProfileName(tenant, profile)

    def put(self, profile: ProfileName, value: bytes, mod: int) -> tuple[Seen | None, Seen | None] | None:
        """Take a record; None when at least as new a one is known. Raises Unreadable.

        Returns what was known, unless it was at rest, and what is now, unless that is.
        """
        profiles = self._tenants.setdefault(profile.tenant, {})
        known = profiles.get(profile.profile)
        if known is not None and _mod(known) >= mod:
            return None
        now: Seen | None = None
        if value.startswith(_AT_REST):
            profiles[profile.profile] = mod.to_bytes(_REVISION_BYTES, "big") + value
        else:
            profiles[profile.profile] = now = Seen(decode(Record, value), mod)
        before = known if isinstance(known, Seen) else None
        if known is not None:
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
        if now is not None and (now.record.state is State.HELD or now.record.state in AT_WORK):
            self.bound.add(profile)
        else:
            self.bound.discard(profile)


def _mod(known: bytes | Seen | None) -> int:
    if known is None:
        return 0
    if isinstance(known, bytes):
        return int.from_bytes(known[:_REVISION_BYTES], "big")
    return known.mod


def _holder(seen: Seen) -> str:
    record = seen.record
    return record.holding.worker if record.state is State.HELD and record.holding is not None else ""
