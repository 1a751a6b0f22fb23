"""Writes down every call, before it is made and after."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from tests.chaos.call import Call


class Recorder:
    """Keeps calls in memory and tells `sink` of each twice: when it begins and when it ended."""

    def __init__(self, sink: Callable[[Call], None] | None = None) -> None:
        self.calls: list[Call] = []
        self._sink = sink

    def begin(self, client: str, op: str, profile: str, at: str, /, **args: Any) -> Call:
        """A call that is about to be made. Should nobody end it, its outcome stays unclear."""
        call = Call(client=client, op=op, profile=profile, args=args, start=time.monotonic(), at=at)
        self.calls.append(call)
        self._tell(call)
        return call

    def end(self, call: Call, outcome: str, /, *, reason: str = "", **answer: Any) -> Call:
        """The call was answered."""
        call.outcome, call.reason, call.answer = outcome, reason, answer
        call.end = time.monotonic()
        self._tell(call)
        return call

    def known(self) -> list[Call]:
        """All calls as they stand now, whatever becomes of them."""
        return [dataclasses.replace(call) for call in self.calls]

    def begun_since(self, known: list[Call]) -> list[Call]:
        """The calls that began later, of which nothing is known."""
        return [
            Call(
                client=call.client,
                op=call.op,
                profile=call.profile,
                args=call.args,
                start=call.start,
                at=call.at,
            )
            for call in self.calls[len(known) :]
        ]

    def _tell(self, call: Call) -> None:
        if self._sink is not None:
            self._sink(call)
