"""What is known of downloads from what the browser tells."""

from __future__ import annotations

import pytest

from browserhost.files.ledger import Ledger, Limits, is_too_large
from tenure.v1.session_pb2 import DownloadEnd

LIMITS = Limits(upload=10, download=100, session=1000, least_free=50)


def ledger(*guids: str) -> Ledger:
    made = Ledger("/d/41")
    for number, guid in enumerate(guids):
        made.begins(float(number), guid, f"http://a.test/{guid}", f"{guid}.txt")
    return made


def end_of(name: str) -> DownloadEnd.ValueType:
    return DownloadEnd.Value(f"DOWNLOAD_END_{name}")


def test_a_download_is_whole_when_the_browser_has_put_it_into_the_folder() -> None:
    known = ledger("a", "b")
    known.goes_on("a", "inProgress", 7, "")
    assert [(each.file, each.size, each.complete) for each in known] == [("a", 7, False), ("b", 0, False)]
    known.goes_on("a", "completed", 9, "/d/41/a")
    whole = known.get("a")
    assert whole is not None
    assert (whole.size, whole.complete, whole.goes_on) == (9, True, False)


@pytest.mark.parametrize("path", ["/d/40/a", "/root/Downloads/a", "/d/41/../40/a", "", "a"])
def test_one_that_went_elsewhere_is_none_of_the_session(path: str) -> None:
    known = ledger("a")
    known.goes_on("a", "completed", 9, path)
    [entry] = known
    assert not entry.complete
    assert entry.end == end_of("FAILED")


@pytest.mark.parametrize(
    ("state", "end"),
    [("canceled", "CANCELLED"), ("interrupted", "FAILED")],
)
def test_one_that_ended_before_it_was_whole_says_how(state: str, end: str) -> None:
    known = ledger("a")
    known.goes_on("a", "inProgress", 7, "")
    known.goes_on("a", state, 0, "")
    [entry] = known
    assert entry.size == 7
    assert entry.end == end_of(end)
    assert known.goes_on("a", "completed", 9, "/d/41/a") is None


def test_one_that_began_in_an_earlier_session_is_not_in_it() -> None:
    known = ledger("a")
    assert known.goes_on("z", "completed", 9, "/d/41/z") is None
    assert [each.file for each in known] == ["a"]


def test_a_file_that_another_replaced_is_no_download_any_more() -> None:
    known = ledger("a", "b")
    known.goes_on("a", "completed", 5, "/d/41/report.pdf")
    known.goes_on("b", "completed", 6, "/d/41/report.pdf")
    assert [(each.file, each.path) for each in known] == [("b", "report.pdf")]


def test_what_a_host_before_this_one_saw_is_found_by_its_file() -> None:
    known = ledger()
    known.found({"a": (5, 1.0), "b.crdownload": (5, 1.0), "c": (0, 1.0), "c.crdownload": (5, 1.0)})
    assert [(each.file, each.complete, each.size) for each in known] == [("a", True, 5)]


def test_a_file_of_a_download_that_it_knows_is_found_no_second_time() -> None:
    known = ledger("a", "b")
    known.goes_on("a", "completed", 5, "/d/41/report.pdf")
    known.found({"report.pdf": (5, 1.0), "b": (9, 1.0)})
    assert [(each.file, each.path) for each in known] == [("a", "report.pdf"), ("b", "")]


def test_a_download_ends_at_its_limit_the_sessions_and_the_disks() -> None:
    known = ledger("a")
    entry = known.goes_on("a", "inProgress", 100, "")
    assert entry is not None
    assert not is_too_large(entry, LIMITS, 1000, 50)
    assert is_too_large(entry, LIMITS, 1001, 50)
    assert is_too_large(entry, LIMITS, 1000, 49)
    entry.size = 101
    assert is_too_large(entry, LIMITS, 0, 1 << 40)
    known.too_large("a")
    assert known.goes_on("a", "canceled", 0, "") is None
    assert entry.end == end_of("TOO_LARGE")
