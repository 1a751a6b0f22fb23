"""How a profile's browser looks, and its labels: checked, stored, and told to whoever opens it."""

from __future__ import annotations

import re
from collections.abc import Collection

import structlog

from lockservice import fields
from lockservice.core import settings
from lockservice.core.decision import Decision
from lockservice.core.settings import Look, Wanted
from lockservice.core.snapshot import Snapshot
from lockservice.core.stored import Settings
from lockservice.encode import config_message
from lockservice.granter import now_ms
from lockservice.replica import Replica
from tenure import extension
from tenure.errors import InvalidField
from tenure.extension import Extension
from tenure.internal.v1 import lock_service_pb2 as pb
from tenure.names import ProfileName
from tenure.v1.profile_pb2 import BrowserConfig, Profile

MAX_LANGUAGES = 10

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
# As the host's own settings have it.
_WIDTH, _HEIGHT = (320, 7680), (240, 4320)

_log = structlog.get_logger("configs")


def wanted(profile: Profile, paths: Collection[str], revision: int, by: str) -> Wanted:
    """What an update asks for. Raises InvalidField."""
    return Wanted(
        revision=revision,
        by=by,
        look=_look(profile.browser_config) if "browser_config" in paths else None,
        labels=fields.labels(profile.labels) if "labels" in paths else None,
    )


async def change(replica: Replica, profile: ProfileName, wanted: Wanted, deadline: float) -> None:
    """Store what is wanted; a browser that looks otherwise is exchanged when it is opened next.

    Raises NotFound, InvalidField (profile.etag), StoreUnavailable, OutcomeUnknown. Idempotent.
    """

    def decide(snapshot: Snapshot) -> Decision[Settings]:
        return settings.decide(replica.keys, profile, snapshot, wanted, now_ms())

    sight = settings.sight(replica.keys, profile)
    await replica.committer.settle(sight, decide, deadline, look_first=True)
    _log.info("profile configured", profile=str(profile), by=wanted.by, look=str(wanted.look))


def tell(
    replica: Replica,
    profile: ProfileName,
    response: pb.AcquireForSessionResponse | pb.LocateProfileResponse,
) -> None:
    """Add how the browser of a profile looks to an answer, as far as this replica has heard.

    From memory: whoever opens a profile waits for no further read.
    """
    found = replica.mirror.settings(profile)
    if found is not None and (number := settings.generation(look := settings.look_of(found))):
        response.config.CopyFrom(config_message(look))
        response.config_generation = number


def _look(config: BrowserConfig) -> Look:
    locale = _checked("locale", config.locale, _LANGUAGE, "a BCP 47 locale such as de-CH")
    zone = _checked("time_zone", config.time_zone, _ZONE, "a zone of the tz database such as Europe/Zurich")
    languages = (
        [each.strip() for each in config.accept_languages.split(",")] if config.accept_languages else []
    )
    for language in languages:
        _checked("accept_languages", language or ",", _LANGUAGE, "BCP 47 languages, comma-separated")
    if len(languages) > MAX_LANGUAGES:
        raise _refused("accept_languages", config.accept_languages, f"send at most {MAX_LANGUAGES}")
    return Look(
        width=_size("viewport_width", config.viewport_width, *_WIDTH),
        height=_size("viewport_height", config.viewport_height, *_HEIGHT),
        locale=locale,
        time_zone=zone,
        accept_languages=",".join(languages),
        extensions=_extensions(config),
    )


def _extensions(config: BrowserConfig) -> tuple[tuple[str, str], ...]:
    asked = [Extension(each.name, each.sha256) for each in config.extensions]
    try:
        return tuple((each.name, each.sha256) for each in extension.check(asked))
    except ValueError as error:
        raise InvalidField(
            field="profile.browser_config.extensions",
            value=",".join(each.name for each in asked)[:200],
            problem=f"cannot be asked for: {error}",
            remedy="send names and digests as `tenure config --digest FOLDER` prints them",
        ) from None


def _size(field: str, value: int, least: int, most: int) -> int:
    if value and not least <= value <= most:
        raise _refused(field, str(value), f"send {least} to {most}, or 0 for the host's own")
    return value


def _checked(field: str, value: str, form: re.Pattern[str], example: str) -> str:
    if value and not form.fullmatch(value):
        raise _refused(field, value, f"send {example}")
    return value


def _refused(field: str, value: str, remedy: str) -> InvalidField:
    return InvalidField(
        field=f"profile.browser_config.{field}", value=value, problem="is none", remedy=remedy
    )
