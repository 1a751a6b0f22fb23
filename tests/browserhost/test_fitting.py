"""When a warm browser is handed on, and when a fresh one takes its place."""

from __future__ import annotations

import time
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from browserhost import chrome
from browserhost.fitting import Born
from browserhost.recycling import Lifetime
from tests.browserhost.fakes import ALICE, Machine


async def again(machine: Machine, **changes: Any) -> bool:
    """Whether the warm browser of a released hold is handed to the next."""
    await machine.open(41)
    await machine.profile().close_hold(41)
    for name, value in changes.items():
        object.__setattr__(machine.host._workshop, name, value)
    opened = await machine.open(50)
    assert machine.chrome.launched[0].closed is not opened.reused
    return opened.reused


async def test_a_young_small_one_is(machine: Machine) -> None:
    machine.host.cache.sizes = {str(ALICE): 1000}
    assert await again(machine, lifetime=Lifetime(age_s=3600, bytes=1000))


async def test_an_old_one_is_not_and_ends_cleanly(machine: Machine) -> None:
    await machine.open(41)
    machine.profile().slot._born = Born(time.monotonic() - 3601)
    assert not await again(machine, lifetime=Lifetime(age_s=3600))


async def test_a_large_one_is_not(machine: Machine) -> None:
    machine.host.cache.sizes = {str(ALICE): 1001}
    assert not await again(machine, lifetime=Lifetime(bytes=1000))


async def test_one_of_a_program_that_was_replaced_is_not(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = chain(["1.1.1"], repeat("1.2.2"))
    monkeypatch.setattr(chrome, "stamp", lambda _: next(stamps))
    assert not await again(machine)


def test_a_program_is_known_by_its_file(tmp_path: Path) -> None:
    program = tmp_path / "chrome"
    program.touch(mode=0o755)
    first = chrome.stamp(str(program))
    assert first
    assert chrome.stamp(str(program)) == first
    newer = tmp_path / "newer"
    newer.touch(mode=0o755)
    newer.rename(program)
    assert chrome.stamp(str(program)) != first
    assert chrome.stamp(str(tmp_path / "none")) == ""
