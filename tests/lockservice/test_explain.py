"""What the person on call is told of a profile, state by state; every pasted line is a call of the API."""

from __future__ import annotations

import dataclasses
import shlex
from importlib import import_module
from typing import Any

import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.message import Message

from lockservice.core.advice import ADDRESS, Advice
from lockservice.core.explain import CUT_OFF_S, Explanation, explain
from lockservice.core.facts import CAUSES, Facts
from lockservice.core.record import Holding, Record, State
from lockservice.core.snapshot import Waiter
from lockservice.core.steps import Stored
from lockservice.core.stored import Ask, Incident, Step
from tenure.names import ProfileName
from tenure.v1 import incident_pb2

NOW = 1_700_000_000_000
PROFILE = ProfileName("default", "alice_linkedin")
NAME = str(PROFILE)
INCIDENT = f"{NAME}/incidents/41"
HOLDING = Holding(
    worker="w1",
    worker_create=7,
    request_id="1",
    run_id="nightly-7",
    as_sent="alice:linkedin",
    granted_ms=NOW - 60_000,
    deadline_ms=NOW + 3_540_000,
    workflow_id="orders",
    proxy_key="miami__fl",
)
ASK = Ask(request_id="2", worker="w2", run_id="second", as_sent="alice:linkedin", max_runtime_ms=1)
QUEUE = (Waiter(9, "2", ASK),)
STEP = Stored(2, Step(name="checkout", start_ms=NOW - 5_000, sensitive=True))
IN_RECOVERY = (State.SUSPECTED_STALE, State.QUARANTINED, State.INSPECTED)


def facts(state: State, *, ago_ms: int = 0, record: dict[str, Any] | None = None, **known: Any) -> Facts:
    """A profile in `state` since `ago_ms`; from suspicion to review with the incident of token 41."""
    incident = None
    about: dict[str, Any] = {"holding": HOLDING}
    if state in {*IN_RECOVERY, State.RESUME_PENDING, State.MANUAL_REVIEW}:
        incident = Incident(cause="LEASE_ENDED", suspect_ms=NOW, holding=HOLDING)
        about |= {"incident": 41}
    elif state is not State.HELD:
        about = {}
    about |= record or {}
    stored = Record(state=state, epoch=0, since_ms=NOW - ago_ms, as_sent="alice:linkedin", **about)
    told = {"profile": PROFILE, "record": stored, "mod": 50, "token": 41, "incident": incident, **known}
    return Facts(**told)


def told(state: State, **known: Any) -> Explanation:
    return explain(facts(state, **known), NOW)


def called(advice: Advice) -> tuple[str, Message]:
    """The method and the request of a line, parsed as grpcurl would."""
    tool, plain, flag, body, address, method = shlex.split(advice.command)
    assert (tool, plain, flag, address) == ("grpcurl", "-plaintext", "-d", ADDRESS)
    service, _, name = method.rpartition("/")
    nouns = service.removeprefix("tenure.v1.").removesuffix("Service").lower()
    file = import_module(f"tenure.v1.{nouns}_service_pb2").DESCRIPTOR
    described = file.services_by_name[service.rpartition(".")[2]].methods_by_name[name]
    request = message_factory.GetMessageClass(described.input_type)()
    return name, json_format.Parse(body, request)


def calls(explained: Explanation) -> dict[str, Any]:
    return dict(called(each) for each in explained.advice if each.command)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("queue", [(), QUEUE])
@pytest.mark.parametrize("late", [0, 10**9])
def test_every_state_is_explained_and_every_line_calls_the_api(
    state: State, queue: tuple[Waiter, ...], late: int
) -> None:
    explained = explain(facts(state, queue=queue, alive=not late), NOW + late)
    assert explained.next.endswith(".")
    for each in explained.advice:
        assert each.text
        if each.command:
            called(each)


def test_a_free_profile_waits_for_whoever_comes_next() -> None:
    explained = told(State.AVAILABLE)
    assert (explained.next_ms, explained.cause) == (0, "")
    assert explained.next == "Nothing: it is free, and whoever opens it next has it at once."
    assert calls(explained)["OpenSession"].profile == NAME


def test_a_free_profile_with_a_queue_goes_to_its_head() -> None:
    assert told(State.AVAILABLE, queue=QUEUE).next.startswith("Run second, the first in the queue, has it")


def test_a_retry_says_which_attempt_is_next() -> None:
    explained = told(State.RETRY, record={"failed_attempts": 2})
    assert "attempt 3" in explained.next
    assert "may start over" in explained.cause


def test_a_held_profile_lasts_until_its_release_its_lease_or_its_deadline() -> None:
    explained = told(State.HELD, alive=True, lease_s=12.4, queue=QUEUE)
    assert "run second has it" in explained.next
    assert "12 s from now at the earliest" in explained.next
    assert explained.next_ms == HOLDING.deadline_ms
    asked = calls(explained)
    assert asked["OpenSession"].wait.seconds == 60
    assert asked["RevokeHold"].fencing_token == asked["ReleaseHold"].fencing_token == 41
    assert asked["RevokeHold"].reason


@pytest.mark.parametrize(("known", "now"), [({"alive": False}, NOW), ({"alive": True}, HOLDING.deadline_ms)])
def test_a_hold_that_is_over_becomes_suspect_at_once(known: dict[str, Any], now: int) -> None:
    explained = explain(facts(State.HELD, **known), now)
    assert "becomes suspect within a second" in explained.next
    assert explained.next_ms == now
    assert "ReleaseHold" not in calls(explained)


