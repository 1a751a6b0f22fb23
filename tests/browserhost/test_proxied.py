"""What a host does about the proxies of its browsers, without Chrome and without proxies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from browserhost.egress import exits
from browserhost.egress.proxies import Proxies
from tenure.errors import ProxyDown
from tests.browserhost.fakes import Machine
from tests.fixtures.chrome import until

KEY = "miami__fl"
TABLE = f"""
["{KEY}"]
url = "http://127.0.0.1:%d"
time_zone = "America/New_York"
"""
EXIT = 'exit_url = "http://exit.test/"\nexit_address = ["203.0.113.7"]\n'


@pytest.fixture
def file(machine: Machine, tmp_path: Path) -> Path:
    """The machine's proxies file."""
    path = tmp_path / "proxies.toml"
    path.write_text(TABLE % 3128)
    machine.proxies = Proxies(file=path)
    machine.host = machine._host()
    return path


async def test_a_changed_upstream_behind_a_key_closes_the_browser_at_hand_over(
    machine: Machine, file: Path
) -> None:
    await machine.open(41, proxy_key=KEY)
    file.write_text(TABLE % 13128)
    # Not under its session.
    assert (await machine.ask(41, proxy_key=KEY)).session is machine.profile().session
    assert not machine.browser().closed
    await machine.profile().close_hold(41)
    opened = await machine.open(50, proxy_key=KEY)
    old, new = machine.chrome.launched
    assert old.closed
    assert not opened.reused
    assert str(new.spec.upstream) == "127.0.0.1:13128"
    await machine.profile().close_hold(50)
    assert (await machine.open(51, proxy_key=KEY)).reused


async def test_a_browser_is_started_with_its_proxys_time_zone(machine: Machine, file: Path) -> None:
    await machine.open(41, proxy_key=KEY)
    assert machine.browser().spec.geo.time_zone == "America/New_York"


async def test_a_file_that_breaks_refuses_opens_and_closes_nothing(machine: Machine, file: Path) -> None:
    await machine.open(41, proxy_key=KEY)
    await machine.profile().close_hold(41)
    file.write_text("[")
    with pytest.raises(ProxyDown, match="is no TOML"):
        await machine.open(50, proxy_key=KEY)
    assert not machine.browser().closed
    await machine.profile().close_hold(50)
    file.write_text(TABLE % 3128)
    assert (await machine.open(51, proxy_key=KEY)).reused


class Exit:
    """What the exit's address is, told once `go_on` is set."""

    def __init__(self) -> None:
        self.says = b"203.0.113.7"
        self.go_on = asyncio.Event()
        self.asked = asyncio.Event()

    async def get(self, *_: object) -> bytes:
        self.asked.set()
        await self.go_on.wait()
        return self.says


@pytest.fixture
def exit_(monkeypatch: pytest.MonkeyPatch, file: Path) -> Exit:
    made = Exit()
    monkeypatch.setattr(exits, "_get", made.get)
    file.write_text(TABLE % 3128 + EXIT)
    return made


async def test_an_exit_is_checked_beside_the_launch_and_the_page_waits_for_it(
    machine: Machine, exit_: Exit
) -> None:
    opening = asyncio.create_task(machine.open(41, proxy_key=KEY))
    await exit_.asked.wait()
    await until(lambda: machine.chrome.launched)
    assert machine.browser().visited == []
    exit_.go_on.set()
    opened = await opening
    assert machine.browser().visited == ["http://a.test/"]
    assert "proxy" in opened.timings


async def test_a_wrong_exit_is_refused_before_any_page_and_the_browser_stays(
    machine: Machine, exit_: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    exit_.says = b"198.51.100.1"
    exit_.go_on.set()
    with pytest.raises(ProxyDown, match=r"it comes out at 198\.51\.100\.1") as down:
        await machine.open(41, proxy_key=KEY)
    assert down.value.proxy_key == KEY
    assert machine.browser().visited == []
    assert not machine.browser().closed
    await machine.profile().close_hold(41)
    # The same of a warm one.
    with pytest.raises(ProxyDown):
        await machine.open(50, proxy_key=KEY)
    assert machine.browser().visited == []
    await machine.profile().close_hold(50)
    monkeypatch.setattr(exits, "AGAIN_S", 0.0)
    exit_.says = b"203.0.113.7"
    assert (await machine.open(51, proxy_key=KEY)).reused
    assert len(machine.chrome.launched) == 1
