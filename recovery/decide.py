"""What becomes of a profile whose hold ended without a release: evidence × policy × now → decision. Pure.

The table is `ROWS`, asked in order; the first row that answers decides. Whatever is missing, unknown,
contradictory or sensitive goes to a person: no row guesses. A row frees a profile only for what the
evidence says expressly, and says in words which fact it went by.

Evidence is read as it is stored, `tenure.v1.Evidence`: an absent optional field, an enum's 0 and a number
that this version does not know all mean "unknown".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from recovery import facts, patterns
from recovery.policy import Policy
from tenure.v1.hold_pb2 import HoldOrigin
from tenure.v1.incident_pb2 import Decision, DirectoryFinding, Evidence, Outcome, SuspicionCause

MOST_LISTED = 100
"""Evidence lists at most this many URLs and steps, the newest: a list of so many may lack older ones."""

_AVAILABLE = Outcome.OUTCOME_AVAILABLE
_RESUME = Outcome.OUTCOME_RESUME_PENDING
_RETRY = Outcome.OUTCOME_RETRY
_REVIEW = Outcome.OUTCOME_MANUAL_REVIEW

# The ends that say nothing against the profile or the work done on it.
_PLAIN_CAUSES = frozenset(
    {
        SuspicionCause.SUSPICION_CAUSE_LEASE_ENDED,
        SuspicionCause.SUSPICION_CAUSE_MAX_RUNTIME,
        SuspicionCause.SUSPICION_CAUSE_BROWSER_LOST,
        SuspicionCause.SUSPICION_CAUSE_HOST_RESTARTED,
    }
)
_CAUSES = {
    SuspicionCause.SUSPICION_CAUSE_REVOKED: "a person revoked the hold, so a person frees the profile",
    SuspicionCause.SUSPICION_CAUSE_UNTRUSTED_RELEASE: "the worker did not vouch for the account",
    SuspicionCause.SUSPICION_CAUSE_RESTORED: "the store was restored from a backup",
    SuspicionCause.SUSPICION_CAUSE_PROFILE_MISSING: "the profile's directory was missing",
    SuspicionCause.SUSPICION_CAUSE_PROFILE_UNSOUND: "the profile was found damaged, or could not be read",
    SuspicionCause.SUSPICION_CAUSE_HOST_UNREACHABLE: "the host did not answer when it had to be drained",
}

_ORIGINS = frozenset(
    {HoldOrigin.HOLD_ORIGIN_NEW, HoldOrigin.HOLD_ORIGIN_RESUMED, HoldOrigin.HOLD_ORIGIN_RETRY}
)
_SOUND = frozenset(
    {DirectoryFinding.DIRECTORY_FINDING_CLEAN, DirectoryFinding.DIRECTORY_FINDING_UNCLEAN_CONSISTENT}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A row's answer: the outcome, and the fact it goes by, as a clause."""

    outcome: Outcome.ValueType
    fact: str


Row = Callable[[Evidence, Policy], "Answer | None"]


def decide(evidence: Evidence, policy: Policy, now: datetime) -> Decision:
    """Return the decision on this evidence, made at `now`. The same for the same arguments."""
    answer = next(answer for row in ROWS if (answer := row(evidence, policy)) is not None)
    decision = Decision(outcome=answer.outcome, reason=_sentence(answer.fact))
    decision.decide_time.FromDatetime(now)
    return decision


# --- the rows --------------------------------------------------------------------------


def unproven(evidence: Evidence, policy: Policy) -> Answer | None:
    """1: nobody saw what became of it."""
    if not evidence.acknowledged:
        return _review("no host acknowledged that the old worker is cut off")
    if evidence.missing:
        return _review(f"no host told what became of the browser and the profile{_first_finding(evidence)}")
    return None


def cause(evidence: Evidence, policy: Policy) -> Answer | None:
    """2: why the hold ended says by itself that a person must look."""
    if evidence.cause in _PLAIN_CAUSES:
        return None
    return _review(_CAUSES.get(evidence.cause, "it is not known why the hold became suspect"))


def directory(evidence: Evidence, policy: Policy) -> Answer | None:
    """3: the profile's directory is not known to be sound."""
    found = evidence.directory
    if found in _SOUND:
        return None
    if found == DirectoryFinding.DIRECTORY_FINDING_LIVE:
        # Its host's own browser answered and has flushed; any other process is a stranger.
        if evidence.browser_alive:
            return None
        return _review("a process that is not its host's owns the profile's directory")
    if found == DirectoryFinding.DIRECTORY_FINDING_MISSING:
        # A profile that was never opened has none yet; a used one is not opened without it (PROTOCOL.md 19).
        if not evidence.browser_opened and facts.is_false(evidence, "account_touched"):
            return None
        return _review("the profile's directory is missing")
    if found == DirectoryFinding.DIRECTORY_FINDING_CORRUPT:
        return _review(f"the profile is damaged{_first_finding(evidence)}")
    return _review(f"it cannot be told whether the profile is sound{_first_finding(evidence)}")


