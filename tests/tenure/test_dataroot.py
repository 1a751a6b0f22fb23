from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tenure.dataroot import DataRoot, Taken, default, read_state


def silent(line: str) -> None:
    raise AssertionError(line)


async def test_a_data_root_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    root = await DataRoot.take(tmp_path / "a" / "b", silent)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert root.log("gateway") == tmp_path / "a" / "b" / "logs" / "gateway.log"
    root.give_back()


async def test_a_second_system_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    first = await DataRoot.take(tmp_path, silent)
    first.write_state({})
    with pytest.raises(Taken, match=rf"pid {os.getpid()}; .*run\.json.* --data-root"):
        await DataRoot.take(tmp_path, silent)
    first.give_back()
    (await DataRoot.take(tmp_path, silent)).give_back()


async def test_a_new_system_waits_until_the_parts_of_a_killed_one_are_gone(tmp_path: Path) -> None:
    killed = await asyncio.create_subprocess_exec("true")
    await killed.wait()
    (tmp_path / "run.json").write_text(json.dumps({"pid": killed.pid}))
    part = await asyncio.create_subprocess_exec(
        "flock", tmp_path / "lock", "sh", "-c", "echo locked; read x", stdin=PIPE, stdout=PIPE
    )
    stdin, stdout = part.stdin, part.stdout
    assert stdin
    assert stdout
    assert await stdout.readline() == b"locked\n"
    said: list[str] = []

    def end_it(line: str) -> None:
        said.append(line)
        stdin.close()

    (await DataRoot.take(tmp_path, end_it)).give_back()
    await part.wait()
    assert said == [f"waiting for the parts of a killed system on {tmp_path} to end"]


async def test_the_state_is_there_while_the_system_is(tmp_path: Path) -> None:
    root = await DataRoot.take(tmp_path, silent)
    assert read_state(tmp_path) == {}
    root.write_state({"etcd": {"pid": 1}})
    assert read_state(tmp_path)["parts"] == {"etcd": {"pid": 1}}
    root.give_back()
    assert read_state(tmp_path) == {}


def test_the_default_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/srv/state")
    assert default() == Path("/srv/state/tenure")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert default() == Path("/home/ann/.local/state/tenure")
