"""Whose turn it is: tenants take turns, and within a tenant whoever came first."""

from __future__ import annotations

from collections.abc import Callable

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

    def take(self, may: Callable[[str], bool] = lambda _: True) -> ProfileName | None:
        """Whose turn it is now, of the tenants that may; None: nobody's. Its tenant comes last from then on,
        and those that may not keep their places.
        """
        tenant = next(filter(may, self._by_tenant), None)
        if tenant is None:
            return None
        waiting = self._by_tenant.pop(tenant)
        profile = next(iter(waiting))
        del waiting[profile]
        if waiting:
            self._by_tenant[tenant] = waiting
        return profile