def contradiction(evidence: Evidence, policy: Policy) -> Answer | None:
    """4: the evidence contradicts itself, so some of it is wrong."""
    fact = next((fact for holds, fact in facts.contradictions(evidence) if holds), None)
    return None if fact is None else _review(f"the evidence contradicts itself: {fact}")


def unknown(evidence: Evidence, policy: Policy) -> Answer | None:
    """5: nobody can say whether the account was touched, or where."""
    if not evidence.HasField("account_touched"):
        return _review("it is not known whether the account was touched")
    if evidence.incomplete:
        return _review("some of what was recorded under the hold is lost")
    if evidence.browser_opened and not evidence.start_url:
        return _review("it is not known where the browser began")
    if evidence.account_touched and not evidence.uncovered_urls and not patterns.is_blank(evidence.start_url):
        return _review("the account was touched, but no page was recorded")
    if evidence.origin not in _ORIGINS:
        return _review("it is not known where the hold came from")
    return None


def untouched(evidence: Evidence, policy: Policy) -> Answer | None:
    """6: the account was not touched, so the task goes back to where it came from."""
    if evidence.account_touched or facts.why_sensitive_page(facts.pages(evidence), policy):
        # Only looking at a sensitive page counts as touching the account.
        return None
    if any(facts.is_sensitive_step(step, policy) for step in facts.steps(evidence)):
        # The host sees its own browser only, and whoever says that he pays may do so elsewhere.
        return None
    if evidence.origin == HoldOrigin.HOLD_ORIGIN_RESUMED:
        workflow = f"workflow '{evidence.workflow_id}'"
        return Answer(_RESUME, f"the account was not touched since {workflow} was to be resumed")
    if evidence.origin == HoldOrigin.HOLD_ORIGIN_RETRY:
        return Answer(_RETRY, f"the account was not touched in attempt {evidence.attempt}")
    return Answer(_AVAILABLE, "the account was not touched under this hold")


def form(evidence: Evidence, policy: Policy) -> Answer | None:
    """7: something may be on its way to the site."""
    if facts.is_false(evidence, "form_in_flight"):
        return None
    if evidence.form_in_flight:
        return _review("a form was being submitted")
    return _review("it is not known whether a form was being submitted")


def sensitive_step(evidence: Evidence, policy: Policy) -> Answer | None:
    """8, steps: one that no checkpoint covers was sensitive, or nobody said that it was not."""
    if len(evidence.uncovered_steps) >= MOST_LISTED:
        return _review(f"there are more than {MOST_LISTED - 1} steps that no checkpoint covers")
    found = (facts.why_sensitive_step(step, policy) for step in facts.steps(evidence))
    return next((_review(fact) for fact in found if fact), None)


def sensitive_page(evidence: Evidence, policy: Policy) -> Answer | None:
    """8, pages: one that no checkpoint covers was sensitive."""
    if len(evidence.uncovered_urls) >= MOST_LISTED:
        return _review(f"there are more than {MOST_LISTED - 1} pages that no checkpoint covers")
    fact = facts.why_sensitive_page(facts.pages(evidence), policy)
    return _review(fact) if fact else None


def checkpoint(evidence: Evidence, policy: Policy) -> Answer | None:
    """9: a safe checkpoint of this very hold, whose proxy is the one asked for (4)."""
    if not facts.resumable(evidence):
        return None
    saved = evidence.checkpoint
    where = f" at step '{saved.step}'" if saved.step else ""
    return Answer(_RESUME, f"workflow '{saved.workflow_id}' saved a safe checkpoint{where} under this hold")


def restartable(evidence: Evidence, policy: Policy) -> Answer | None:
    """10: the task may start over, so long as it has attempts left."""
    if not evidence.restartable:
        return None
    if evidence.origin == HoldOrigin.HOLD_ORIGIN_RESUMED:
        resumed = f"workflow '{evidence.workflow_id}' had been resumed"
        return _review(f"{resumed}, and starting over would repeat what came before")
    if evidence.attempt >= policy.max_attempts:
        return _review(f"attempt {evidence.attempt} of at most {policy.max_attempts} failed too")
    return Answer(
        _RETRY,
        f"the task is restartable and attempt {evidence.attempt} of at most {policy.max_attempts} "
        "did nothing sensitive",
    )


def otherwise(evidence: Evidence, policy: Policy) -> Answer:
    """11: the account was touched, and nothing says how to go on."""
    saved = "its checkpoint is not safe, or another plan's" if evidence.HasField("checkpoint") else ""
    return _review(f"the account was touched, {saved or 'no checkpoint saved'}, the task not restartable")


ROWS: tuple[Row, ...] = (
    unproven,
    cause,
    directory,
    contradiction,
    unknown,
    untouched,
    form,
    sensitive_step,
    sensitive_page,
    checkpoint,
    restartable,
    otherwise,
)


def _first_finding(evidence: Evidence) -> str:
    return f" ({evidence.findings[0][:300]})" if evidence.findings else ""


def _review(fact: str) -> Answer:
    return Answer(_REVIEW, fact)


def _sentence(fact: str) -> str:
    return f"{fact[0].upper()}{fact[1:]}."
