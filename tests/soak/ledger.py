"""What each profile should have, and whether what was found is as it should be. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Account:
    """One profile's. `reports`: what was said to have befallen it since it was last seen."""

    signed_in: bool = False
    reports: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ledger:
    """All profiles', by id. `violations` are what must never be, in words."""

    accounts: dict[str, Account] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def of(self, profile: str) -> Account:
        return self.accounts.setdefault(profile, Account())

    def acknowledged(self, profile: str) -> None:
        """The host has said that the profile's login is on disk."""
        self.of(profile).signed_in = True
        self.counts["logins"] += 1

    def reported(self, profile: str, what: str) -> None:
        """An incident, or a finding, is on record for the profile."""
        self.of(profile).reports.append(what)
        self.counts[f"reported {what}"] += 1

    def seen(self, profile: str, *, signed_in: bool, others: str = "") -> None:
        """The profile was opened, signed in or not; `others` is whose login it showed, if not its own."""
        account = self.of(profile)
        if others:
            self.violations.append(f"{profile} is signed in as {others}")
        elif signed_in:
            self.counts["logins found"] += account.signed_in
        elif account.signed_in and account.reports:
            self.counts["logins lost and reported"] += 1
        elif account.signed_in:
            self.violations.append(f"{profile} has lost its login, and nobody said so")
        account.signed_in = signed_in
        account.reports.clear()
