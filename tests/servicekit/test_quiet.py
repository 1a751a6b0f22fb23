"""What grpc tells terminals of a server that goes: nothing, where we have our own words for it."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress

import pytest

# HTTP/2's SETTINGS, and GOAWAY with an error: what a server says that ends in the midst of its calls. Then a
# PING, which is answered once that is understood.
GOES_AWAY = bytes.fromhex("000000 04 00 00000000  00000c 07 00 00000000 00000000 00000002") + b"gone"
PING = bytes.fromhex("000008 06 00 00000000") + b"heard it"

CONNECT = """
import os, sys, grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    channel.subscribe(lambda _: None, try_to_connect=True)
    sys.stdin.read()
    # Python ends grpc's own threads wherever they are, and may then wait for a lock that one of them had.
    os._exit(0)
"""
COMMAND_LINE = """
import sys

arguments, sys.argv = sys.argv, ["tenure", "--version"]
from tenure.cli import main
try:
    main()
except SystemExit:
    sys.argv = arguments
"""


async def said(begin: str, **environment: str) -> str:
    """To the terminal, by a program that begins like this and connects to a server that goes at once."""
    heard = asyncio.Event()

    async def go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GOES_AWAY + PING)
        # Or it hangs up on hearing the one, before it has come to the other.
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"heard it")
        heard.set()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    own = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    async with await asyncio.start_server(go, "127.0.0.1", 0) as server:
        target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        command = (sys.executable, "-c", begin + CONNECT, target)
        program = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=own | environment
        )
        await heard.wait()
        _, errors = await program.communicate(b"")
    assert program.returncode == 0
    return errors.decode()


@pytest.mark.parametrize(
    "begin", [COMMAND_LINE, *(f"import {each}.__main__" for each in ("browserhost", "gateway", "recovery"))]
)
async def test_a_server_that_goes_is_told_of_in_our_words_alone(begin: str) -> None:
    assert await said(begin) == ""


async def test_whoever_wants_to_hear_it_all_does() -> None:
    assert "Got goaway" in await said(COMMAND_LINE, GRPC_VERBOSITY="INFO")
