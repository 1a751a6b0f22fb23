"""A file comes whole, within its limits and under the fence, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from browserhost.files.folders import Folders
from browserhost.files.ledger import Limits
from browserhost.files.uploads import Uploaded, receive
from tenure.errors import DiskFull, InvalidField, QuotaExceeded, TokenSuperseded

LIMITS = Limits(upload=100, download=100, session=150)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    made = Folders(tmp_path, 41, None)
    yield made
    made.close()


async def parts(*each: bytes) -> AsyncIterator[bytes]:
    for part in each:
        yield part


async def put(
    folders: Folders,
    name: str,
    *each: bytes,
    limits: Limits = LIMITS,
    gate: Callable[[], None] = lambda: None,
) -> Uploaded:
    return await receive(folders, limits, name, parts(*each), gate)


def there(folders: Folders) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folders.uploads.path.iterdir()}


async def test_a_file_is_there_as_it_was_sent(folders: Folders) -> None:
    done = await put(folders, "a.txt", b"one", b"", b"two")
    assert there(folders) == {"a.txt": b"onetwo"}
    assert done.path == str(folders.uploads.path / "a.txt")
    assert (done.size, done.sha256) == (6, hashlib.sha256(b"onetwo").digest())


async def test_an_empty_file_is_a_file(folders: Folders) -> None:
    assert (await put(folders, "a")).size == 0
    assert there(folders) == {"a": b""}


async def test_the_next_of_that_name_takes_its_place(folders: Folders) -> None:
    await put(folders, "a", b"one")
    await put(folders, "a", b"two")
    assert there(folders) == {"a": b"two"}


@pytest.mark.parametrize("name", ["../a", "a/b", "a\0b", "..", ""])
async def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(
    folders: Folders, name: str
) -> None:
    with pytest.raises(InvalidField):
        await put(folders, name, b"x")
    assert there(folders) == {}


async def test_a_link_of_that_name_is_replaced_and_not_written_through(
    folders: Folders, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folders.uploads.path / "a").symlink_to(secret)
    await put(folders, "a", b"new")
    assert not (folders.uploads.path / "a").is_symlink()
    assert secret.read_text() == "secret"


@pytest.mark.parametrize(
    ("before", "size", "limit"), [(0, 101, "upload_limit"), (90, 61, "session_files_limit")]
)
async def test_past_its_limit_nothing_of_it_is_left(
    folders: Folders, before: int, size: int, limit: str
) -> None:
    (folders.downloads.path / "before").write_bytes(b"x" * before)
    await put(folders, "a", b"kept")
    with pytest.raises(QuotaExceeded) as caught:
        await put(folders, "a", b"x" * (size // 2), b"x" * (size - size // 2))
    assert caught.value.limit == limit
    assert there(folders) == {"a": b"kept"}


async def test_two_at_a_time_are_not_taken_past_the_sessions_limit(folders: Folders) -> None:
    turns = [asyncio.Event(), asyncio.Event()]

    async def by_turns(number: int) -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 20
            turns[1 - number].set()
            await turns[number].wait()
            turns[number].clear()
        turns[1 - number].set()

    async def upload(number: int) -> Uploaded:
        try:
            return await receive(folders, LIMITS, f"{number}", by_turns(number), lambda: None)
        finally:
            for each in turns:
                each.set()

    ends = await asyncio.gather(upload(0), upload(1), return_exceptions=True)
    assert any(isinstance(each, QuotaExceeded) for each in ends)
    assert folders.used() <= LIMITS.session


async def test_a_full_disk_is_told(folders: Folders) -> None:
    with pytest.raises(DiskFull):
        await put(folders, "a", b"x", limits=Limits(least_free=1 << 60))
    assert there(folders) == {}


async def test_a_token_that_ends_in_the_middle_leaves_nothing(folders: Folders) -> None:
    asked = 0

    def gate() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise TokenSuperseded(profile="p", token=41)

    with pytest.raises(TokenSuperseded):
        await put(folders, "a", b"one", b"two", gate=gate)
    assert there(folders) == {}


async def test_the_end_of_the_token_at_the_last_moment_gives_it_no_name(folders: Folders) -> None:
    asked = 0

    def gate() -> None:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise TokenSuperseded(profile="p", token=41)

    with pytest.raises(TokenSuperseded):
        await put(folders, "a", b"one", b"two", gate=gate)
    assert there(folders) == {}
