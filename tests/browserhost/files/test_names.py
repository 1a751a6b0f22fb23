"""Names that a session's files may have."""

from __future__ import annotations

import pytest

from browserhost.files import names
from tenure.errors import InvalidField


@pytest.mark.parametrize("name", ["invoice.pdf", "Überweisung (3).tar.gz", "漢字", "-rf", "a" * 200, "a..b"])
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        ".bashrc",
        "~x",
        "a\0b",
        "a\nb",
        "a\x7f",
        "a\x85",
        "x ",
        "é" * 101,
    ],
)
def test_what_leads_elsewhere_or_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidField) as caught:
        names.check(name)
    assert caught.value.field == "file"
