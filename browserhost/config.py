"""How a profile's browser looks, as it was asked for, in the terms of a launch. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from browserhost.egress import geo
from browserhost.egress.geo import Geo
from tenure import extension
from tenure.errors import InvalidField
from tenure.extension import Extension
from tenure.v1.profile_pb2 import BrowserConfig


@dataclass(frozen=True, slots=True)
class Look:
    """What the profile says; what is 0 or empty is said by its proxy, or else by the host.

    `generation` stands for it: a live browser of another one is exchanged. 0: the profile says nothing.
    """

    width: int = 0
    height: int = 0
    geo: Geo = field(default_factory=Geo)
    generation: int = 0
    extensions: tuple[Extension, ...] = ()


def read(config: BrowserConfig, generation: int) -> Look:
    """The look that a request asks for. Raises InvalidField.

    The locale is what sites are told first, where nothing is said of languages: with its language after it,
    as Chrome does by itself.
    """
    languages = tuple(each.strip() for each in config.accept_languages.split(",") if each.strip())
    if not languages and config.locale:
        languages = tuple(dict.fromkeys((config.locale, config.locale.partition("-")[0])))
    try:
        told = geo.check(Geo(config.time_zone, languages))
        installed = extension.check([Extension(each.name, each.sha256) for each in config.extensions])
    except ValueError as error:
        raise InvalidField(
            field="config", value=config.locale, problem=str(error), remedy="change it by UpdateProfile"
        ) from None
    return Look(config.viewport_width, config.viewport_height, told, generation, installed)
