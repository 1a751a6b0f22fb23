from __future__ import annotations

from pathlib import Path

from tenure.programs import FREE_PORT, etcd_warning, programs


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
