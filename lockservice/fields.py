"""Reading requests: what arrives is checked here, or in `tenure.names`, before anything is done."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit.call import Identity
from tenure import names
from tenure.errors import InvalidField
from tenure.names import IncidentName, ProfileName

DAY_MS = 24 * 3600 * 1000
# The last second of 9999, the last that google.protobuf.Timestamp can say.
LAST_S = 253_402_300_799
HOUR_MS = 3600 * 1000
SERVICE_ROLE = "service"

MAX_TEXT = 128
MAX_LABELS = 16
# What people and services say of an incident, for the record.
MAX_REASON = 2000


def profile(text: str, identity: Identity) -> ProfileName:
    """Resolve a profile for a caller; our own services may name any tenant's. Raises InvalidId,
    PermissionDenied.
    """
    parts = text.split("/")
    if SERVICE_ROLE in identity.roles and len(parts) == 4:
        return names.resolve_profile(text, names.canonical_id(parts[1], "profile"))
    return names.resolve_profile(text, identity.tenant)


def incident(text: str, identity: Identity) -> IncidentName:
    """Resolve an incident; our own services may name any tenant's. Raises InvalidId, PermissionDenied."""
    parts = text.split("/")
    if SERVICE_ROLE in identity.roles and len(parts) == 6:
        return names.resolve_incident(text, names.canonical_id(parts[1], "incident"))
    return names.resolve_incident(text, identity.tenant)


def spelling(text: str, name: ProfileName) -> str:
    """The id as its user spells it; "" for a full name with the canonical id, which spells nothing."""
    return "" if text.startswith("tenants/") and name.as_sent == name.profile else name.as_sent


def duration_ms(
    value: Duration, present: bool, field: str, *, default: int, low: int = 0, high: int = DAY_MS
) -> int:
    """A duration in milliseconds. Raises InvalidField outside of `low` to `high`."""
    if not present:
        return default
    sent = value.ToMilliseconds()
    if not low <= sent <= high:
        raise InvalidField(
            field=field,
            value=f"{sent / 1000:g}s",
            problem="is out of range",
            remedy=f"send {low / 1000:g} s to {high / 1000:g} s",
        )
    return sent


def time_ms(value: Timestamp, present: bool, field: str) -> int:
    """A moment in milliseconds since 1970, 0 when it is absent. Raises InvalidField."""
    if not present:
        return 0
    # Those that the well-known type allows, before which nothing was flushed.
    if not (0 <= value.seconds <= LAST_S and 0 <= value.nanos < 1_000_000_000):
        raise InvalidField(
            field=field,
            value=f"{value.seconds} s and {value.nanos} ns since 1970",
            problem="is no moment",
            remedy="send 1970 to 9999, with 0 to 999,999,999 nanoseconds",
        )
    return value.ToMilliseconds()


def text(value: str, field: str, *, required: bool = False, longest: int = MAX_TEXT) -> str:
    """A text of the caller's own. Raises InvalidField."""
    if required and not value:
        raise InvalidField(field=field, value=value, problem="is empty", remedy="it is required")
    if len(value) > longest:
        raise InvalidField(
            field=field, value=value, problem="is too long", remedy=f"use at most {longest} characters"
        )
    return value


def labels(value: Mapping[str, str]) -> dict[str, str]:
    """Labels. Raises InvalidField."""
    if len(value) > MAX_LABELS:
        raise InvalidField(
            field="labels",
            value=str(len(value)),
            problem="are too many",
            remedy=f"use at most {MAX_LABELS}",
        )
    for key, label in value.items():
        text(key, "labels", required=True)
        text(label, f"labels[{key}]")
    return dict(value)


def workflow(value: str, *, required: bool = False) -> str:
    """A workflow's canonical id, or "". Raises InvalidId."""
    return names.canonical_id(value, "workflow_id") if value or required else ""


def number(value: int, field: str, *, low: int, high: int) -> int:
    """A number within bounds. Raises InvalidField."""
    if not low <= value <= high:
        raise InvalidField(
            field=field, value=str(value), problem="is out of range", remedy=f"send {low} to {high}"
        )
    return value


def revision(etag: str, field: str) -> int:
    """The revision that an etag stands for. Raises InvalidField."""
    if not etag.isascii() or not etag.isdigit() or len(etag) > 16:
        raise InvalidField(
            field=field,
            value=etag,
            problem="is not one that was answered",
            remedy="send the etag as it was read",
        )
    return int(etag)
