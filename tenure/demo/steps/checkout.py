"""A worker stops in the middle of a checkout, wakes up too late, and a person decides."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tenure.client import Client
from tenure.demo.claims import Shown, claim, opened
from tenure.demo.stage import ALICE, WAIT_S, Stage
from tenure.errors import ProfileInReview, WaitExpired
from tenure.session import Session
from tenure.v1 import hold_pb2, incident_pb2
from tenure.v1.incident_pb2 import Incident

_PATIENCE_S = 90.0
_REASON = "the site has no order of that time"
# Where the site shows the button that orders, in CSS pixels.
_BUTTON = {"x": 520, "y": 405}
# What a step, an action and a frame are refused with once the host or the lock service knows.
_REFUSALS = {"TOKEN_SUPERSEDED", "HOLD_REVOKED"}


async def stop_in_checkout(stage: Stage) -> list[Shown]:
    puppet = stage.stopped = await stage.puppet(start_url=f"{stage.site.url}/account", run_id="buy-juniper")
    await puppet.order("step", name="look at the account", sensitive=False)
    await puppet.order("step", name="checkout", sensitive=True)
    await puppet.order("go", url=f"{stage.site.url}/checkout")
    async with stage.worker("eight") as worker:
        stage.waiting = asyncio.create_task(_open_in_the_end(stage))
        await stage.queued(worker, stage.waiting)
        puppet.stop()
        stopped = time.time()
        shown = [
            Shown(
                f"worker process {puppet.pid} stands before the button that orders, in step 'checkout', "
                "declared sensitive: SIGSTOP",
                puppet.token,
            )
        ]
        incident = await stage.decided(worker, puppet.token)
        stage.incident = incident.name
        shown += _timeline(incident, stopped)
        claim(
            incident.state == hold_pb2.PROFILE_STATE_MANUAL_REVIEW,
            f"it is {_state(incident)} and not in MANUAL_REVIEW",
        )
        shown.append(await _evidence(stage, worker, incident))
        shown += await _refused(stage, worker)
    return shown


async def wake_up(stage: Stage) -> list[Shown]:
    puppet = stage.stopped
    assert puppet is not None, "it was stopped in the step before"
    orders = stage.site.orders["Alice"]
    puppet.wake()
    lost = (await puppet.hear()).get("lost", "")
    claim(lost != "", "the SDK does not end the work of a worker that slept past its lease")
    shown = [Shown(f"SIGCONT: the SDK ends its work by itself, {lost}. One that does not is refused:")]
    tries: dict[str, dict[str, Any]] = {
        "its next step, at the lock service": {"what": "step", "name": "pay", "sensitive": True},
        "a click by Act, at the host": {"what": "act", **_BUTTON},
        "a DevTools frame on its old connection, at the host": {"what": "frame", "selector": "#confirm"},
    }
    for what, how in tries.items():
        answer = await puppet.order(**how)
        refusal = answer.get("refused", "")
        claim(refusal in _REFUSALS, f"{what}: {answer}")
        shown.append(Shown(f"{what}: {refusal}", puppet.token, facts={"refused": refusal}))
    claim(stage.site.orders["Alice"] == orders, "the old worker ordered after all")
    puppet.kill()
    return shown


async def decide(stage: Stage) -> list[Shown]:
    waiting = stage.waiting
    assert waiting is not None, "it waits since the worker stopped"
    async with stage.worker("reviewer") as reviewer:
        claim(not waiting.done(), "the run that waits got the profile before a person decided")
        incident = await reviewer.incident(stage.incident)
        resolved = await reviewer.resolve(
            incident.name, incident_pb2.OUTCOME_AVAILABLE, _REASON, etag=incident.etag
        )
        shown = [Shown(f"{resolved.verdict.reviewer} decides AVAILABLE: {_REASON}")]
        async with asyncio.timeout(WAIT_S):
            session = await waiting
        stage.waiting = None
        shown.append(opened("the run that waited all the time has Alice, still signed in", session))
    claim(stage.site.orders["Alice"] == 0, "an order was placed that nobody vouched for")
    return shown


async def _open_in_the_end(stage: Stage) -> Session:
    async with (
        stage.worker("waiter") as worker,
        worker.open(
            ALICE, start_url=f"{stage.site.url}/account", run_id="patient", wait=_PATIENCE_S
        ) as session,
    ):
        stage.granted(session.fencing_token)
        await stage.expect_signed_in(await session.cdp(), "Alice")
        return session


def _timeline(incident: Incident, stopped: float) -> list[Shown]:
    cause = incident_pb2.SuspicionCause.Name(incident.cause).removeprefix("SUSPICION_CAUSE_")
    claim(incident.acknowledged, "the host did not acknowledge that the old worker is cut off")
    told = (
        (incident.suspect_time, "SUSPECTED_STALE", cause),
        (incident.quarantine_time, "QUARANTINED", "the host has cut the old worker off"),
        (incident.inspect_time, "INSPECTED", "the evidence is gathered"),
        (incident.decision.decide_time, _state(incident), incident.decision.reason),
    )
    shown = []
    for stamp, state, text in told:
        after = stamp.ToNanoseconds() / 1e9 - stopped
        facts = {"state": state, "seconds_after_stop": round(after, 3)}
        shown.append(Shown(f"+{after:.3f} s  {state}: {text}", facts=facts))
    return shown


async def _evidence(stage: Stage, worker: Client, incident: Incident) -> Shown:
    """Show what the decision was made on, with the picture on disk."""
    evidence = incident.evidence
    claim(evidence.last_url == f"{stage.site.url}/checkout", f"the last URL is {evidence.last_url!r}")
    claim(evidence.last_step.name == "checkout", f"the last step is {evidence.last_step.name!r}")
    claim(evidence.last_step.sensitive, "the last step is not sensitive")
    items = {item.name: item for item in await worker.evidence(incident.name)}
    claim(evidence.last_screenshot in items, "there is no screenshot")
    picture = items[evidence.last_screenshot]
    data = await worker.read_evidence(picture.name)
    claim(len(data) > 1000, f"the screenshot has {len(data)} bytes")
    stage.pictures.mkdir(exist_ok=True)
    path = stage.pictures / f"checkout.{picture.media_type.rpartition('/')[2]}"
    path.write_bytes(data)
    directory = incident_pb2.DirectoryFinding.Name(evidence.directory).removeprefix("DIRECTORY_FINDING_")
    facts = {
        "last_url": evidence.last_url,
        "last_step": evidence.last_step.name,
        "screenshot": str(path),
        "proxy_key": evidence.proxy_key,
        "directory": directory,
        "browser_alive": evidence.browser_alive,
    }
    alive = "alive" if evidence.browser_alive else "not alive"
    lines = [
        f"evidence: URL {evidence.last_url}",
        f"step {evidence.last_step.seq} {evidence.last_step.name}, sensitive",
        f"screenshot {path} ({len(data) / 1024:.0f} KiB)",
        f"proxy {evidence.proxy_key or 'none'}; profile {directory}; browser {alive}",
    ]
    return Shown("\n".join(lines), facts=facts)


async def _refused(stage: Stage, worker: Client) -> list[Shown]:
    """Show that nobody gets a profile in review, and that who waits goes on waiting."""
    shown = []
    try:
        async with worker.open(ALICE, run_id="second") as session:
            claim(False, f"a second worker got the profile in review, with token {session.fencing_token}")
    except ProfileInReview as refusal:
        shown.append(Shown(f"a second worker is refused: {refusal.reason}"))
    try:
        async with worker.open(ALICE, run_id="hasty", wait=0.2) as session:
            claim(False, f"a waiter got the profile in review, with token {session.fencing_token}")
    except WaitExpired as expired:
        state = expired.state
        claim(state == "MANUAL_REVIEW", f"a wait that ran out says {state!r}")
        shown.append(Shown(f"one that waits a moment is told {expired.reason}, {state}"))
    told = await worker.explain(ALICE)
    runs = [place.run_id for place in told.queue]
    claim(runs == ["patient"], f"the queue is {runs}")
    shown.append(
        Shown(f"one that waits for long keeps its place; next: {told.next[0].lower()}{told.next[1:]}")
    )
    return shown


def _state(incident: Incident) -> str:
    return hold_pb2.ProfileState.Name(incident.state).removeprefix("PROFILE_STATE_")
