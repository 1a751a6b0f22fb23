import pytest

from servicekit.deadlines import DEFAULT_S, REQUIRED, Deadlines
from tenure.errors import DeadlineRequired


def test_a_method_without_a_rule_has_the_documented_default() -> None:
    assert Deadlines().seconds("/a.B/C", None) == DEFAULT_S == 30


def test_a_rule_is_a_number_or_reads_the_request() -> None:
    deadlines = Deadlines(methods={"/a.B/C": 120.0, "/a.B/D": lambda request: request + 10})
    assert deadlines.seconds("/a.B/C", 5) == 120
    assert deadlines.seconds("/a.B/D", 5) == 15


def test_where_a_deadline_is_required_none_is_made_up() -> None:
    with pytest.raises(DeadlineRequired, match=r"/a\.B/C"):
        REQUIRED.seconds("/a.B/C", None)
