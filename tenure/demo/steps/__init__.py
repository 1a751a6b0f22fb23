"""The steps of the demo. Each claims what it shows, and returns the lines it adds to the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tenure.demo.claims import Shown
from tenure.demo.stage import ALICE, Stage
from tenure.demo.steps import checkout, deaths, ownership


@dataclass(frozen=True, slots=True)
class Step:
    """A title, and what to do on the stage."""

    title: str
    play: Callable[[Stage], Awaitable[Sequence[Shown]]]


STEPS = (
    Step(f"open {ALICE} cold and sign in", ownership.sign_in_cold),
    Step("close it, open it again: warm, still signed in", ownership.open_warm),
    Step("a second run on the busy profile is refused", ownership.refuse_busy),
    Step("another profile beside it; a waiting run takes over with a higher token", ownership.hand_over),
    Step("stop and start every service and etcd", ownership.restart_everything),
    Step("a worker stops in the middle of a checkout: a person must decide", checkout.stop_in_checkout),
    Step("it wakes up, and is refused by its token", checkout.wake_up),
    Step("a person frees the profile, and the run that waited has it", checkout.decide),
    Step("workers that die at harmless moments: recovery decides alone", deaths.die_harmlessly),
)
