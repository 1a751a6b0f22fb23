"""Who may be served on a profile, and what must happen before: the fence, without any I/O.

Rules 13 to 16 of the protocol. The state is the floor, as it stands on disk, and the last proof
that the floor's own token is the current hold. Every event gives a Step. Its caller, one at a time
for a profile, must do what the step says in this order: put the new floor on disk, adopt the new
state, cut and drain every token at or below `cut`, and only then serve or acknowledge. Time is in
seconds of CLOCK_BOOTTIME, which goes on while the machine sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from tenure.fencing import SERVE_S

VERIFY_EVERY_S = SERVE_S / 3


class Answer(Enum):
    """What to do with a token now."""

    SERVE = "serve"
    VERIFY = "verify"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Fence:
    """`sent_at`: when the last good verify of the token `floor` was sent; None when there is none.

    Without a proof the floor may be no token at all: closing t leaves the floor at t + 1.
    """

    floor: int = 0
    sent_at: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The state to adopt, whether its floor must be on disk first, and what to cut (0: nothing)."""

    fence: Fence
    persist: bool
    cut: int


def check(fence: Fence, token: int, now: float) -> Answer:
    """What to do with a token, at its arrival and again at each dispatch."""
    if token < fence.floor:
        return Answer.SUPERSEDED
    if token == fence.floor and fence.sent_at is not None and now < fence.sent_at + SERVE_S:
        return Answer.SERVE
    return Answer.VERIFY


def proven(fence: Fence, token: int, sent_at: float) -> Step | None:
    """A verify sent at `sent_at` says that `token` is the current hold; None: the floor rose meanwhile.

    The floor is checked here once more, because a Close or a later hold may have overtaken the answer.
    """
    if token < fence.floor:
        return None
    if token == fence.floor:
        # Answers may overtake each other; an older one must not shorten what a newer one proved.
        latest = max(sent_at, fence.sent_at if fence.sent_at is not None else sent_at)
        return Step(replace(fence, sent_at=latest), persist=False, cut=0)
    return Step(Fence(token, sent_at), persist=True, cut=token - 1)


def disproven(fence: Fence, token: int) -> Step:
    """A verify says that `token` is not the current hold: what was served under it is cut.

    The floor stays, since the answer was given by somebody else's clock and store; the token has
    to be proven again before it is served, and that will not succeed.
    """
    if token != fence.floor:
        return Step(fence, persist=False, cut=0)
    return Step(replace(fence, sent_at=None), persist=False, cut=token)


def ended(fence: Fence, token: int) -> Step:
    """`token` is over at this host: closed, quarantined, or its browser is lost.

    A late one leaves a later hold alone: the floor only rises, and only what is at or below
    `token` is cut.
    """
    if token < fence.floor:
        return Step(fence, persist=False, cut=token)
    return Step(Fence(token + 1), persist=True, cut=token)


def expired(fence: Fence, now: float) -> bool:
    """Whether what is served has outlived its proof: access is cut, Chrome is not closed."""
    return fence.sent_at is not None and now >= fence.sent_at + SERVE_S


def verify_due(fence: Fence, now: float) -> bool:
    """Whether a token that is being served should be verified again."""
    return fence.sent_at is not None and now >= fence.sent_at + VERIFY_EVERY_S
