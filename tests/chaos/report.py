"""What a run was, for people (Markdown) and programs (JSON)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lockservice.core.states import ALLOWED
from tests.chaos.episode import Played
from tests.chaos.hunt import Hunted
from tests.chaos.mutants import EQUIVALENT


@dataclass(slots=True)
class Report:
    """A run. `controls` are the hunts with nothing removed; `missing` says what this machine cannot do."""

    seed: str
    episodes: list[Played] = field(default_factory=list)
    mutants: list[Hunted] = field(default_factory=list)
    controls: list[Hunted] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Why the run failed; nothing when all is well."""
        found = [
            f"{played.plan.name}: {violation}"
            for played in self.episodes
            for violation in played.findings.violations
        ]
        found += [f"{p.plan.name}: not settled in time" for p in self.episodes if not p.settled]
        found += [
            f"{played.plan.name}: the search of {name} was given up"
            for played in self.episodes
            for name in played.findings.given_up
        ]
        found += [f"mutant not caught: {each.mutant}" for each in self.mutants if not each.violations]
        found += [
            f"control of '{each.mutant}': {violation}"
            for each in self.controls
            for violation in each.violations
        ]
        found += [f"a condition that no table names: {name}: {label}" for name, label in self.unknown]
        return found

    def write(self, folder: Path) -> None:
        """Write report.json and report.md."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(self.summary(), indent=2) + "\n")
        (folder / "report.md").write_text("\n".join(self.lines()) + "\n")

    def summary(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "operations": sum(played.operations for played in self.episodes),
            "faults": sum(len(played.faults) for played in self.episodes),
            "unclear": sum(played.findings.outcomes["unclear"] for played in self.episodes),
            "violations": sum(len(played.findings.violations) for played in self.episodes),
            "mutants": {"caught": self.caught, "of": len(self.mutants), "equivalent": len(EQUIVALENT)},
            "missing": self.missing,
            "failures": self.failures,
            "episodes": [_episode(played) for played in self.episodes],
            "hunts": [_hunt(hunted) for hunted in self.mutants],
            "controls": [_hunt(hunted) for hunted in self.controls],
        }

    @property
    def caught(self) -> int:
        return sum(bool(each.violations) for each in self.mutants)

    def lines(self) -> list[str]:
        total = self.summary()
        text = [
            "# Histories under faults",
            "",
            f"Seed `{self.seed}`.",
            f"{total['operations']} operations, {total['unclear']} with an unclear outcome,",
            f"under {total['faults']} faults.",
            f"**{total['violations']} violations.** **{self.caught} of {len(self.mutants)} mutants caught.**",
            f"{len(EQUIVALENT)} conditions are implied by others.",
            "",
            *(f"NOT RUN: {why}" for why in self.missing),
            *(["", "## Failures", "", *(f"- {why}" for why in self.failures)] if self.failures else []),
            "",
            "## Episodes",
            "",
            "| episode | seed | operations | unclear | faults | grants | violations | searched | s |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for played in self.episodes:
            found = played.findings
            text.append(
                f"| {played.plan.name} | `{played.seed}` | {played.operations} | {found.outcomes['unclear']} "
                f"| {len(played.faults)} | {found.grants} | {len(found.violations)} | {found.explored} "
                f"| {played.seconds:.0f} |"
            )
        text += ["", "### Faults", ""]
        faults = Counter(_sort(fault) for played in self.episodes for fault in played.faults)
        text += [f"- {count} × {fault}" for fault, count in sorted(faults.items())]
        text += ["", "### Transitions", "", "| from | to | times |", "|---|---|---|"]
        text += [f"| {a} | {b} | {count} |" for (a, b), count in sorted(coverage(self.episodes).items())]
        text += ["", "## Mutants", "", "| without | caught by | operations | control |", "|---|---|---|---|"]
        controls = {each.mutant: each for each in self.controls}
        for each in self.mutants:
            control = controls.get(each.mutant)
            clean = "-" if control is None else f"{len(control.violations)} in {control.operations}"
            caught = each.caught_by or "**not caught**"
            text.append(f"| {each.mutant} | {caught} | {each.operations} | {clean} |")
        text += ["", "### Equivalent", ""]
        text += [f"- {name} without {label}: {why}." for (name, label), why in EQUIVALENT.items()]
        return text


def coverage(episodes: Sequence[Played]) -> dict[tuple[str, str], int]:
    """How often each listed transition was made; 0 for those that were not."""
    made: Counter[tuple[str, str]] = Counter()
    for played in episodes:
        made.update(played.findings.moves)
    listed = {
        (before.value if before else "absent", after.value): 0
        for before, afters in ALLOWED.items()
        for after in afters
    }
    return listed | dict(made)


def _sort(fault: str) -> str:
    """A fault without its victim."""
    for digit in "0123456789":
        fault = fault.replace(f"m{digit}", "a member").replace(f"crew{digit}", "clients")
    return fault.split(" revision ")[0].split("epoch: ")[0].partition(" lockservice")[0]


def _episode(played: Played) -> dict[str, Any]:
    found = played.findings
    return {
        "name": played.plan.name,
        "seed": played.seed,
        "operations": played.operations,
        "by_kind": dict(found.operations),
        "outcomes": dict(found.outcomes),
        "reasons": dict(found.reasons),
        "faults": played.faults,
        "grants": found.grants,
        "revisions": found.revisions,
        "transitions": {f"{a} → {b}": count for (a, b), count in sorted(found.moves.items())},
        "explored": found.explored,
        "given_up": found.given_up,
        "violations": [str(violation) for violation in found.violations],
        "partitioned": played.partitioned,
        "settled": played.settled,
        "seconds": round(played.seconds, 1),
        "checked_s": round(played.checked_s, 1),
    }


def _hunt(hunted: Hunted) -> dict[str, Any]:
    return {
        "mutant": hunted.mutant,
        "seed": hunted.seed,
        "caught_by": hunted.caught_by,
        "operations": hunted.operations,
        "held": hunted.held,
        "changed": hunted.changed,
        "trace": str(hunted.violations[0]).splitlines() if hunted.violations else [],
    }
