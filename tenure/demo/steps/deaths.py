"""Workers that are killed at moments that do no harm: recovery decides without a person."""

from __future__ import annotations

import time

from tenure.client import Client
from tenure.demo.claims import Shown, claim, opened
from tenure.demo.puppet import Puppet
from tenure.demo.stage import ALICE, Stage
from tenure.errors import ResumePending
from tenure.hold import Origin
from tenure.v1 import incident_pb2

_WORKFLOW, _PLAN, _PAGE = "newsletter", "2026-11", "page 3 of 7"


async def die_harmlessly(stage: Stage) -> list[Shown]:
    async with stage.worker("nine") as worker:
        shown = await _die_untouched(stage, worker)
        shown += await _die_after_a_checkpoint(stage, worker)
        return shown + await _die_restartable(stage, worker)


async def _die_untouched(stage: Stage, worker: Client) -> list[Shown]:
    puppet = await stage.puppet(start_url=f"{stage.site.url}/account", run_id="untouched")
    return [await _killed(stage, worker, puppet, "AVAILABLE", "before it touched the account")]


async def _die_after_a_checkpoint(stage: Stage, worker: Client) -> list[Shown]:
    puppet = await stage.puppet(
        start_url=f"{stage.site.url}/account", run_id="resumable", workflow_id=_WORKFLOW, plan=_PLAN
    )
    await puppet.order("step", name="read", sensitive=False)
    await puppet.order("go", url=f"{stage.site.url}/account")
    await puppet.order("finish")
    await puppet.order("checkpoint", step="read", payload=_PAGE)
    shown = [await _killed(stage, worker, puppet, "RESUME_PENDING", "after a checkpoint declared safe")]
    try:
        async with worker.open(ALICE, run_id="stranger") as stranger:
            claim(False, f"another than the workflow got the profile, with token {stranger.fencing_token}")
    except ResumePending as refusal:
        shown.append(Shown(f"others are refused: {refusal.reason}"))
    async with worker.open(
        ALICE,
        start_url=f"{stage.site.url}/account",
        run_id="resumed",
        workflow_id=_WORKFLOW,
        plan=_PLAN,
    ) as session:
        stage.granted(session.fencing_token)
        claim(session.origin is Origin.RESUMED, f"its origin is {session.origin.name}")
        restored = session.restored.payload.decode() if session.restored else ""
        claim(restored == _PAGE, f"the checkpoint that it is handed says {restored!r}")
        await stage.expect_signed_in(await session.cdp(), "Alice")
        shown.append(opened(f"its workflow goes on: RESUMED, with its checkpoint '{restored}'", session))
    return shown


async def _die_restartable(stage: Stage, worker: Client) -> list[Shown]:
    puppet = await stage.puppet(
        start_url=f"{stage.site.url}/account", run_id="first-attempt", restartable=True
    )
    await puppet.order("step", name="read", sensitive=False)
    await puppet.order("go", url=f"{stage.site.url}/account")
    shown = [await _killed(stage, worker, puppet, "RETRY", "in a task declared restartable")]
    async with worker.open(
        ALICE, start_url=f"{stage.site.url}/account", run_id="second-attempt", restartable=True
    ) as session:
        stage.granted(session.fencing_token)
        claim(
            (session.origin, session.attempt) == (Origin.RETRY, 2),
            f"the next open says {session.origin.name}, attempt {session.attempt}",
        )
        await stage.expect_signed_in(await session.cdp(), "Alice")
        shown.append(opened(f"the next open is a {session.origin.name}, attempt {session.attempt}", session))
    return shown


async def _killed(stage: Stage, worker: Client, puppet: Puppet, expected: str, when: str) -> Shown:
    puppet.kill()
    killed = time.time()
    decision = (await stage.decided(worker, puppet.token)).decision
    outcome = incident_pb2.Outcome.Name(decision.outcome).removeprefix("OUTCOME_")
    claim(outcome == expected, f"killed {when}: {outcome}, because {decision.reason}")
    after = decision.decide_time.ToNanoseconds() / 1e9 - killed
    what = f"kill -9 {when}: {outcome} by itself after {after:.1f} s: {decision.reason}"
    return Shown(what, puppet.token, facts={"outcome": outcome, "seconds_after_kill": round(after, 3)})
