"""The policy: what is sensitive, and how far recovery goes by itself. Pure.

    policy = parse(text)        # what the text leaves out stays as it is in DEFAULT
    policy.sensitive_step("Place order")    # the pattern that says so, or ""

`policy.toml` beside this module is the default, and tells what each key means.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from recovery.patterns import BadPattern, StepPattern, UrlPattern

MAX_TEXT = 64 * 1024
MAX_PATTERNS = 1000

_KEYS = ("sensitive_steps", "sensitive_urls", "max_attempts", "resume_for")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_SHORTEST_S, _LONGEST_S = 60, 30 * 86400
_MOST_ATTEMPTS = 100

Pattern = TypeVar("Pattern", StepPattern, UrlPattern)


class BadPolicy(ValueError):
    """A policy that cannot be used. `field` says where; `problem` and `remedy` are clauses."""

    def __init__(self, field: str, value: str, problem: str, remedy: str) -> None:
        super().__init__(field, value, problem, remedy)
        self.field = field
        self.value = value if len(value) <= 80 else value[:77] + "..."
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        shown = f" {self.value!r}" if self.value else ""
        return f"{self.field}{shown} {self.problem}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What decisions are made by, beside the evidence."""

    sensitive_steps: tuple[StepPattern, ...]
    sensitive_urls: tuple[UrlPattern, ...]
    max_attempts: int
    resume_for_s: int

    def sensitive_step(self, name: str) -> str:
        """The pattern that makes a step of this name sensitive; "" when none does."""
        return next((pattern.text for pattern in self.sensitive_steps if pattern.matches(name)), "")

    def sensitive_url(self, url: str) -> str:
        """The pattern that makes a page sensitive; "" when none does. Its address must be readable."""
        return next((pattern.text for pattern in self.sensitive_urls if pattern.matches(url)), "")


def parse(text: str) -> Policy:
    """The policy that a TOML text makes of the default one. Raises BadPolicy."""
    return _policy({**_DEFAULTS, **_read(text)})


def _read(text: str) -> Mapping[str, Any]:
    if len(text) > MAX_TEXT:
        raise BadPolicy("policy", f"of {len(text)} characters", "is too long", f"use at most {MAX_TEXT}")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadPolicy("policy", "", f"is not TOML: {error}", "mend it there") from None
    for key in table:
        if key not in _KEYS:
            raise BadPolicy(key, "", "is no key of a policy", f"the keys are {', '.join(_KEYS)}")
    return table


def _policy(table: Mapping[str, Any]) -> Policy:
    return Policy(
        sensitive_steps=_patterns(table, "sensitive_steps", StepPattern.parse),
        sensitive_urls=_patterns(table, "sensitive_urls", UrlPattern.parse),
        max_attempts=_attempts(table["max_attempts"]),
        resume_for_s=_seconds(table["resume_for"]),
    )


def _patterns(table: Mapping[str, Any], key: str, parse_one: Callable[[str], Pattern]) -> tuple[Pattern, ...]:
    found = table[key]
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise BadPolicy(key, str(found), "is not a list", 'write it as ["one", "another"]')
    if len(found) > MAX_PATTERNS:
        raise BadPolicy(key, f"of {len(found)}", "has too many patterns", f"use at most {MAX_PATTERNS}")
    return tuple(_pattern(f"{key}[{at}]", each, parse_one) for at, each in enumerate(found))


def _pattern(field: str, found: object, parse_one: Callable[[str], Pattern]) -> Pattern:
    if not isinstance(found, str):
        raise BadPolicy(field, str(found), "is not a text", "put it in quotes")
    try:
        return parse_one(found)
    except BadPattern as error:
        raise BadPolicy(field, found, error.problem, error.remedy) from None


def _attempts(found: object) -> int:
    # True is an int to Python, and would read as one attempt.
    if not isinstance(found, int) or isinstance(found, bool):
        raise BadPolicy("max_attempts", str(found), "is not a whole number", f"send 1 to {_MOST_ATTEMPTS}")
    if not 1 <= found <= _MOST_ATTEMPTS:
        raise BadPolicy("max_attempts", str(found), "is out of range", f"send 1 to {_MOST_ATTEMPTS}")
    return found


def _seconds(found: object) -> int:
    remedy = 'write a number with s, m, h or d between 1m and 30d, for example "24h"'
    match = _DURATION.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        raise BadPolicy("resume_for", str(found), "is not a time", remedy)
    seconds = int(match[1]) * _UNITS_S[match[2]]
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise BadPolicy("resume_for", match[0], "is out of range", remedy)
    return seconds


# The packaged text is this module's constant, as much as if it stood here: read once, at import.
_DEFAULTS = _read(files("recovery").joinpath("policy.toml").read_text())
DEFAULT = _policy(_DEFAULTS)
