"""Checks LevelDB directories: CURRENT → MANIFEST → every live table there, whole and with its footer.

Formats: https://github.com/google/leveldb/blob/main/doc/log_format.md, table_format.md and
db/version_edit.cc. A torn record at a log's very end is legal: the write never finished. Blocks
inside tables are not read; that is a deep check's work.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from browserhost.inspect import plain

_BLOCK = 32768
_HEADER = 7
_TABLE_MAGIC = 0xDB4775248B80FB57
# Tags of a VersionEdit and how each one's fields are written: v(arint) or s(tring with its length).
_COMPARATOR, _LOG_NUMBER, _DELETED, _NEW = 1, 2, 6, 7
_FIELDS = {1: "s", 2: "v", 3: "v", 4: "v", 5: "vs", 6: "vv", 7: "vvvss", 9: "v"}
# Pure Python reads some 5 MB/s of checksums, so of a log longer than this only the frames are checked.
_CHECKSUM_LIMIT = 1 << 20


class Damaged(Exception):
    """The bytes do not follow the format."""


@dataclass(slots=True)
class Version:
    """What a manifest adds up to: the live tables with their sizes in bytes, the oldest log still needed."""

    tables: dict[int, int] = field(default_factory=dict)
    log_number: int = 0


def is_database(names: set[str]) -> bool:
    """Whether a directory with these file names is, or was, a LevelDB."""
    return "CURRENT" in names or any(
        name.startswith("MANIFEST-") or name.endswith(".ldb") or _is_log(name) for name in names
    )


def check(directory: Path) -> str:
    """What is wrong with the database in a directory; empty when nothing is."""
    try:
        version = _version(directory)
        for number, size in version.tables.items():
            _check_table(directory, number, size)
        for log in sorted(directory.glob("*.log")):
            if _is_log(log.name) and int(log.stem) >= version.log_number:
                _check_log(log)
    except (Damaged, plain.NotPlain) as error:
        return str(error)
    except OSError as error:
        # A disk that breaks, or somebody at work in there: it is not what it has to be in either case.
        return f"it cannot be read: {error.strerror or error}"
    return ""


def _version(directory: Path) -> Version:
    try:
        current = plain.read(directory / "CURRENT")
    except FileNotFoundError:
        raise Damaged("CURRENT is missing") from None
    name = current.decode("ascii", "replace").removesuffix("\n")
    if not name.startswith("MANIFEST-") or not name.removeprefix("MANIFEST-").isdigit():
        raise Damaged("CURRENT names no manifest")
    try:
        content = plain.read(directory / name)
    except FileNotFoundError:
        raise Damaged(f"{name} is missing") from None
    version, seen = Version(), False
    for record in records(content, name):
        seen = True
        _apply(version, record, name)
    if not seen:
        raise Damaged(f"{name} is empty")
    return version


def records(content: bytes, name: str, checksums: bool = True) -> Iterator[bytes]:
    """The records of a log file. Raises Damaged, naming the file, for anything but a torn end."""
    position, parts = 0, bytearray()
    while position + _HEADER <= len(content):
        room = _BLOCK - position % _BLOCK
        if room < _HEADER:
            position += room
            continue
        crc, length, kind = struct.unpack_from("<IHB", content, position)
        start, end = position + _HEADER, position + _HEADER + length
        if crc == length == kind == 0:
            # Space given to the file ahead of its records.
            position += room
            continue
        if end > len(content):
            return
        if length > room - _HEADER or not 1 <= kind <= 4:
            raise Damaged(f"{name} has a broken record at byte {position}")
        if checksums and _unmask(crc) != crc32c(content[position + 6 : end]):
            raise Damaged(f"{name} has a wrong checksum at byte {position}")
        parts += content[start:end]
        if kind in (1, 4):
            yield bytes(parts)
            parts.clear()
        position = end


def _apply(version: Version, record: bytes, name: str) -> None:
    position = 0
    while position < len(record):
        tag, position = _varint(record, position, name)
        if tag not in _FIELDS:
            raise Damaged(f"{name} has an edit of unknown kind {tag}")
        values: list[int] = []
        for kind in _FIELDS[tag]:
            value, position = _varint(record, position, name)
            values.append(value)
            if kind == "s":
                position += value
        if tag == _LOG_NUMBER:
            version.log_number = values[0]
        elif tag == _DELETED:
            version.tables.pop(values[1], None)
        elif tag == _NEW:
            version.tables[values[1]] = values[2]


def _varint(data: bytes, position: int, name: str) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise Damaged(f"{name} has an edit that breaks off")


def _check_table(directory: Path, number: int, size: int) -> None:
    path = next((p for end in ("ldb", "sst") if (p := directory / f"{number:06d}.{end}").exists()), None)
    if path is None:
        raise Damaged(f"table {number:06d}.ldb is missing")
    with plain.opened(path) as file:
        found = file.seek(0, 2)
        if found != size:
            raise Damaged(f"{path.name} has {found} bytes, not {size}")
        file.seek(max(0, found - 8))
        if int.from_bytes(file.read(8), "little") != _TABLE_MAGIC:
            raise Damaged(f"{path.name} has no footer")


def _check_log(path: Path) -> None:
    content = plain.read(path)
    for _ in records(content, path.name, checksums=len(content) <= _CHECKSUM_LIMIT):
        pass


def _is_log(name: str) -> bool:
    return name.endswith(".log") and name[:-4].isdigit()


def _unmask(crc: int) -> int:
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), as LevelDB uses it."""
    crc, table = 0xFFFFFFFF, _CRC
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
