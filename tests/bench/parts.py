"""A suite of parts that do not depend on each other: one that fails costs its own figures only."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping

from tests.bench import report

Measured = tuple[list[report.Figure], list[str]]
"""Figures, and notes for whoever reads them."""


async def measured(suite: str, parts: Mapping[str, Callable[[], Awaitable[Measured]]]) -> bool:
    """Measure one part after the other. Returns whether all have been.

    The report is written after each, so that a run which is cut short leaves what it has, and printed at the
    end. It names each part that failed, and why.
    """
    figures: list[report.Figure] = []
    notes: list[str] = []
    failed: dict[str, str] = {}
    for name, part in parts.items():
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        try:
            found, said = await part()
        except Exception as error:
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}".rstrip(": ")
        else:
            figures += found
            notes += said
        report.save(suite, figures, failed)
    report.write(suite, figures, notes, failed)
    return not failed
