"""LevelDB directories, made by hand after the format's description."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserhost.inspect import leveldb, plain
from browserhost.inspect.leveldb import Damaged, check, crc32c, is_database, records

TABLE = b"x" * 100 + struct.pack("<Q", 0xDB4775248B80FB57)


def framed(*payloads: bytes) -> bytes:
    """Records as LevelDB's log writer lays them out, cut at 32 KiB blocks."""
    out = bytearray()
    for payload in payloads:
        first = True
        while True:
            room = 32768 - len(out) % 32768
            if room < 7:
                out += bytes(room)
                continue
            part, payload = payload[: room - 7], payload[room - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[
                first, not payload
            ]
            crc = crc32c(bytes([kind]) + part)
            masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
            out += struct.pack("<IHB", masked, len(part), kind) + part
            first = False
            if not payload:
                break
    return bytes(out)


def new_table(number: int, size: int) -> bytes:
    return bytes([7, 0, number, size, 1]) + b"a" + bytes([1]) + b"z"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    edits = framed(
        bytes([1, 3]) + b"cmp" + bytes([2, 4, 3, 9, 4, 0]),
        new_table(5, len(TABLE)) + new_table(6, len(TABLE)),
        bytes([6, 0, 6]),
    )
    (tmp_path / "MANIFEST-000003").write_bytes(edits)
    (tmp_path / "CURRENT").write_text("MANIFEST-000003\n")
    (tmp_path / "000005.ldb").write_bytes(TABLE)
    (tmp_path / "000007.log").write_bytes(framed(b"write"))
    return tmp_path


def test_the_checksum_is_castagnolis() -> None:
    """The check value of https://reveng.sourceforge.io/crc-catalogue/17plus.htm#crc.cat.crc-32-iscsi."""
    assert crc32c(b"123456789") == 0xE3069283


def test_a_whole_database_has_no_problem(database: Path) -> None:
    assert check(database) == ""


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("CURRENT", None, "CURRENT is missing"),
        ("CURRENT", b"nonsense", "CURRENT names no manifest"),
        ("MANIFEST-000003", None, "MANIFEST-000003 is missing"),
        ("MANIFEST-000003", b"", "MANIFEST-000003 is empty"),
        ("000005.ldb", None, "table 000005.ldb is missing"),
        ("000005.ldb", TABLE[:-1], "107 bytes, not 108"),
        ("000005.ldb", bytes(len(TABLE)), "has no footer"),
    ],
)
def test_what_is_missing_or_cut_is_named(
    database: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is None:
        (database / name).unlink()
    else:
        (database / name).write_bytes(content)
    assert problem in check(database)


@pytest.mark.parametrize("size", [0, 7, 8])
def test_a_table_that_is_shorter_than_its_footer_is_damage(database: Path, size: int) -> None:
    (database / "MANIFEST-000003").write_bytes(framed(new_table(5, size)))
    (database / "000005.ldb").write_bytes(bytes(size))
    assert check(database) == "000005.ldb has no footer"


@pytest.mark.parametrize("name", ["MANIFEST-000003", "000005.ldb", "000007.log"])
def test_what_the_disk_does_not_give_back_is_damage(
    database: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    opened = plain.opened

    def breaks(path: Path) -> BinaryIO:
        if path.name == name:
            raise OSError(5, "Input/output error")
        return opened(path)

    monkeypatch.setattr(plain, "opened", breaks)
    assert check(database) == "it cannot be read: Input/output error"


@pytest.mark.parametrize("name", ["MANIFEST-000003", "000007.log"])
def test_a_flipped_bit_in_a_record_is_found(database: Path, name: str) -> None:
    content = bytearray((database / name).read_bytes())
    content[9] ^= 1
    (database / name).write_bytes(content)
    assert "wrong checksum" in check(database)


def test_a_torn_last_record_is_a_write_that_never_finished(database: Path) -> None:
    with (database / "000007.log").open("ab") as log:
        log.write(framed(b"y" * 100)[:-1])
    assert check(database) == ""


def test_a_log_that_is_no_longer_needed_is_not_read(database: Path) -> None:
    (database / "000002.log").write_bytes(b"\xff" * 100)
    assert check(database) == ""


def test_a_table_may_have_its_older_name(database: Path) -> None:
    (database / "000005.ldb").rename(database / "000005.sst")
    assert check(database) == ""


def test_an_edit_of_an_unknown_kind_is_damage(database: Path) -> None:
    (database / "MANIFEST-000003").write_bytes(framed(bytes([5 + 30, 1])))
    assert "unknown kind" in check(database)


@given(st.lists(st.binary(max_size=70_000), max_size=4))
def test_records_of_any_length_come_back_as_written(payloads: list[bytes]) -> None:
    assert list(records(framed(*payloads), "x")) == payloads


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_read_or_refused(content: bytes) -> None:
    try:
        for record in records(content, "x"):
            leveldb._apply(leveldb.Version(), record, "x")
    except Damaged:
        pass


@pytest.mark.parametrize(
    ("names", "answer"),
    [({"CURRENT"}, True), ({"000003.log", "LOCK"}, True), ({"LOG", "LOCK", "Cookies"}, False)],
)
def test_a_database_is_known_by_its_files(names: set[str], answer: bool) -> None:
    assert is_database(names) is answer
