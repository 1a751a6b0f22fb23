"""What a service's process is spared."""

import subprocess
import sys

import pytest

FORK = """
import asyncio, os
import {service}.__main__
import grpc.aio

async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    child = os.fork()
    if child == 0:
        print(len(os.listdir("/proc/self/task")), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    await server.stop(None)

asyncio.run(main())
"""


@pytest.mark.parametrize("service", ["browserhost", "gateway", "lockservice", "recovery"])
def test_a_service_draws_nothing_for_terminals(service: str) -> None:
    tell = (
        f"import {service}.__main__, structlog, sys; print(sorted(n for n in sys.modules if n[:4] == 'rich'))"
    )
    said = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['rich']", "that it is not there is all that is known of it"


@pytest.mark.parametrize("service", ["browserhost", "gateway", "lockservice", "recovery"])
def test_a_services_child_has_no_thread_that_goes_on_with_its_connections(service: str) -> None:
    command = [sys.executable, "-c", FORK.format(service=service)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "1\n"
