"""What the rows of the decision table ask of the evidence. Pure."""

from __future__ import annotations

from typing import Literal

from recovery import patterns
from recovery.policy import Policy
from tenure.v1.hold_pb2 import HoldOrigin, Step
from tenure.v1.incident_pb2 import DirectoryFinding, Evidence

Fact = Literal["account_touched", "browser_alive", "form_in_flight"]


def steps(evidence: Evidence) -> list[Step]:
    """The steps that no checkpoint covers, the last one too where it cannot be told."""
    found, last = list(evidence.uncovered_steps), evidence.last_step
    if evidence.HasField("last_step") and not _covers(evidence, last):
        found.append(last)
    return found


def resumable(evidence: Evidence) -> bool:
    """Whether the workflow can go on from a checkpoint of this very hold. Only such a one covers anything:
    from any other the task would start over, and do again what came before it.
    """
    saved = evidence.checkpoint
    return (
        saved.safe
        and bool(saved.workflow_id)
        and (saved.workflow_id, saved.plan) == (evidence.workflow_id, evidence.plan)
    )


def contradictions(evidence: Evidence) -> list[tuple[bool, str]]:
    """Each way in which evidence can contradict itself: whether it does, and the clause that says so."""
    opened, directory = evidence.browser_opened, evidence.directory
    untouched = is_false(evidence, "account_touched")
    alive_or_unknown = not is_false(evidence, "browser_alive")
    pages = {_plain(url) for url in evidence.uncovered_urls if not patterns.is_blank(url)}
    beyond = pages - {_plain(evidence.start_url)}
    return [
        (
            opened and evidence.proxy_key != evidence.hold_proxy_key,
            f"the hold asked for proxy '{evidence.hold_proxy_key}', its browser had '{evidence.proxy_key}'",
        ),
        (
            alive_or_unknown and directory != DirectoryFinding.DIRECTORY_FINDING_LIVE,
            "nobody owns the profile's directory, but the browser is not known to be gone",
        ),
        (not opened and evidence.account_touched, "the account was touched, but no browser was opened"),
        (not opened and bool(pages), "pages were visited, but no browser was opened"),
        (not opened and bool(evidence.start_url), "there is a first page, but no browser was opened"),
        (untouched and bool(beyond), "the account was not touched, but more than the first page was visited"),
        (
            untouched and evidence.form_in_flight,
            "the account was not touched, but a form was being submitted",
        ),
        (
            evidence.origin == HoldOrigin.HOLD_ORIGIN_RESUMED and not evidence.workflow_id,
            "the hold resumed a workflow, but names none",
        ),
        (evidence.attempt < 1, f"there is no attempt {evidence.attempt}"),
    ]


def pages(evidence: Evidence) -> list[str]:
    """The pages that no checkpoint covers: the first one, and the one that redirects led to, too."""
    first = [] if resumable(evidence) else [evidence.start_url]
    last = [evidence.last_url] if evidence.browser_opened else []
    return [*first, *evidence.uncovered_urls, *last]


def _covers(evidence: Evidence, step: Step) -> bool:
    """Whether a step can be one that the checkpoint covers: it had ended."""
    return resumable(evidence) and step.HasField("finish_time")


def why_sensitive_step(step: Step, policy: Policy) -> str:
    """Why a step counts as sensitive, as a clause; "" when it does not."""
    if not patterns.words(step.name):
        return f"step {step.seq}, which no checkpoint covers, has no name"
    told = f"the step '{step.name}', which no checkpoint covers,"
    if not step.HasField("sensitive"):
        return f"{told} was not declared harmless"
    if step.sensitive:
        return f"{told} was declared sensitive"
    if pattern := policy.sensitive_step(step.name):
        return f"{told} is sensitive by its name (policy: '{pattern}')"
    return ""


def is_sensitive_step(step: Step, policy: Policy) -> bool:
    """Whether a step is sensitive by what was said of it, or by its name; one not declared is not by that."""
    return step.sensitive or bool(policy.sensitive_step(step.name))


def why_sensitive_page(urls: list[str], policy: Policy) -> str:
    """Which page is sensitive, as a clause; "" when none is."""
    for url in urls:
        if patterns.is_blank(url):
            continue
        if not patterns.readable(url):
            return f"the address {patterns.shown(url)} cannot be read"
        if pattern := policy.sensitive_url(url):
            return f"the page {patterns.shown(url)} is sensitive (policy: '{pattern}')"
    return ""


def is_false(evidence: Evidence, field: Fact) -> bool:
    """Whether an optional field says no, which is more than not saying yes."""
    return evidence.HasField(field) and not getattr(evidence, field)


def _plain(url: str) -> str:
    return url.partition("#")[0].rstrip("/")
