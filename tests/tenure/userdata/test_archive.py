"""A directory sent and received; and archives that nobody of ours made."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from tenure.userdata import archive
from tenure.userdata.archive import Changed, NotAProfile
from tenure.userdata.contents import CHUNK, contents, digest


@pytest.fixture
def into(tmp_path: Path) -> Path:
    made = tmp_path / "staging" / "profile"
    made.mkdir(parents=True)
    return made


def profile(tmp_path: Path) -> Path:
    made = tmp_path / "profile"
    deep = made / "Default" / "/".join(["IndexedDB" * 12] * 3)
    deep.mkdir(parents=True)
    (deep / "blob").write_bytes(os.urandom(3 * CHUNK + 17))
    (made / "Default/Cookies").write_bytes(os.urandom(512))
    (made / "Default/vidé\udcff").write_bytes(b"")
    (made / "run").write_bytes(b"x")
    (made / "run").chmod(0o755)
    (made / "read only").write_bytes(b"y")
    (made / "read only").chmod(0o400)
    return made


def test_what_is_received_is_what_was_sent(tmp_path: Path, into: Path) -> None:
    sent = profile(tmp_path)
    parts = list(archive.pack(sent))
    assert max(len(part) for part in parts) == CHUNK
    archive.unpack(io.BytesIO(b"".join(parts)), into)
    assert digest(into) == digest(sent)
    assert (into / "run").stat().st_mode & 0o777 == 0o755
    assert int((into / "run").stat().st_mtime) == int((sent / "run").stat().st_mtime)


@pytest.mark.parametrize("length", [1, 9])
def test_a_file_that_changes_while_it_is_read_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    sent = tmp_path / "profile"
    sent.mkdir()
    (sent / "log").write_bytes(b"12345")

    def seen(directory: Path) -> object:
        for found in contents(directory):
            (sent / "log").write_bytes(b"x" * length)
            yield found

    monkeypatch.setattr(archive, "contents", seen)
    with pytest.raises(Changed):
        list(archive.pack(sent))


# --- what is refused ----------------------------------------------------------------------------


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object) -> bytes:
    """One member, as anybody can write it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)


def raw(name: bytes, kind: bytes = b"0") -> bytes:
    """A header by hand, for names that tarfile would not write."""
    header = bytearray(512)
    header[: len(name)] = name
    header[100:108], header[108:116], header[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    header[124:136], header[136:148], header[148:156] = b"00000000000\0", b"00000000000\0", b" " * 8
    header[156:157], header[257:265] = kind, b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
ATTACKS = {
    "up": member("../out", content=b"x"),
    "up from within": member("a", tarfile.DIRTYPE) + member("a/../../out", content=b"x"),
    "absolute": raw(b"/tmp/out"),
    "double slash": raw(b"a//out"),
    "the folder itself": raw(b".", b"5"),
    "no name": raw(b""),
    "a link": member("out", LINK, linkname="/etc/passwd"),
    "a file through a link": member("a", LINK, linkname="..") + member("a/out", content=b"x"),
    "a hard link": member("out", HARD, linkname="/etc/passwd"),
    "a hard link to a member": member("a", content=b"x") + member("out", HARD, linkname="a"),
    "a pipe": member("out", tarfile.FIFOTYPE),
    "a device": member("out", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "a block device": member("out", tarfile.BLKTYPE, devmajor=8),
    "a name of a long path": member("a/" * 80 + "../" * 90 + "out", content=b"x"),
    "a path by extension": member("a", content=b"x", pax_headers={"path": "../out"}),
    "sparse": member("out", content=b"", pax_headers={"GNU.sparse.size": "9", "GNU.sparse.map": "0,0"}),
    "a file twice": member("a", content=b"1") + member("a", content=b"2"),
    "a folder over a file": member("a", content=b"1") + member("a", tarfile.DIRTYPE),
    "a file under a file": member("a", content=b"1") + member("a/b", content=b"2"),
    "no folder": member("a/b", content=b"2"),
    "garbage": b"not an archive" * 100,
    "cut short": member("a", content=b"1" * 2048)[:1024],
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nothing_gets_out_and_no_link_gets_in(tmp_path: Path, into: Path, attack: bytes) -> None:
    outside = sorted(path for path in tmp_path.rglob("*") if into not in path.parents)
    with pytest.raises(NotAProfile):
        archive.unpack(io.BytesIO(attack + bytes(1024)), into)
    assert sorted(path for path in tmp_path.rglob("*") if into not in path.parents) == outside
    assert not [path for path in into.rglob("*") if path.is_symlink() or path.stat().st_nlink > 2]


def test_no_bit_gives_more_than_its_owner_had(into: Path) -> None:
    archive.unpack(io.BytesIO(member("suid", content=b"x", mode=0o6755) + bytes(1024)), into)
    assert (into / "suid").stat().st_mode & 0o7777 == 0o755


def test_mutant_an_archive_that_is_simply_extracted_writes_outside(tmp_path: Path, into: Path) -> None:
    """What the checks are for: tarfile itself takes such a name."""
    with tarfile.open(fileobj=io.BytesIO(ATTACKS["up"] + bytes(1024))) as tar:
        tar.extractall(into, filter="fully_trusted")
    assert (into.parent / "out").read_bytes() == b"x"
