"""An administrator says how a profile's browser looks, or what it is to be sorted by."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lockservice.core.decision import Decision, Refuse, Reply, Write
from lockservice.core.document import decode, encode
from lockservice.core.keys import Keys
from lockservice.core.snapshot import Sight, Snapshot
from lockservice.core.stored import Settings
from lockservice.etcd.txn import get, mod_is, put
from tenure.errors import InvalidField, NotFound
from tenure.names import ProfileName
from tenure.value import value


@value
class Look:
    """How a browser looks to sites; what is 0 or empty is the host's own way."""

    width: int = 0
    height: int = 0
    locale: str = ""
    time_zone: str = ""
    accept_languages: str = ""
    extensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be changed, by whom; None stays as it is. Guarded by mod(p) = `revision`, as it was read."""

    revision: int
    by: str
    look: Look | None = None
    labels: Mapping[str, str] | None = None


class Seen(NamedTuple):
    """Settings, and the revision at which they were written."""

    settings: Settings
    mod: int


def sight(keys: Keys, profile: ProfileName) -> Sight:
    """What `decide` looks at, and a guess never has."""
    return Sight(keys=keys, profile=profile, extra=(get(keys.settings(profile)),))


def decide(
    keys: Keys, profile: ProfileName, snapshot: Snapshot, wanted: Wanted, now_ms: int
) -> Decision[Settings]:
    """Write the settings as wanted, of a profile in any state: nothing in `p` changes, so a hold goes on.

    Idempotent: settings that say the same already stay, with whoever said so first.
    """
    if snapshot.record is None:
        return Refuse(NotFound(name=str(profile)))
    found = snapshot.found(0)
    before = decode(Settings, found.value) if found else Settings(by="", since_ms=0)
    after = _changed(before, wanted)
    if after == before and look_of(after) == look_of(before):
        return Reply(before)
    if snapshot.mod != wanted.revision:
        return Refuse(
            InvalidField(
                field="profile.etag",
                value=str(wanted.revision),
                problem="is not that of the profile as it is now",
                remedy="read the profile again, and send the etag that it says then",
            )
        )
    after = dataclasses.replace(after, by=wanted.by, since_ms=now_ms)
    key = keys.settings(profile)
    return Write(
        (
            mod_is(keys.epoch, snapshot.epoch.mod),
            mod_is(keys.record(profile), wanted.revision),
            mod_is(key, found.mod_revision if found else 0),
        ),
        (put(key, encode(after)),),
        lambda _: after,
    )


def look_of(settings: Settings) -> Look:
    """How the browser looks by these settings."""
    return Look(
        width=settings.width,
        height=settings.height,
        locale=settings.locale,
        time_zone=settings.time_zone,
        accept_languages=settings.accept_languages,
        extensions=tuple(settings.extensions.items()),
    )


def generation(look: Look) -> int:
    """A number that stands for a look; 0 for that of a browser of which nobody said anything.

    By its content, so that it means the same at every host, and after a restore of the store too.
    """
    if look == Look():
        return 0
    content = json.dumps(dataclasses.astuple(look)).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:6], "big") or 1


def _changed(before: Settings, wanted: Wanted) -> Settings:
    after = before
    if wanted.labels is not None:
        after = dataclasses.replace(after, labels=dict(wanted.labels))
    look = wanted.look
    # In a look the order of extensions counts, as in dictionaries that are compared it does not.
    if look is None or look == look_of(before):
        return after
    return dataclasses.replace(
        after,
        width=look.width,
        height=look.height,
        locale=look.locale,
        time_zone=look.time_zone,
        accept_languages=look.accept_languages,
        extensions=dict(look.extensions),
    )
