"""The page with the states says what the table does."""

from __future__ import annotations

import re

from lockservice.core.states import ALLOWED
from tests.lockservice.diagram import BY, PAGE, page


def test_the_page_is_the_tables() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.lockservice.diagram"


def test_every_transition_is_drawn_once_and_no_other() -> None:
    drawn = re.findall(r"^    (\S+) --> (\S+) : ", page(), re.MULTILINE)
    ours = [(b.value if b else "[*]", a.value) for b, targets in ALLOWED.items() for a in targets]
    assert sorted(drawn) == sorted(ours)
    assert len(BY) == len(ours)
