"""From what is stored to what the API says."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from lockservice.core.hold import Hold
from lockservice.core.record import Origin, Record, State
from lockservice.core.settings import Look, look_of
from lockservice.core.snapshot import Waiter
from lockservice.core.steps import Stored
from lockservice.core.stored import Settings
from tenure import token as tokens
from tenure.names import ProfileName
from tenure.v1 import hold_pb2, profile_pb2, profile_service_pb2

# Looked up once: an enum's own look-up by name costs more than the rest of a message.
_STATES: dict[State | None, hold_pb2.ProfileState.ValueType] = {
    None: hold_pb2.PROFILE_STATE_UNSPECIFIED,
    **{state: hold_pb2.ProfileState.Value(f"PROFILE_STATE_{state.value}") for state in State},
}
_ORIGINS = {origin: hold_pb2.HoldOrigin.Value(f"HOLD_ORIGIN_{origin.value}") for origin in Origin}


def state_of(state: State | None) -> hold_pb2.ProfileState.ValueType:
    """UNSPECIFIED for a profile that was never stored."""
    return _STATES[state]


def timestamp(ms: int) -> Timestamp | None:
    """None for 0: never."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000) if ms else None


def host_name(host: str) -> str:
    return f"hosts/{host}" if host else ""


def hold_message(hold: Hold, lease_remaining_s: float | None) -> hold_pb2.Hold:
    """A hold, and how long its worker's lease lives at least, if that is known."""
    holding = hold.holding
    left_ms = -1 if lease_remaining_s is None else int(lease_remaining_s * 1000)
    return hold_pb2.Hold(
        profile=str(hold.profile),
        as_sent=hold.as_sent,
        fencing_token=hold.token,
        worker=f"workers/{holding.worker}",
        run_id=holding.run_id,
        workflow_id=holding.workflow_id,
        state=state_of(hold.record.state),
        run_deadline=timestamp(holding.deadline_ms),
        request_id=holding.request_id,
        origin=_ORIGINS[holding.origin],
        attempt=holding.attempt,
        home=host_name(hold.record.home),
        second_spelling=holding.as_sent not in ("", hold.record.as_sent),
        proxy_key=holding.proxy_key,
        plan=holding.plan,
        restartable=holding.restartable,
        lease_remaining=(
            None if left_ms < 0 else Duration(seconds=left_ms // 1000, nanos=left_ms % 1000 * 1_000_000)
        ),
    )


def config_message(look: Look) -> profile_pb2.BrowserConfig:
    """How a browser looks."""
    return profile_pb2.BrowserConfig(
        viewport_width=look.width,
        viewport_height=look.height,
        locale=look.locale,
        time_zone=look.time_zone,
        accept_languages=look.accept_languages,
        extensions=[
            profile_pb2.BrowserExtension(name=name, sha256=sha256) for name, sha256 in look.extensions
        ],
    )


def profile_message(
    profile: ProfileName, record: Record, mod: int, waiters: int, settings: Settings | None = None
) -> profile_pb2.Profile:
    """A profile as stored."""
    message = profile_pb2.Profile(
        name=str(profile),
        as_sent=record.as_sent,
        state=state_of(record.state),
        state_time=timestamp(record.since_ms),
        waiters=waiters,
        home=host_name(record.home),
        used=record.used,
        flushed_at=timestamp(record.flushed_ms),
        incident=f"{profile}/incidents/{record.incident}" if record.incident else "",
        etag=str(mod),
    )
    if record.state is State.HELD:
        hold = Hold(profile, record, tokens.pack(record.epoch, mod))
        message.hold.CopyFrom(hold_message(hold, None))
    if record.state is State.RESUME_PENDING and record.holding is not None:
        message.workflow_id = record.holding.workflow_id
    if settings is not None:
        message.labels.update(settings.labels)
        if (look := look_of(settings)) != Look():
            message.browser_config.CopyFrom(config_message(look))
    return message


def waiter_message(position: int, waiter: Waiter) -> profile_service_pb2.Waiter:
    """A place in a queue."""
    return profile_service_pb2.Waiter(
        position=position,
        worker=f"workers/{waiter.ask.worker}",
        run_id=waiter.ask.run_id,
        since=timestamp(waiter.ask.joined_ms),
        request_id=waiter.request_id,
    )


def step_message(stored: Stored) -> hold_pb2.Step:
    """A step."""
    message = hold_pb2.Step(
        seq=stored.seq,
        name=stored.step.name,
        start_time=timestamp(stored.step.start_ms),
        finish_time=timestamp(stored.finish_ms),
    )
    if stored.step.sensitive is not None:
        message.sensitive = stored.step.sensitive
    return message
