"""What counts as a loss, and what as a loss that nobody reported."""

from __future__ import annotations

from tests.soak.ledger import Ledger


def known() -> Ledger:
    ledger = Ledger()
    ledger.acknowledged("a")
    return ledger


def test_a_login_that_is_there_is_counted() -> None:
    ledger = known()
    ledger.seen("a", signed_in=True)
    assert (ledger.counts["logins found"], ledger.violations) == (1, [])


def test_one_that_is_gone_without_a_word_is_a_violation() -> None:
    ledger = known()
    ledger.seen("a", signed_in=False)
    assert ledger.violations == ["a has lost its login, and nobody said so"]


def test_one_that_is_gone_after_a_report_is_a_loss() -> None:
    ledger = known()
    ledger.reported("a", "BROWSER_LOST")
    ledger.seen("a", signed_in=False)
    assert (ledger.counts["logins lost and reported"], ledger.violations) == (1, [])


def test_a_report_excuses_the_next_look_only() -> None:
    ledger = known()
    ledger.reported("a", "BROWSER_LOST")
    ledger.seen("a", signed_in=True)
    ledger.seen("a", signed_in=False)
    assert len(ledger.violations) == 1


def test_what_was_never_acknowledged_is_not_missed() -> None:
    ledger = Ledger()
    ledger.seen("a", signed_in=False)
    assert ledger.violations == []


def test_anothers_login_is_never_excused() -> None:
    ledger = known()
    ledger.reported("a", "BROWSER_LOST")
    ledger.seen("a", signed_in=False, others="b")
    assert ledger.violations == ["a is signed in as b"]
