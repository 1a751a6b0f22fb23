"""The outermost frame, in a process of its own: `python -m recovery` is the thinnest service."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

STUCK = """
import asyncio
from servicekit.main import run
from servicekit.settings import ServiceSettings

async def serve(settings, shutdown):
    print("up", flush=True)
    await shutdown.wait()
    print("draining", flush=True)
    await asyncio.Event().wait()

run("stuck", ServiceSettings, serve)
"""


@contextmanager
def process(*command: str, **kwargs: object) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, *command], text=True, stderr=subprocess.PIPE, **kwargs
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_announces_itself_and_stops_cleanly_on_a_signal(number: signal.Signals) -> None:
    read, write = os.pipe()
    command = ("-m", "recovery", "--lockservice", "127.0.0.1:1", "--ready-fd", str(write))
    with process(*command, pass_fds=(write,)) as service:
        os.close(write)
        with os.fdopen(read) as pipe:
            ready = json.loads(pipe.readline())
        assert ready["service"] == "recovery"
        service.send_signal(number)
        assert service.wait(30) == 0
        assert service.stderr is not None
        events = [json.loads(line)["event"] for line in service.stderr]
    assert events[-2:] == ["draining", "stopped"]


def test_a_second_interrupt_ends_a_service_that_hangs() -> None:
    with process("-c", STUCK, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "up\n"
        service.send_signal(signal.SIGINT)
        assert service.stdout.readline() == "draining\n"
        service.send_signal(signal.SIGINT)
        assert service.wait(30) == 130


def test_a_taken_port_ends_the_start_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with process("-m", "recovery", "--lockservice", "127.0.0.1:1", "--listen", address) as service:
            _, said = service.communicate(timeout=30)
    assert service.returncode == 1
    assert "address already in use. Choose another address with --listen" in said
    assert "Traceback" not in said


def test_bad_settings_end_the_start_with_status_2() -> None:
    with process("-m", "recovery", "--listen", "0.0.0.0:1") as service:
        _, said = service.communicate(timeout=30)
    assert service.returncode == 2
    assert "wrong settings: 2" in said
