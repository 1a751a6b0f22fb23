from __future__ import annotations

import pytest

from browserhost.frame_forms import FrameForms


@pytest.fixture
def forms() -> FrameForms:
    sent = FrameForms()
    sent.submits("F", "http://bank/pay")
    sent.starts("F", "L1", "http://bank/pay")
    return sent


def test_a_form_is_answered_by_the_document_of_its_own_navigation(forms: FrameForms) -> None:
    assert forms.lands("F", "L1")


def test_another_document_does_not_answer_a_form(forms: FrameForms) -> None:
    assert not forms.lands("F", "L2")
    assert not forms.lands("F", "L3")
    assert forms.lands("F", "L1")


def test_a_document_of_another_frame_says_nothing_of_the_form(forms: FrameForms) -> None:
    assert forms.lands("G", "L9")
    assert not forms.lands("F", "L9")


def test_what_starts_elsewhere_is_not_the_forms_navigation() -> None:
    forms = FrameForms()
    forms.submits("F", "http://bank/pay")
    forms.starts("F", "L0", "http://bank/help")
    forms.starts("F", "L1", "http://bank/pay")
    forms.starts("F", "L2", "http://bank/pay")
    assert not forms.lands("F", "L0")
    assert not forms.lands("F", "L2")
    assert forms.lands("F", "L1")


def test_a_form_whose_navigation_nobody_named_is_answered_by_any_document() -> None:
    forms = FrameForms()
    forms.submits("F", "http://bank/pay")
    assert forms.lands("F", "L7")


def test_a_form_sent_again_waits_for_its_second_answer(forms: FrameForms) -> None:
    forms.submits("F", "http://bank/pay")
    forms.starts("F", "L2", "http://bank/pay")
    assert not forms.lands("F", "L1")
    assert forms.lands("F", "L2")
