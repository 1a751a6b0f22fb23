import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenure import token
from tenure.errors import InvalidField

parts = st.tuples(st.integers(0, token.MAX_EPOCH), st.integers(1, token.MAX_REVISION))


@given(parts)
def test_a_token_unpacks_to_what_was_packed(part: tuple[int, int]) -> None:
    assert token.unpack(token.pack(*part)) == part


@given(parts, parts)
def test_tokens_order_by_epoch_then_revision(a: tuple[int, int], b: tuple[int, int]) -> None:
    assert (token.pack(*a) < token.pack(*b)) == (a < b)


@given(parts)
def test_a_javascript_number_holds_a_token_exactly(part: tuple[int, int]) -> None:
    packed = token.pack(*part)
    assert packed < 1 << 53
    assert int(float(packed)) == packed


def test_a_restore_with_a_raised_epoch_gives_higher_tokens_than_any_before() -> None:
    assert token.pack(1, 1) > token.pack(0, token.MAX_REVISION)


@pytest.mark.parametrize("bad", [(-1, 1), (token.MAX_EPOCH + 1, 1), (0, 0), (0, 1 << 43)])
def test_parts_that_do_not_fit_are_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="outside"):
        token.pack(*bad)


@pytest.mark.parametrize("bad", [0, -1, 1 << 53, 1 << 43])
def test_numbers_no_grant_can_have_made_are_refused(bad: int) -> None:
    with pytest.raises(ValueError, match="fencing token"):
        token.unpack(bad)
    with pytest.raises(InvalidField, match="fencing_token"):
        token.check(bad)


def test_check_gives_a_good_token_back() -> None:
    assert token.check(41) == 41
