"""Each row of the decision table, by evidence that would free the profile but for the one fact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from browserhost.witness.ledger import clipped
from recovery import decide as table
from recovery import policy
from recovery.decide import MOST_LISTED, ROWS, decide
from recovery.policy import DEFAULT, Policy
from tenure.v1.hold_pb2 import Checkpoint, HoldOrigin, Step
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence, Outcome, SuspicionCause
from tests.recovery.facts import NOW, START, at, at_work, changed, harmless, resumable, untouched

CLEAN = DirectoryFinding.DIRECTORY_FINDING_CLEAN
UNCLEAN = DirectoryFinding.DIRECTORY_FINDING_UNCLEAN_CONSISTENT
LIVE = DirectoryFinding.DIRECTORY_FINDING_LIVE
MISSING = DirectoryFinding.DIRECTORY_FINDING_MISSING


def outcome(evidence: Evidence) -> str:
    return Outcome.Name(decide(evidence, DEFAULT, NOW).outcome).removeprefix("OUTCOME_")


@dataclass
class Case:
    """Evidence, the row that decides on it, and the fact that its reason must name.

    `backed`: a later row would decide the same.
    """

    row: str
    evidence: Evidence
    fact: str
    outcome: str = "MANUAL_REVIEW"
    backed: bool = False


def cause(name: str) -> SuspicionCause.ValueType:
    return SuspicionCause.Value(f"SUSPICION_CAUSE_{name}")


def directory(name: str) -> DirectoryFinding.ValueType:
    return DirectoryFinding.Value(f"DIRECTORY_FINDING_{name}")


NEVER_OPENED: dict[str, Any] = {
    "browser_opened": None,
    "browser_alive": False,
    "start_url": None,
    "last_url": None,
    "uncovered_urls": [],
    "directory": MISSING,
}
STEP = "which no checkpoint covers"

CASES = [
    Case("unproven", untouched(acknowledged=False), "no host acknowledged"),
    Case("unproven", resumable(acknowledged=False), "no host acknowledged"),
    Case("unproven", untouched(missing=True), "no host told what became"),
    *(
        Case("cause", untouched(cause=cause(name)), fact)
        for name, fact in {
            "REVOKED": "a person revoked",
            "UNTRUSTED_RELEASE": "did not vouch",
            "RESTORED": "restored from a backup",
            "PROFILE_MISSING": "was missing",
            "PROFILE_UNSOUND": "damaged",
            "HOST_UNREACHABLE": "did not answer",
            "UNSPECIFIED": "not known why",
        }.items()
    ),
    Case("cause", untouched(cause=99), "not known why"),
    Case(
        "directory",
        untouched(directory=directory("CORRUPT"), browser_alive=False, findings=["Cookies: torn"]),
        "Cookies: torn",
    ),
    Case("directory", untouched(directory=directory("UNKNOWN"), browser_alive=False), "cannot be told"),
    Case("directory", untouched(directory=None, browser_alive=False), "cannot be told"),
    Case("directory", untouched(directory=99, browser_alive=False), "cannot be told"),
    Case("directory", untouched(browser_alive=False), "not its host's"),
    Case("directory", untouched(browser_alive=None), "not its host's"),
    Case("directory", untouched(directory=MISSING, browser_alive=False), "directory is missing"),
    Case(
        "directory",
        untouched(**{**NEVER_OPENED, "account_touched": None}),
        "directory is missing",
        backed=True,
    ),
    Case("directory", at_work(directory=MISSING, browser_alive=False), "directory is missing"),
    Case("contradiction", at_work(proxy_key="paris__"), "its browser had 'paris__'"),
    Case("contradiction", at_work(hold_proxy_key="paris__"), "asked for proxy 'paris__'"),
    Case("contradiction", untouched(directory=CLEAN), "not known to be gone"),
    Case("contradiction", untouched(directory=UNCLEAN, browser_alive=None), "not known to be gone"),
    Case("contradiction", at_work(browser_opened=None), "touched, but no browser"),
    Case("contradiction", untouched(browser_opened=None, start_url=None), "visited, but no browser"),
    Case("contradiction", untouched(browser_opened=None, uncovered_urls=[]), "a first page, but no browser"),
    Case("contradiction", untouched(uncovered_urls=[START, f"{START}shoes"]), "more than the first page"),
    Case("contradiction", untouched(uncovered_urls=[f"{START}shoes"]), "more than the first page"),
    Case("contradiction", untouched(form_in_flight=True), "but a form"),
    Case("contradiction", untouched(attempt=0), "attempt 0"),
    Case("contradiction", untouched(origin=HoldOrigin.HOLD_ORIGIN_RESUMED), "names none"),
    Case("unknown", untouched(account_touched=None), "not known whether the account was touched"),
    Case("unknown", resumable(account_touched=None), "not known whether the account was touched"),
    Case("unknown", untouched(start_url=None, uncovered_urls=[]), "where the browser began"),
    Case("unknown", at_work(start_url=None), "where the browser began"),
    Case("unknown", at_work(uncovered_urls=[]), "no page was recorded"),
    Case("unknown", at_work(incomplete=True), "recorded under the hold is lost"),
    Case("unknown", resumable(incomplete=True), "recorded under the hold is lost"),
    Case("unknown", untouched(origin=None), "where the hold came from"),
    Case("unknown", at_work(origin=99), "where the hold came from"),
    Case("untouched", untouched(), "not touched under this hold", "AVAILABLE"),
    Case("untouched", untouched(**NEVER_OPENED), "not touched under this hold", "AVAILABLE"),
    Case(
        "untouched",
        untouched(origin=HoldOrigin.HOLD_ORIGIN_RESUMED, workflow_id="basket"),
        "workflow 'basket' was to be resumed",
        "RESUME_PENDING",
    ),
    Case(
        "untouched",
        untouched(origin=HoldOrigin.HOLD_ORIGIN_RETRY, attempt=9),
        "not touched in attempt 9",
        "RETRY",
    ),
    Case("form", at_work(form_in_flight=True), "a form was being submitted"),
    Case("form", resumable(form_in_flight=True), "a form was being submitted"),
    Case("form", at_work(form_in_flight=None), "not known whether a form"),
    Case("sensitive_step", at_work(uncovered_steps=[Step(seq=1, name="look")]), "not declared harmless"),
    Case(
        "sensitive_step",
        at_work(uncovered_steps=[harmless(), Step(seq=2, name="look", sensitive=True)]),
        f"'look', {STEP}, was declared sensitive",
    ),
    Case("sensitive_step", resumable(uncovered_steps=[harmless("placeOrder")]), "by its name"),
    Case("sensitive_step", at_work(uncovered_steps=[harmless(" ")]), "has no name"),
    Case(
        "sensitive_step",
        at_work(uncovered_steps=[], last_step=Step(seq=3, name="pay", sensitive=True, finish_time=at(-2))),
        "'pay'",
    ),
    Case(
        "sensitive_step",
        resumable(uncovered_steps=[], last_step=Step(seq=3, name="pay", sensitive=True)),
        "'pay'",
    ),
    *(
        # What can be resumed from nowhere covers nothing: the task would start over, and pay again.
        Case(
            "sensitive_step",
            resumable(
                restartable=True,
                checkpoint=saved,
                uncovered_steps=[],
                last_step=Step(seq=3, name="pay", sensitive=True, finish_time=at(-2)),
            ),
            "'pay'",
        )
        for saved in (
            Checkpoint(workflow_id="basket", plan="v2", fencing_token=7),
            Checkpoint(workflow_id="basket", plan="v1", safe=True, fencing_token=7),
        )
    ),
    Case(
        "sensitive_step",
        at_work(uncovered_steps=[harmless(seq=n + 1) for n in range(MOST_LISTED)]),
        f"more than {MOST_LISTED - 1} steps",
    ),
    Case("sensitive_page", at_work(uncovered_urls=[f"{START}Checkout?card=1#x"]), f"{START}Checkout is"),
    Case("sensitive_page", resumable(uncovered_urls=[f"{START}settings"]), "settings is sensitive"),
    Case("sensitive_page", at_work(last_url=f"{START}settings"), "settings is sensitive"),
    Case("sensitive_page", at_work(start_url=f"{START}settings"), "settings is sensitive"),
    Case(
        "sensitive_page",
        untouched(start_url=f"{START}settings", uncovered_urls=[], restartable=True),
        "settings is sensitive",
    ),
    Case("sensitive_page", untouched(last_url=f"{START}settings", restartable=True), "settings is sensitive"),
    Case("sensitive_page", at_work(uncovered_urls=["https://[bank/"]), "cannot be read"),
    Case("sensitive_page", at_work(uncovered_urls=[clipped(START + "x" * 2000)]), "cannot be read"),
    Case("sensitive_page", at_work(uncovered_urls=[START + "x" * 2000]), "cannot be read"),
    Case(
        "sensitive_page",
        at_work(uncovered_urls=[f"{START}{n}" for n in range(MOST_LISTED)]),
        f"more than {MOST_LISTED - 1} pages",
    ),
    Case("checkpoint", resumable(), "'basket' saved a safe checkpoint at step 'filled'", "RESUME_PENDING"),
    Case("checkpoint", resumable(restartable=True, attempt=3), "safe checkpoint", "RESUME_PENDING"),
    Case("restartable", at_work(), "attempt 1 of at most 3", "RETRY"),
    Case("restartable", at_work(uncovered_steps=[], last_step=None), "is restartable", "RETRY"),
    Case("restartable", resumable(plan="v3", restartable=True), "is restartable", "RETRY"),
    Case("restartable", at_work(attempt=2), "attempt 2 of at most 3", "RETRY"),
    Case("restartable", at_work(attempt=3), "attempt 3 of at most 3 failed too", backed=True),
    Case(
        "restartable",
        at_work(origin=HoldOrigin.HOLD_ORIGIN_RESUMED, workflow_id="basket"),
        "'basket' had been resumed",
        backed=True,
    ),
    Case("otherwise", at_work(restartable=None), "no checkpoint saved"),
    Case("otherwise", resumable(checkpoint=None), "no checkpoint saved"),
    Case("otherwise", resumable(plan=None), "not safe, or another plan's"),
    Case("otherwise", resumable(workflow_id="other"), "not safe, or another plan's"),
    Case("otherwise", resumable(checkpoint=Checkpoint(workflow_id="basket", plan="v2")), "not safe"),
    Case(
        "otherwise",
        resumable(checkpoint=Checkpoint(plan="v2", safe=True), workflow_id=None),
        "not safe, or another plan's",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row}: {case.fact}")
def test_a_decision_goes_by_its_row_and_names_the_fact(case: Case) -> None:
    decision = decide(case.evidence, DEFAULT, NOW)
    decided_by = next(row for row in ROWS if row(case.evidence, DEFAULT) is not None)
    assert (decided_by.__name__, outcome(case.evidence)) == (case.row, case.outcome)
    assert case.fact.casefold() in decision.reason.casefold()
    assert decision.reason[0].isupper()
    assert decision.reason.endswith(".")
    assert decision.decide_time.ToDatetime(NOW.tzinfo) == NOW


@pytest.mark.parametrize("case", [c for c in CASES if not c.backed], ids=lambda c: f"{c.row}: {c.fact}")
def test_without_its_row_the_profile_would_get_another_outcome(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(evidence: Evidence, policy: Policy) -> table.Answer:
        return table.Answer(Outcome.OUTCOME_UNSPECIFIED, "nothing")

    monkeypatch.setattr(table, "ROWS", (*(row for row in ROWS if row.__name__ != case.row), give_up))
    assert outcome(case.evidence) != case.outcome


def test_the_order_of_the_rows_is_the_documented_one() -> None:
    numbers = [int((row.__doc__ or "").split(":")[0].split(",")[0]) for row in ROWS]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 12))


def test_no_evidence_at_all_goes_to_a_person() -> None:
    assert outcome(Evidence()) == "MANUAL_REVIEW"


def test_the_landing_of_the_first_navigation_is_no_touch() -> None:
    landed = untouched(uncovered_urls=["about:blank", START.rstrip("/")], last_url=f"{START}en/#top")
    assert outcome(landed) == "AVAILABLE"


@pytest.mark.parametrize("found", [CLEAN, UNCLEAN])
def test_a_profile_that_nobody_owns_and_is_sound_may_be_freed(found: DirectoryFinding.ValueType) -> None:
    assert outcome(untouched(directory=found, browser_alive=False)) == "AVAILABLE"


@pytest.mark.parametrize("step", [Step(seq=1, name="look", sensitive=True), Step(seq=1, name="pay")])
def test_a_sensitive_step_goes_to_a_person_also_when_the_browser_saw_nothing_of_it(step: Step) -> None:
    assert outcome(untouched(uncovered_steps=[step], last_step=step)) == "MANUAL_REVIEW"


@pytest.mark.parametrize("step", [Step(seq=1, name="look", sensitive=False), Step(seq=1, name="look")])
def test_a_step_that_is_not_declared_does_not_matter_before_the_account_is_touched(step: Step) -> None:
    assert outcome(untouched(uncovered_steps=[step], last_step=step)) == "AVAILABLE"


def test_a_covered_sensitive_step_does_not_keep_a_workflow_from_going_on() -> None:
    paid = Step(seq=1, name="pay", sensitive=True, finish_time=at(-5))
    assert outcome(resumable(uncovered_steps=[], last_step=paid)) == "RESUME_PENDING"


def test_work_on_the_empty_page_needs_no_record_of_pages() -> None:
    assert outcome(at_work(start_url="about:blank", uncovered_urls=[], last_url=None)) == "RETRY"


def test_a_reason_shows_no_secrets_of_an_address() -> None:
    url = "https://user:hunter2@shop.example/checkout?token=s3cret#s3cret"
    reason = decide(at_work(uncovered_urls=[url]), DEFAULT, NOW).reason
    assert "https://shop.example/checkout" in reason
    assert "hunter2" not in reason
    assert "s3cret" not in reason


def test_the_policy_says_how_often_a_task_may_start_over() -> None:
    strict = policy.parse("max_attempts = 1")
    assert decide(at_work(), strict, NOW).outcome == Outcome.OUTCOME_MANUAL_REVIEW
    patient = policy.parse("max_attempts = 4")
    assert decide(at_work(attempt=3), patient, NOW).outcome == Outcome.OUTCOME_RETRY


def test_the_policy_says_what_is_sensitive() -> None:
    own = policy.parse('sensitive_steps = ["look*"]\nsensitive_urls = ["shop.example/catalogue"]')
    assert "'look*'" in decide(at_work(), own, NOW).reason
    unnamed = changed(at_work(), uncovered_steps=[harmless("pay")], last_step=None)
    assert "'shop.example/catalogue'" in decide(unnamed, own, NOW).reason
