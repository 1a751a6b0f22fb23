"""Whose turn it is: tenants take turns, and within a tenant whoever came first."""

from __future__ import annotations

from tenure.names import ProfileName


class Turns:
    """Profiles that wait to be looked at, each once. However many one tenant has there, another's first comes
    after at most one of every other tenant's.
    """

    def __init__(self) -> None:
        # Both in the order of their turns.
        self._by_tenant: dict[str, dict[ProfileName, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_tenant)

    def add(self, profile: ProfileName) -> None:
        """Give a profile a turn, unless it has one already."""
        self._by_tenant.setdefault(profile.tenant, {})[profile] = None

    def take(self) -> ProfileName:
        """Whose turn it is now; its tenant comes last from then on. Raises StopIteration: nobody's."""
        tenant = next(iter(self._by_tenant))
        waiting = self._by_tenant.pop(tenant)
        profile = next(iter(waiting))
        del waiting[profile]
        if waiting:
            self._by_tenant[tenant] = waiting
        return profile
