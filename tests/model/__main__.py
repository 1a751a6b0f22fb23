"""Explore the model from the command line; see the package."""

from __future__ import annotations

import argparse
import sys
import time

from tests.model.explore import Fault, Model, explore
from tests.model.table import PARTS, RULES, Shown
from tests.test_traces import TRACES


def main(arguments: list[str]) -> int:
    """Returns 0 when everything was as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--list", action="store_true", help="say what rules there are, and what each forbids")
    parser.add_argument(
        "--without", choices=RULES, metavar="RULE", help="tell what goes wrong without a rule"
    )
    parser.add_argument("--large", action="store_true", help="larger bounds: minutes, not seconds")
    parser.add_argument("--part", choices=[part.NAME for part in PARTS], help="explore this part alone")
    options = parser.parse_args(arguments)
    if options.list:
        _list()
        return 0
    if options.without:
        return _without(options.without)
    parts = [part for part in PARTS if options.part in (None, part.NAME)]
    return max(_explore(part(large=options.large)) for part in parts)


def _list() -> None:
    for name, rule in RULES.items():
        print(f"{name}\n    {rule.says}")
        for shown in rule.shown:
            print(f"    without it, in '{shown.part.NAME}': {_breaks(shown)}")


def _breaks(shown: Shown) -> str:
    return shown.breaks + (f" (trace {shown.trace}: {TRACES[shown.trace][0]})" if shown.trace else "")


def _explore(model: Model[object]) -> int:
    began = time.monotonic()
    found = explore(model)
    took = time.monotonic() - began
    what = "no violation" if not found.faults else f"{len(found.faults)} violations"
    print(
        f"{model.NAME:16} {found.states:>9,} states {found.moves:>10,} moves {took:6.1f} s  {what}",
        flush=True,
    )
    for fault in found.faults.values():
        _tell(fault)
    return 1 if found.faults else 0


def _without(name: str) -> int:
    rule = RULES[name]
    print(f"Without {name} ({rule.says}):")
    missed = 0
    for shown in rule.shown:
        found = explore(shown.part({name}), looked_for=lambda kind, wanted=shown.breaks: kind == wanted)  # type: ignore[misc]
        fault = found.faults.get(shown.breaks)
        if fault is None:
            print(f"\nnothing of the kind: {shown.breaks}")
            missed += 1
        else:
            print(f"\nin '{shown.part.NAME}', of {found.states:,} states: {_breaks(shown)}")
            _tell(fault)
    return 1 if missed else 0


def _tell(fault: Fault) -> None:
    for number, line in enumerate(fault.story, 1):
        print(f"{number:4}. {line}")
    print(f"      so: {fault.kind}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
