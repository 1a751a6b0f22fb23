from __future__ import annotations

from pathlib import Path

import pytest

from tenure.ports import FREE_PORT
from tenure.programs import etcd_warning, programs


def test_only_an_etcd_at_its_end_of_life_is_warned_of() -> None:
    assert "not for production" in str(etcd_warning("3.4.23"))
    assert etcd_warning("3.5.16") is None
    assert etcd_warning("3.6.1") is None


def test_every_part_is_given_the_addresses_of_those_before_it(tmp_path: Path) -> None:
    parts = programs(tmp_path, "127.0.0.1:7433")
    addresses: dict[str, str] = {}
    for number, part in enumerate(parts):
        # A KeyError here means that it needs one that starts later.
        part.command(part.listen, addresses)
        addresses[part.name] = f"127.0.0.1:{number}"
    assert list(addresses) == ["etcd", "lockservice", "browserhost", "recovery", "gateway"]


def test_only_the_gateway_has_a_port_that_people_choose(tmp_path: Path) -> None:
    listens = {part.name: part.listen for part in programs(tmp_path, "127.0.0.1:7433")}
    assert listens.pop("gateway") == "127.0.0.1:7433"
    assert set(listens.values()) == {FREE_PORT}


def chrome_of(data_root: Path) -> str | None:
    [host] = [part for part in programs(data_root, "127.0.0.1:7433") if part.name == "browserhost"]
    return host.environment.get("TENURE_CHROME")


def test_the_host_is_given_whichever_chrome_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chrome = tmp_path / "google-chrome-stable"
    chrome.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TENURE_CHROME", raising=False)
    assert chrome_of(tmp_path) == str(chrome)

    monkeypatch.setenv("TENURE_CHROME", "/opt/another")
    assert chrome_of(tmp_path) is None, "the one that was chosen is inherited"


def test_browsers_are_kept_from_every_part_whose_port_is_known_before(tmp_path: Path) -> None:
    at = [f"127.0.0.1:{port}" for port in (7433, 7480, 20001, 20002)]
    [host] = [part for part in programs(tmp_path, *at) if part.name == "browserhost"]
    command = host.command(host.listen, {"etcd": "127.0.0.1:2379", "lockservice": "127.0.0.1:1"})
    assert f"--refuse=127.0.0.1:2379,{','.join(at)}" in command


def test_the_lock_service_is_as_many_processes_as_it_is_told(tmp_path: Path) -> None:
    at = [f"127.0.0.1:{port}" for port in (7433, 7480, 20001, 20002)]
    parts = {part.name: part for part in programs(tmp_path, *at, lock_processes=3)}
    up = {"etcd": "127.0.0.1:2379", "lockservice": "127.0.0.1:1"}
    command = parts["lockservice"].command(FREE_PORT, up)
    assert {"--processes=3", "--metrics-listen=127.0.0.1:20002"} <= set(command)
    # Each has a port for its metrics, after the first one's.
    [refused] = [each for each in parts["browserhost"].command(FREE_PORT, up) if "--refuse" in each]
    assert refused.endswith(":20002,127.0.0.1:20003,127.0.0.1:20004")
