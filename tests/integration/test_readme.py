"""The README's commands do what it says, on a running system: at its address, and with a site of ours."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tenure.demo.site import DemoSite
from tests.fixtures.faults import system_in

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BUF = ".venv/bin/buf curl "
TENURE = ".venv/bin/tenure "
OPEN = f"{TENURE}open "


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every command of the README's shell blocks, without its comment, in order."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s{2,}# .*|\s+(?=\s)", "", line).strip() for line in lines if line.strip()]


CALLS = [command for command in commands() if command.startswith((BUF, TENURE))]


@dataclass
class Reader:
    """Somebody who types what the README says, and fills in the token that was answered."""

    address: str
    site: str
    token: str = ""

    def adapt(self, text: str) -> str:
        return text.replace("127.0.0.1:7433", self.address).replace("https://example.com/", self.site)

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "TENURE_ADDRESS": self.address, "TOKEN": self.token},
        )

    async def run(self, *command: str) -> str:
        """Run a command that must succeed; what it printed."""
        process = await self.start(*command)
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        return out.decode()

    async def shell(self, command: str) -> str:
        return await self.run("bash", "-c", self.adapt(command))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reader]:
    async with DemoSite() as site, system_in(tmp_path_factory.mktemp("readme") / "tenure") as system:
        yield Reader(system.gateway, f"{site.url}/")


def method_of(command: str) -> str:
    return command.rpartition("/")[2] if "--list-methods" not in command else "--list-methods"


async def test_every_command_is_of_a_kind_that_is_tested() -> None:
    known = (BUF, TENURE, "make ", "TOKEN=")
    assert [command for command in commands() if not command.startswith(known)] == []
    assert [method_of(command) for command in CALLS if command.startswith(BUF)] == [
        *("--list-methods", "Check", "GetServerInfo", "OpenSession", "ListProfiles", "CloseSession")
    ]


async def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "up"} <= named <= targets


async def test_open_holds_a_browser_until_ctrl_c(reader: Reader) -> None:
    (command,) = (each for each in CALLS if each.startswith(OPEN))
    process = await reader.start("bash", "-c", f"exec {reader.adapt(command)}")
    assert process.stdout is not None
    said = ""
    while "Held until Ctrl-C" not in said:
        line = (await process.stdout.readline()).decode()
        assert line, said
        said += line
    assert "tenants/default/profiles/alice_linkedin" in await reader.shell(f"{TENURE}profiles --json")
    process.send_signal(signal.SIGINT)
    rest = (await process.stdout.read()).decode()
    assert await process.wait() == 0, rest
    assert "Closed; the browser stays warm." in rest


@pytest.mark.parametrize("command", [each for each in CALLS if each.startswith(BUF)], ids=method_of)
async def test_a_bare_call_answers(reader: Reader, command: str) -> None:
    said = await reader.shell(command)
    if "--list-methods" in command:
        assert "tenure.v1.SessionService/OpenSession" in said
        return
    answer = json.loads(said)
    match method_of(command):
        case "Check":
            assert answer == {"status": "SERVING"}
        case "GetServerInfo":
            assert answer["caller"]["tenant"] == "default"
        case "OpenSession":
            reader.token = answer["hold"]["fencingToken"]
            assert answer["session"]["cdpUrl"].startswith("ws://127.0.0.1:")
        case "ListProfiles":
            (profile,) = answer["profiles"]
            assert (profile["asSent"], profile["state"]) == ("alice:linkedin", "PROFILE_STATE_HELD")
        case "CloseSession":
            assert answer["state"] == "PROFILE_STATE_AVAILABLE"
            assert answer["session"]["flushedAt"]


@pytest.mark.parametrize(
    "command", [each for each in CALLS if each.startswith(TENURE) and not each.startswith(OPEN)]
)
async def test_a_command_that_ends_by_itself_succeeds(reader: Reader, command: str) -> None:
    assert await reader.shell(command)


async def test_the_python_example_runs(reader: Reader) -> None:
    example, _ = blocks("python")
    said = await reader.run(sys.executable, "-c", reader.adapt(example))
    # The token, whether a live browser was used again, and the title of the site's first page.
    assert re.fullmatch(r"\d+ True Sign in · Juniper Supply\n", said)


async def test_the_example_of_what_a_worker_declares_runs(reader: Reader) -> None:
    _, example = blocks("python")
    program = [
        "import asyncio, tenure",
        "async def main(url='https://example.com/', start_at=None):",
        "    async with tenure.connect('127.0.0.1:7433') as t:",
        *(f"        {line}" for line in example.splitlines()),
        "        print(session.origin.name, session.attempt)",
        "asyncio.run(main())",
    ]
    assert await reader.run(sys.executable, "-c", reader.adapt("\n".join(program))) == "NEW 1\n"
