"""google.protobuf.Duration to seconds and back."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration


def to_duration(seconds: float) -> Duration:
    """Return a Duration of `seconds`, exact to the nanosecond."""
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def to_seconds(duration: Duration) -> float:
    """Return a Duration in seconds."""
    return duration.ToNanoseconds() / 1e9
