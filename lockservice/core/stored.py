"""The other documents: the epoch, workers, queue places, steps, incidents and what becomes of them."""

from __future__ import annotations

from dataclasses import field

from lockservice.core.record import Holding
from tenure.value import named_value


@named_value
class Epoch:
    """`epoch`: the high part of every token. `cluster` is the etcd cluster id (hexadecimal) that it is good
    for.
    """

    number: int
    cluster: str


@named_value
class Log:
    """`epoch/log`: the least by which etcd's raft log was ahead of its revision when the epoch was begun or
    raised. See lockservice.core.lineage.
    """

    lead: int


@named_value
class Worker:
    """`w/{worker}`: never rewritten, so whoever read it once knows it."""

    tenant: str
    lease: int
    ttl_s: int
    registered_ms: int
    labels: dict[str, str] = field(default_factory=dict)


@named_value
class Asker:
    """`a/…/{n}`: the worker that was registered for a request."""

    worker: str


@named_value
class Ask:
    """What an Acquire asks for; stored as its place in the queue.

    `worker_create` is 0 until the worker was looked up; `as_sent` is "" when no spelling was sent, but a full
    name.
    """

    request_id: str
    worker: str
    run_id: str
    as_sent: str
    max_runtime_ms: int
    worker_create: int = 0
    workflow_id: str = ""
    proxy_key: str = ""
    home_hint: str = ""
    joined_ms: int = 0
    plan: str = ""
    restartable: bool = False


@named_value
class Step:
    """`e/…/{seq}`. `sensitive` is None when the worker did not say."""

    name: str
    start_ms: int
    sensitive: bool | None = None


@named_value
class StepEnd:
    """`e/…/{seq}/end`."""

    finish_ms: int


@named_value
class Incident:
    """`i/…/{token}`: why a hold ended without a trusted release, and whose it was. `cause` as in the API."""

    cause: str
    suspect_ms: int
    holding: Holding
    detail: str = ""
    home: str = ""


@named_value
class Quarantine:
    """`e/…/{token}/quarantined`. Not `acknowledged`: the time was waited out in which a host may serve."""

    acknowledged: bool
    quarantine_ms: int


@named_value
class Acknowledgement:
    """`e/…/{token}/acknowledged`: the host's, late, where the quarantine had to do without."""

    acknowledge_ms: int


@named_value
class Decided:
    """`d/…/{token}`: what recovery made of an incident. `outcome` as in the API."""

    outcome: str
    reason: str
    decide_ms: int


@named_value
class Verdict:
    """`v/…/{token}/{n}`: what a person made of it, who had read `revision` of the record."""

    outcome: str
    reason: str
    reviewer: str
    resolve_ms: int
    revision: int
    attested: bool = False


@named_value
class Schedule:
    """`x/{host}`: whether a host takes new profiles, who said so and when. `state` as in the API, READY too:
    who took a cordon back stays on record.
    """

    state: str
    by: str
    since_ms: int


@named_value
class Move:
    """`m/…/{revision}`: a change of home. `source` is "" for a profile that had none; `digest` "" where there
    was no directory, or where it was `attested` that the old home is destroyed with it.
    """

    source: str
    to: str
    reason: str
    by: str
    move_ms: int
    digest: str = ""
    attested: bool = False


@named_value
class Settings:
    """`s/{tenant}/{profile}`: how a profile's browser looks, what people sort it by, and who said so last.

    The numbers are 0 and the texts "" where nobody said. `extensions` are digests by name, in order.
    """

    by: str
    since_ms: int
    width: int = 0
    height: int = 0
    locale: str = ""
    time_zone: str = ""
    accept_languages: str = ""
    extensions: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
