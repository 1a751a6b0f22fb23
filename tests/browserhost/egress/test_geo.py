"""What a browser says about where it is."""

from __future__ import annotations

import pytest

from browserhost.egress.geo import Geo, check

MIAMI = Geo("America/New_York", ("en-US", "es"))


def test_what_one_does_not_say_is_taken_from_the_other() -> None:
    berlin = Geo("Europe/Berlin", ("de",))
    assert MIAMI.over(berlin) == MIAMI
    assert Geo().over(MIAMI) == MIAMI
    assert Geo("Europe/Berlin").over(MIAMI) == Geo("Europe/Berlin", ("en-US", "es"))
    assert Geo("", ("de",)).over(MIAMI) == Geo("America/New_York", ("de",))


def test_the_zone_goes_into_the_environment_and_languages_into_flags() -> None:
    assert MIAMI.environment == {"TZ": "America/New_York", "LANGUAGE": "en_US:es"}
    assert MIAMI.flags == ["--lang=en-US", "--accept-lang=en-US,es"]
    assert (Geo().environment, Geo().flags) == ({}, [])
    assert Geo("", ("de",)).environment == {"LANGUAGE": "de"}


@pytest.mark.parametrize(
    "geo", [Geo(), MIAMI, Geo("Etc/GMT+3"), Geo("UTC"), Geo("", ("zh-Hant-TW", "fil", "es-419"))]
)
def test_zones_and_languages_are_taken_as_they_are_named(geo: Geo) -> None:
    assert check(geo) == geo


@pytest.mark.parametrize(
    "geo",
    [
        *(Geo("../etc/passwd"), Geo("America/"), Geo(":x"), Geo("a b")),
        *(Geo("", (language,)) for language in ("en_US", "en,de", "", "EN", "en --no-sandbox")),
    ],
)
def test_what_is_neither_is_refused(geo: Geo) -> None:
    with pytest.raises(ValueError, match=r"is no (zone|language)"):
        check(geo)
