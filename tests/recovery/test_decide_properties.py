"""What holds of every piece of evidence, made up at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from recovery.decide import decide
from recovery.policy import DEFAULT
from tenure.v1.hold_pb2 import Checkpoint, HoldOrigin, Step
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence, Outcome, SuspicionCause
from tests.recovery.facts import NOW, START, at, at_work, changed, resumable, untouched

OUTCOMES = {
    Outcome.OUTCOME_AVAILABLE,
    Outcome.OUTCOME_RESUME_PENDING,
    Outcome.OUTCOME_RETRY,
    Outcome.OUTCOME_MANUAL_REVIEW,
}
PLAIN = ("LEASE_ENDED", "MAX_RUNTIME", "BROWSER_LOST", "HOST_RESTARTED")

maybe = st.sampled_from([None, False, True])
urls = st.sampled_from(["about:blank", START, f"{START}shoes", f"{START}checkout", "https://[", ""])
names = st.sampled_from(["look", "browse", "checkout", "Change password", ""])


@st.composite
def steps(draw: st.DrawFn) -> Step:
    step = Step(seq=draw(st.integers(1, 9)), name=draw(names), sensitive=draw(maybe))
    if draw(st.booleans()):
        step.finish_time.CopyFrom(at(-3))
    return step


checkpoints = st.builds(
    Checkpoint,
    workflow_id=st.sampled_from(["", "basket", "other"]),
    plan=st.sampled_from(["", "v2"]),
    safe=st.booleans(),
)

evidences = st.builds(
    Evidence,
    acknowledged=st.sampled_from([True, True, True, False]),
    missing=st.sampled_from([False, False, False, True]),
    cause=st.sampled_from([*(SuspicionCause.Value(f"SUSPICION_CAUSE_{name}") for name in PLAIN), 0, 5, 99]),
    directory=st.sampled_from([1, 1, *DirectoryFinding.values(), 99]),
    browser_alive=maybe,
    browser_opened=st.booleans(),
    start_url=st.one_of(st.just(START), urls),
    last_url=urls,
    uncovered_urls=st.lists(urls, max_size=3),
    uncovered_steps=st.lists(steps(), max_size=3),
    last_step=st.one_of(st.none(), steps()),
    account_touched=maybe,
    form_in_flight=maybe,
    origin=st.sampled_from([*HoldOrigin.values(), 99]),
    attempt=st.integers(0, 4),
    workflow_id=st.sampled_from(["", "basket"]),
    plan=st.sampled_from(["", "v2"]),
    restartable=st.booleans(),
    proxy_key=st.sampled_from(["", "", "paris__"]),
    hold_proxy_key=st.sampled_from(["", "", "paris__"]),
    checkpoint=st.one_of(st.none(), checkpoints),
)
freeable = st.sampled_from([untouched, at_work, resumable])


@st.composite
def varied(draw: st.DrawFn) -> Evidence:
    """Evidence that frees a profile, with a few of its facts taken from evidence made up at random."""
    evidence: Evidence = draw(freeable)()
    other: Evidence = draw(evidences)
    for name in draw(st.sets(st.sampled_from(sorted(Evidence.DESCRIPTOR.fields_by_name)), max_size=3)):
        present = {field.name for field, _ in other.ListFields()}
        evidence = changed(evidence, **{name: getattr(other, name) if name in present else None})
    return evidence


def spoil(name: str, *values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from(values).map(lambda value: {name: value})


# Each makes the evidence say less, or something worse, than it did.
weakenings = st.one_of(
    spoil("acknowledged", False),
    spoil("missing", True),
    spoil("cause", 0, 5, 6, 7, 8, 9, 10, 99),
    spoil("directory", 0, 4, 6, 99),
    spoil("browser_alive", None),
    spoil("account_touched", None),
    spoil("form_in_flight", None, True),
    spoil("start_url", None, f"{START}checkout"),
    spoil("last_url", f"{START}checkout"),
    spoil("origin", 0, 99),
    spoil("attempt", 0, 50),
    spoil("incomplete", True),
    spoil("workflow_id", None),
    spoil("restartable", False),
    spoil("proxy_key", "elsewhere__"),
    spoil("checkpoint", None),
    spoil("last_step", Step(seq=9, name="look"), Step(seq=9, name="look", sensitive=True)),
)
additions: list[Callable[[Evidence], object]] = [
    lambda evidence: evidence.uncovered_steps.add(seq=9, name="look"),
    lambda evidence: evidence.uncovered_steps.add(seq=9, name="look", sensitive=True),
    lambda evidence: evidence.uncovered_steps.add(seq=9, name="delete account", sensitive=False),
    lambda evidence: evidence.uncovered_urls.append(f"{START}checkout"),
    lambda evidence: evidence.uncovered_urls.append(f"{START}other"),
    lambda evidence: evidence.uncovered_steps.extend([Step(seq=1, name="look", sensitive=False)] * 100),
]


@given(evidences)
@example(Evidence())
def test_every_evidence_gets_one_of_four_outcomes_and_a_reason(evidence: Evidence) -> None:
    decision = decide(evidence, DEFAULT, NOW)
    assert decision.outcome in OUTCOMES
    assert len(decision.reason) > 10
    assert decide(evidence, DEFAULT, NOW) == decision


@settings(max_examples=500)
@given(st.one_of(evidences, varied()), weakenings)
def test_weaker_evidence_never_frees_what_would_be_reviewed(
    evidence: Evidence, weaker: dict[str, Any]
) -> None:
    assume(decide(evidence, DEFAULT, NOW).outcome == Outcome.OUTCOME_MANUAL_REVIEW)
    # An absent checkpoint is no weaker than one of another plan, and what it covers stays the same.
    assert decide(changed(evidence, **weaker), DEFAULT, NOW).outcome == Outcome.OUTCOME_MANUAL_REVIEW


@given(st.one_of(evidences, varied()), st.sampled_from(additions))
def test_more_uncovered_work_never_frees_what_would_be_reviewed(
    evidence: Evidence, add: Callable[[Evidence], object]
) -> None:
    assume(decide(evidence, DEFAULT, NOW).outcome == Outcome.OUTCOME_MANUAL_REVIEW)
    # Pages that nobody recorded are a reason of their own, which the first one recorded takes away.
    assume(evidence.uncovered_urls)
    add(evidence)
    assert decide(evidence, DEFAULT, NOW).outcome == Outcome.OUTCOME_MANUAL_REVIEW


@given(varied())
def test_what_is_freed_was_proven_sound_and_nothing_sensitive_is_uncovered(evidence: Evidence) -> None:
    assume(decide(evidence, DEFAULT, NOW).outcome != Outcome.OUTCOME_MANUAL_REVIEW)
    assert evidence.acknowledged
    assert not evidence.missing
    assert evidence.HasField("account_touched")
    assert evidence.directory in (1, 2, 3, 5)
    if evidence.account_touched:
        assert evidence.HasField("form_in_flight")
        assert not evidence.form_in_flight
        assert all(step.HasField("sensitive") and not step.sensitive for step in evidence.uncovered_steps)
        assert not any("checkout" in url for url in evidence.uncovered_urls)


@given(freeable, st.sampled_from(sorted(Evidence.DESCRIPTOR.fields_by_name)))
def test_a_missing_fact_never_makes_a_profile_freer(make: Callable[[], Evidence], name: str) -> None:
    order = [
        Outcome.OUTCOME_MANUAL_REVIEW,
        Outcome.OUTCOME_RETRY,
        Outcome.OUTCOME_RESUME_PENDING,
        Outcome.OUTCOME_AVAILABLE,
    ]
    before = decide(make(), DEFAULT, NOW).outcome
    after = decide(changed(make(), **{name: None}), DEFAULT, NOW).outcome
    assert order.index(after) <= order.index(before)
