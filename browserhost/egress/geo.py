"""What a browser says about where it is: its time zone and its languages. Pure.

Both are set before a launch, since pages read them at any moment: the zone in the environment, the
languages as Chrome's flags. Chrome's own words and Intl's default locale follow only where the
language's pack is installed (Debian's chromium-l10n).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Geo:
    """`time_zone` as the tz database names it, `languages` as BCP 47 does, best first; empty: not said."""

    time_zone: str = ""
    languages: tuple[str, ...] = ()

    def over(self, other: Geo) -> Geo:
        """This one, with what it does not say taken from `other`."""
        return Geo(self.time_zone or other.time_zone, self.languages or other.languages)

    @property
    def flags(self) -> list[str]:
        """For Chrome's argv. `--lang` alone changes nothing without a language pack."""
        if not self.languages:
            return []
        return [f"--lang={self.languages[0]}", f"--accept-lang={','.join(self.languages)}"]

    @property
    def environment(self) -> dict[str, str]:
        """For Chrome's environment, and its display's."""
        zone = {"TZ": self.time_zone} if self.time_zone else {}
        words = [language.replace("-", "_") for language in self.languages]
        return {**zone, "LANGUAGE": ":".join(words)} if words else zone


def check(geo: Geo) -> Geo:
    """Return it when both are written as they must be. Raises ValueError, with a clause."""
    if geo.time_zone and not _ZONE.fullmatch(geo.time_zone):
        raise ValueError("time_zone is no zone such as America/New_York")
    for language in geo.languages:
        if not _LANGUAGE.fullmatch(language):
            raise ValueError("languages has what is no language such as en-US")
    return geo
