"""What the system needs is not there: no Chrome, no room on the disk, no profile directory."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

import tenure
from tenure.demo.site import COOKIE, DemoSite
from tenure.errors import BrowserMissing, DiskFull, ProfileInReview, ProfileMissing, ProfileQuarantined
from tenure.v1.hold_pb2 import ProfileState
from tests.fixtures.census import profile_dir, until
from tests.fixtures.faults import logins_on_disk, still_signed_in, system_in, warm

pytestmark = pytest.mark.timeout(120)

PROFILE, FRESH = "alice:shop", "new:shop"
AVAILABLE = ProfileState.PROFILE_STATE_AVAILABLE
UNDECIDED = (
    ProfileState.PROFILE_STATE_SUSPECTED_STALE,
    ProfileState.PROFILE_STATE_QUARANTINED,
    ProfileState.PROFILE_STATE_INSPECTED,
    ProfileState.PROFILE_STATE_MANUAL_REVIEW,
)


@pytest.fixture
async def site() -> AsyncIterator[DemoSite]:
    async with DemoSite() as opened:
        yield opened


async def states(client: tenure.Client) -> dict[str, tuple[ProfileState.ValueType, bool]]:
    return {each.as_sent: (each.state, each.used) for each in await client.profiles()}


async def test_without_chrome_an_open_says_what_to_do_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENURE_CHROME", "/nowhere/chromium")
    async with system_in(tmp_path / "tenure") as system, tenure.connect(system.gateway) as client:
        for _ in range(2):
            with pytest.raises(BrowserMissing, match=r"/nowhere/chromium is missing\. Run `tenure doctor`"):
                async with client.open(PROFILE):
                    raise AssertionError("there is no browser")
            assert await states(client) == {PROFILE: (AVAILABLE, False)}
        assert contents(profile_dir(system, PROFILE)) == {}


async def test_a_machine_without_chrome_is_told_so_before_anything_starts(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("etcd", "Xvfb", "setpriv", "apt-get"):
        found = shutil.which(name)
        assert found, name
        (programs / name).symlink_to(found)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from tenure.cli import main; main()", "up", "--json"),
        *("--listen", "127.0.0.1:0", "--data-root", str(tmp_path / "tenure")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": str(programs)},
    )
    out, _ = await process.communicate()
    said = json.loads(out.splitlines()[-1])["error"]
    assert (process.returncode, said["reason"]) == (1, "CANNOT_START")
    assert "This machine lacks chromium (is the browser)" in said["message"]
    assert "apt-get install --no-install-recommends chromium" in said["message"]
    assert not (tmp_path / "tenure" / "etcd").exists()


async def test_on_a_full_disk_nothing_is_started_and_nothing_is_changed(
    tmp_path: Path, site: DemoSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "tenure"
    async with system_in(root) as system:
        await warm(system, site, PROFILE)
    directory = profile_dir(system, PROFILE)
    kept = contents(directory)

    # No disk has so much room: the host takes its own for full.
    monkeypatch.setenv("TENURE_LEAST_FREE", str(1 << 60))
    async with system_in(root) as system, tenure.connect(system.gateway) as client:
        before = await states(client)
        for profile in (PROFILE, FRESH, PROFILE):
            with pytest.raises(DiskFull, match="Free space there and try again") as refused:
                async with client.open(profile):
                    raise AssertionError("the disk is full")
            assert str(root) in str(refused.value)
            assert refused.value.free_bytes > 0
        assert await states(client) == {**before, FRESH: (AVAILABLE, False)}
    assert contents(directory) == kept

    monkeypatch.delenv("TENURE_LEAST_FREE")
    async with system_in(root) as system, tenure.connect(system.gateway) as client:
        await still_signed_in(system, site, PROFILE)
        async with client.open(FRESH) as session:
            assert not session.reused_session


def contents(directory: Path) -> dict[str, tuple[int, int]]:
    """Size and time of last change of every file."""
    files = (each for each in directory.rglob("*") if each.is_file())
    return {str(each): (each.stat().st_size, each.stat().st_mtime_ns) for each in files}


@pytest.mark.parametrize("what", ["its directory", "all that the host had"])
async def test_a_used_profile_whose_directory_is_gone_never_gets_a_fresh_one(
    tmp_path: Path, site: DemoSite, what: str
) -> None:
    root = tmp_path / "tenure"
    async with system_in(root) as system:
        await warm(system, site, PROFILE)
    directory = profile_dir(system, PROFILE)
    # Without the host's own notes the lock service still knows that the profile was used.
    moved = directory if what == "its directory" else root / "tenants"
    aside = tmp_path / "aside"
    moved.rename(aside)

    async with system_in(root) as system, tenure.connect(system.gateway) as client:
        await refused_as_missing(client)
        await refused_as_undecided(client)
        # Recovery has no more to ask of the host: nobody writes there while it is put back.
        await until(partial(in_review, client), "the incident is a person's to decide")
        assert not directory.exists()
        if moved.exists():
            shutil.rmtree(moved)  # the notes that the refusal made
        aside.rename(moved)
        # A decision must free it first.
        await refused_as_undecided(client)
    assert logins_on_disk(directory) == [("127.0.0.1", COOKIE)]


async def refused_as_undecided(client: tenure.Client) -> None:
    """Recovery is at work meanwhile: how far it is, is its own affair."""
    with pytest.raises((ProfileQuarantined, ProfileInReview)):
        async with client.open(PROFILE):
            raise AssertionError("nobody has decided on it yet")


async def refused_as_missing(client: tenure.Client) -> None:
    with pytest.raises(ProfileMissing, match="a fresh one is never made in its place") as refused:
        async with client.open(PROFILE):
            raise AssertionError("its directory is gone")
    assert refused.value.host.startswith("hosts/")
    (profile,) = await client.profiles()
    assert profile.state in UNDECIDED
    assert profile.used
    assert profile.incident


async def in_review(client: tenure.Client) -> bool:
    (profile,) = await client.profiles()
    assert profile.state in UNDECIDED
    return profile.state == ProfileState.PROFILE_STATE_MANUAL_REVIEW
