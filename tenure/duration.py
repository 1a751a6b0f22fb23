"""google.protobuf.Duration to seconds and back."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from tenure.errors import InvalidField


def to_duration(seconds: float, field: str = "duration") -> Duration:
    """Return a Duration of `seconds`, exact to the nanosecond. Raises InvalidField, which names `field`."""
    duration = Duration()
    try:
        duration.FromNanoseconds(round(seconds * 1e9))
    except (ValueError, OverflowError):
        raise InvalidField(
            field=field,
            value=str(seconds),
            problem="is no number of seconds that can be sent",
            remedy="send seconds as a finite number",
        ) from None
    return duration


def to_seconds(duration: Duration) -> float:
    """Return a Duration in seconds."""
    return duration.ToNanoseconds() / 1e9
