"""How a browser looks: what the profile says comes before its proxy's word, and that before the host's."""

from __future__ import annotations

import pytest

from browserhost import config
from browserhost.config import Look
from browserhost.egress.geo import Geo
from browserhost.marker import Marker
from browserhost.opening import Opening
from tenure.errors import ConfigUnmet, InvalidField
from tenure.v1.profile_pb2 import BrowserConfig
from tests.browserhost.fakes import Machine

SWISS = BrowserConfig(viewport_width=1024, viewport_height=768, locale="de-CH", time_zone="Europe/Zurich")
LOOK = config.read(SWISS, 7)


def test_a_locale_alone_says_the_languages_too() -> None:
    assert Look(1024, 768, Geo("Europe/Zurich", ("de-CH", "de")), 7) == LOOK
    assert config.read(BrowserConfig(locale="de"), 1).geo.languages == ("de",)
    both = BrowserConfig(locale="de-CH", accept_languages="fr-CH, fr,en")
    assert config.read(both, 1).geo.languages == ("fr-CH", "fr", "en")


def test_nothing_said_is_nothing() -> None:
    assert config.read(BrowserConfig(), 0) == Look()


@pytest.mark.parametrize("said", [BrowserConfig(time_zone="../x"), BrowserConfig(locale="--headless")])
def test_what_is_no_word_of_a_place_is_refused(said: BrowserConfig) -> None:
    with pytest.raises(InvalidField):
        config.read(said, 1)


async def test_a_browser_is_launched_as_the_profile_says_and_otherwise_as_the_host_does(
    machine: Machine,
) -> None:
    await machine.open(41, look=LOOK)
    spec = machine.browser().spec
    assert (spec.width, spec.height) == (1024, 768)
    assert spec.geo == Geo("Europe/Zurich", ("de-CH", "de"))
    await machine.profile().close_hold(41)
    await machine.open(42, look=Look(geo=Geo("Europe/Zurich"), generation=8))
    spec = machine.browser().spec
    assert (spec.width, spec.height) == (800, 600)


async def test_a_browser_that_looks_otherwise_is_exchanged_at_its_hand_over(machine: Machine) -> None:
    await machine.open(41)
    await machine.profile().close_hold(41)
    assert (await machine.open(42)).reused
    await machine.profile().close_hold(42)
    assert not (await machine.open(43, look=LOOK)).reused
    await machine.profile().close_hold(43)
    assert (await machine.open(44, look=LOOK)).reused
    await machine.profile().close_hold(44)
    # Nothing is said any more.
    assert not (await machine.open(45)).reused
    assert [browser.closed for browser in machine.chrome.launched] == [True, True, False]


async def test_what_it_looks_like_is_known_after_a_restart(machine: Machine) -> None:
    """Whoever goes on with a browser that another host left must know which one it is."""
    await machine.open(41, look=LOOK)
    marker = machine.profile().slot.record.known
    assert isinstance(marker, Marker)
    assert marker.config_generation == 7


async def test_a_time_zone_that_the_host_does_not_know_is_no_browsers(machine: Machine) -> None:
    """Chrome would call it Etc/Unknown."""
    with pytest.raises(ConfigUnmet) as refused:
        await machine.open(41, look=Look(geo=Geo("Mars/Olympus_Mons"), generation=9))
    assert "Mars/Olympus_Mons" in refused.value.lacking
    assert machine.chrome.launched == []
    assert not machine.is_locked()


def test_an_opening_says_nothing_by_itself() -> None:
    assert Opening(1, "about:blank", "", reuse=True).look == Look()