@pytest.mark.parametrize(
    ("state", "then"),
    [
        (State.SUSPECTED_STALE, "QUARANTINED"),
        (State.QUARANTINED, "INSPECTED"),
        (State.INSPECTED, "MANUAL_REVIEW"),
    ],
)
def test_recovery_says_its_next_step_its_bound_and_when_it_is_overdue(state: State, then: str) -> None:
    explained = told(state, step=STEP)
    assert then in explained.next
    assert NOW < explained.next_ms <= NOW + 10_000
    assert "overdue" not in explained.next
    assert explained.cause == "Run nightly-7 lost its hold at step checkout: the lease of its worker ended."
    assert calls(explained)["GetIncident"].incident == INCIDENT
    late = told(state, ago_ms=60_000)
    assert "overdue" in late.next
    assert "ListHosts" in calls(late)


def test_a_host_that_does_not_answer_is_waited_for_longer_than_it_may_serve() -> None:
    assert told(State.SUSPECTED_STALE).next_ms == NOW + int(CUT_OFF_S * 1000)
    assert CUT_OFF_S > 6.0


def test_a_profile_kept_for_its_workflow_says_for_whom_until_when_and_then() -> None:
    explained = told(State.RESUME_PENDING, record={"resume_until_ms": NOW + 900_000, "resume_plan": "v3"})
    assert "workflow orders, through proxy miami__fl" in explained.next
    assert "MANUAL_REVIEW" in explained.next
    assert explained.next_ms == NOW + 900_000
    asked = calls(explained)["OpenSession"]
    assert (asked.workflow_id, asked.resume_state, asked.plan) == ("orders", True, "v3")
    assert (asked.proxy.city, asked.proxy.state) == ("miami", "fl")


def test_one_that_waited_in_vain_for_its_workflow_goes_to_a_person() -> None:
    explained = told(State.RESUME_PENDING, record={"resume_until_ms": NOW - 1})
    assert "in vain" in explained.next


def test_a_review_waits_for_a_person_and_says_what_they_can_choose() -> None:
    explained = told(
        State.MANUAL_REVIEW, step=STEP, queue=QUEUE, decided="MANUAL_REVIEW", reason="It was in a checkout"
    )
    assert explained.next_ms == 0
    assert explained.next.startswith("Nothing by itself")
    assert "1 in its queue" in explained.next
    assert explained.cause.endswith("Recovery decided MANUAL_REVIEW: It was in a checkout.")
    asked = calls(explained)["ResolveIncident"]
    assert (asked.incident, asked.etag, asked.outcome) == (INCIDENT, "50", incident_pb2.OUTCOME_AVAILABLE)
    assert not asked.attest_destroyed
    assert "RESUME_PENDING keeps it for workflow orders" in explained.advice[-1].text


def test_a_review_without_an_acknowledgement_asks_for_an_attestation() -> None:
    explained = told(State.MANUAL_REVIEW, acknowledged=False)
    assert calls(explained)["ResolveIncident"].attest_destroyed
    assert "browser is destroyed" in explained.advice[-1].text


@pytest.mark.parametrize("finding", ["CORRUPT", "MISSING", "UNKNOWN", "LIVE"])
def test_a_damaged_profile_in_review_is_only_to_be_disabled_or_restored(finding: str) -> None:
    explained = told(State.MANUAL_REVIEW, finding=finding)
    assert calls(explained)["ResolveIncident"].outcome == incident_pb2.OUTCOME_DISABLED
    assert "Only DISABLED is of use, or a restore" in explained.advice[-1].text
    assert "a start on it will be refused" in explained.advice[-1].text


@pytest.mark.parametrize("cause", ["PROFILE_MISSING", "PROFILE_UNSOUND"])
def test_a_start_that_was_refused_needs_no_finding_to_say_so(cause: str) -> None:
    incident = Incident(cause=cause, suspect_ms=NOW, holding=HOLDING)
    explained = told(State.MANUAL_REVIEW, incident=incident)
    assert calls(explained)["ResolveIncident"].outcome == incident_pb2.OUTCOME_DISABLED


def test_a_review_after_an_unclaimed_resume_says_so() -> None:
    explained = told(State.MANUAL_REVIEW, decided="RESUME_PENDING", reason="A safe checkpoint.")
    assert explained.cause.endswith("Its workflow did not come in time.")


def test_a_disabled_profile_refuses_everybody() -> None:
    explained = told(State.DISABLED)
    assert "taken out of use" in explained.next
    (update,) = calls(explained).values()
    assert update.profile.etag == "50"
    assert (list(calls(explained)), list(update.update_mask.paths)) == (["UpdateProfile"], ["state"])


def test_every_cause_of_the_api_has_its_words() -> None:
    values = incident_pb2.SuspicionCause.DESCRIPTOR.values
    names = {value.name.removeprefix("SUSPICION_CAUSE_") for value in values}
    assert set(CAUSES) == names - {"UNSPECIFIED"}


def test_no_name_breaks_out_of_a_pasted_line() -> None:
    quoted = {"workflow_id": "it's; rm -rf /", "proxy_key": 'a"b__c'}
    holding = dataclasses.replace(HOLDING, workflow_id=quoted["workflow_id"], proxy_key=quoted["proxy_key"])
    explained = told(State.RESUME_PENDING, record={"holding": holding, "resume_until_ms": NOW + 1})
    asked = calls(explained)["OpenSession"]
    assert (asked.workflow_id, asked.proxy.city) == ("it's; rm -rf /", 'a"b')
