"""What is stored beside a snapshot."""

from __future__ import annotations

import json

import pytest

from browserhost.snapshot import manifest
from browserhost.snapshot.manifest import ASKED, Manifest, Unreadable
from tenure.names import ProfileName

ONE = Manifest(
    id=manifest.new_id(41, 0),
    generation=41,
    created_at=1000.5,
    verified_at=1001.0,
    digest="d",
    size=3,
    stored=2,
    cause=ASKED,
    cookies=153,
    chrome="156.0.1.2",
    findings=("a", "b"),
)


def test_what_is_read_is_what_was_written() -> None:
    assert manifest.decode(manifest.encode(ONE)) == ONE


def test_what_a_later_version_adds_is_passed_over() -> None:
    stored = json.loads(manifest.encode(ONE)) | {"colour": "blue"}
    assert manifest.decode(json.dumps(stored).encode()) == ONE


def changed(**values: object) -> bytes:
    return json.dumps(json.loads(manifest.encode(ONE)) | values).encode()


BROKEN = {
    "nothing": b"",
    "half": manifest.encode(ONE)[:40],
    "a list": b"[]",
    "a field less": b'{"id": "0000000000000041-0"}',
    "another name": changed(id="../../passwd"),
    "no number": changed(size="big"),
    "endless": changed(created_at=float("inf")),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_was_not_written_here_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable):
        manifest.decode(content)


def test_the_api_tells_all_of_it() -> None:
    told = ONE.message(ProfileName("default", "alice"), "hosts/a")
    assert told.name == "tenants/default/profiles/alice/snapshots/0000000000000041-0"
    assert (told.generation, told.cookies, told.size_bytes, told.stored_bytes) == (41, 153, 3, 2)
    assert told.create_time.ToMilliseconds() == 1000500
    assert list(told.findings) == ["a", "b"]
    assert told.host == "hosts/a"


@pytest.mark.parametrize("text", ["", "41-0", "../x", "0000000000000041-0/..", "0000000000000041-0\n"])
def test_what_is_no_id_is_no_files_name(text: str) -> None:
    assert not manifest.is_id(text)
