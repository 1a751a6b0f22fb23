from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tenure import ports
from tenure.ports import Ports

TAKER = """
import sys
from tenure import ports
ports._CHOICE = (int(sys.argv[1]), int(sys.argv[1]) + 1)
try:
    print(ports.Ports().address())
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no system chooses that is started meanwhile."""
    monkeypatch.setattr(ports, "_CHOICE", (9_000, 10_000))


def another_process_is_given(port: int) -> str:
    """What it is told when it has but this one to choose."""
    command = [sys.executable, "-c", TAKER, str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def number(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_a_row_of_ports_is_free_as_a_whole() -> None:
    with Ports() as chosen, ExitStack() as servers:
        first = number(chosen.address(row=3))
        for port in range(first, first + 3):
            servers.enter_context(socket.create_server(("127.0.0.1", port)))


def test_a_port_that_is_chosen_ahead_is_none_that_connections_leave_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    with Ports() as chosen:
        assert chosen.address("127.0.0.1:7433") == "127.0.0.1:7433"
        host, _, port = chosen.address("0.0.0.0:0").rpartition(":")
    assert host == "0.0.0.0"
    assert 1024 < int(port) < 32768


def test_what_is_chosen_is_nobody_elses_until_it_is_given_back() -> None:
    with Ports() as chosen:
        address = chosen.address()
        assert another_process_is_given(number(address)) == "no port is free to listen on at 127.0.0.1"
    assert another_process_is_given(number(address)) == address


def test_a_port_that_somebody_listens_on_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ports() as once:
        taken = number(once.address())
    monkeypatch.setattr(ports, "_CHOICE", (taken, taken + 2))
    with socket.create_server(("127.0.0.1", taken)), Ports() as chosen:
        assert number(chosen.address()) == taken + 1
        with pytest.raises(OSError, match="no port is free to listen on"):
            chosen.address()


def test_a_row_that_is_not_had_whole_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ports() as chosen:
        first = number(chosen.address())
        monkeypatch.setattr(ports, "_CHOICE", (first - 1, first + 1))
        with pytest.raises(OSError, match="no port is free to listen on"):
            chosen.address(row=2)
        assert number(chosen.address()) == first - 1


def test_what_is_no_matter_of_the_port_is_told_as_what_it_is() -> None:
    with Ports() as chosen, pytest.raises(OSError, match="annot assign requested address"):
        chosen.address("192.0.2.1:0")
