"""Ports that tests give to servers."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from tests.fixtures import ports
from tests.fixtures.ports import free_port, lasting

MANY = 40
TAKER = f"""
import sys
from tests.fixtures import ports
ports.randbelow = lambda _: 0
print(*(ports.free_port() for _ in range({MANY})), flush=True)
sys.stdin.read()
"""


async def test_processes_that_choose_from_the_same_place_at_once_are_given_different_ports() -> None:
    takers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", TAKER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    given: list[bytes] = []
    for taker in takers:
        assert taker.stdout is not None
        given += (await taker.stdout.readline()).split()
    await asyncio.gather(*(taker.communicate(b"") for taker in takers))
    assert len(given) == len(set(given)) == 3 * MANY


def test_a_port_is_another_one_each_time_though_nobody_listens_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "randbelow", lambda _: 0)
    assert len({free_port() for _ in range(MANY)}) == MANY


def test_a_port_that_somebody_listens_on_is_given_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "lasting", lambda _: [port])
        assert free_port() != port


def test_the_kernel_gives_none_of_them_to_a_connection() -> None:
    # Some machines let the kernel have all of them.
    ours = lasting(ports._kernels())
    assert not ours or free_port() in ours
    assert not {*lasting(range(32_768, 61_000))} & {*range(32_768, 61_000)}
    assert lasting(range(32_768, 61_000))[-1] == 65_535
    assert lasting(range(1_024, 65_536)) == []


def test_where_the_kernel_leaves_none_its_own_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_kernels", lambda: range(1_024, 65_536))
    given = {free_port() for _ in range(MANY)}
    assert len(given) == MANY


def test_of_the_kernels_own_none_is_given_that_somebody_else_was(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def claim(port: int) -> bool:
        asked.append(port)
        return len(asked) == 2

    monkeypatch.setattr(ports, "_kernels", lambda: range(1_024, 65_536))
    monkeypatch.setattr(ports, "_claim", claim)
    assert [free_port()] == asked[1:]
