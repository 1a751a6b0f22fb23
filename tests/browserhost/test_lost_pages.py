"""A record that lost pages says so for good: recovery must not take what is left for all there was."""

from __future__ import annotations

from browserhost.witness.ledger import MAX_LINES, NOTE, STEP, URL, Item, Ledger


def ledger_of(kind: str, count: int = MAX_LINES) -> Ledger:
    return Ledger.read(Item(n, kind, float(n), "https://x.example/").line() for n in range(1, count + 1))


def test_a_shortened_record_says_that_pages_were_among_what_went() -> None:
    once = Ledger.read(ledger_of(URL).shortened())
    assert once.dropped
    assert once.pages_lost
    # Also once it is shortened again, by which time no page may be left.
    assert Ledger.read(once.shortened()).pages_lost


def test_a_record_that_lost_no_page_does_not_say_so() -> None:
    assert not ledger_of(URL, 10).pages_lost
    assert not Ledger.read(ledger_of(URL, 10).shortened()).pages_lost
    assert not Ledger.read(ledger_of(NOTE).shortened()).pages_lost
    assert not Ledger.read(ledger_of(STEP).shortened()).pages_lost
