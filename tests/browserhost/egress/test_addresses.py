"""Where browsers may connect to."""

from __future__ import annotations

import pytest

from browserhost.egress.addresses import (
    Rules,
    destination,
    is_localhost,
    meanings,
    name_problem,
    parse,
    services,
)

OWN = services(["127.0.0.1:2379", "localhost:7433", "10.0.0.5:2379", "0.0.0.0:9000", "[::1]:8000"])
OPEN, SHUT = Rules(OWN), Rules(OWN, private=False)

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fe80::1",
    "fe80::1%1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
]
NOWHERE = [
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "ff02::1",
    "::ffff:0.0.0.0",
]
PRIVATE = ["127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1"]
PRIVATE += ["::1", "fc00::1", "fd12:3456::1", "::ffff:10.0.0.1", "2002:a00:1::1", "64:ff9b::7f00:1"]
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"]


def problem(rules: Rules, text: str, port: int = 80, *, here: bool = False) -> str | None:
    address = parse(text)
    assert address is not None
    return rules.problem(address, port, is_this_machine=here)


@pytest.mark.parametrize("text", [*METADATA, *NOWHERE])
@pytest.mark.parametrize("rules", [OPEN, SHUT])
def test_metadata_and_what_is_no_host_is_refused_whatever_the_setting(rules: Rules, text: str) -> None:
    assert problem(rules, text)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_networks_are_a_setting(text: str) -> None:
    assert problem(OPEN, text) is None
    assert problem(SHUT, text)


@pytest.mark.parametrize("text", PUBLIC)
@pytest.mark.parametrize("rules", [OPEN, SHUT])
def test_the_internet_may_be_reached(rules: Rules, text: str) -> None:
    assert problem(rules, text) is None


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("127.0.0.1", 2379),
        ("127.0.0.2", 2379),
        ("::1", 2379),
        ("::ffff:127.0.0.1", 2379),
        ("127.0.0.1", 7433),
        ("10.0.0.5", 2379),
        ("127.0.0.1", 9000),
        ("127.0.0.1", 8000),
    ],
)
def test_tenures_own_services_are_refused(text: str, port: int) -> None:
    assert problem(OPEN, text, port) == "is one of Tenure's own services"
    assert problem(OPEN, text, port + 1) is None


def test_this_machines_other_addresses_lead_to_its_services_too() -> None:
    assert problem(OPEN, "203.0.113.5", 9000) is None
    assert problem(OPEN, "203.0.113.5", 9000, here=True)
    assert problem(SHUT, "8.8.8.8", 1, here=True)
    assert OPEN.watches(9000)
    assert not OPEN.watches(9001)


def test_an_address_in_anothers_clothes_means_both() -> None:
    found = parse("2002:7f00:1::1")
    assert found is not None
    assert [str(each) for each in meanings(found)] == ["2002:7f00:1::1", "127.0.0.1"]


@pytest.mark.parametrize("text", ["example.com:1", "127.0.0.1", "127.0.0.1:x", ""])
def test_a_service_is_named_by_its_address(text: str) -> None:
    with pytest.raises(ValueError, match="not address:port"):
        services([text])


@pytest.mark.parametrize(
    ("name", "means"),
    [("localhost", True), ("LOCALHOST.", True), ("a.localhost", True), ("localhost.example", False)],
)
def test_localhost_is_this_machine_by_any_spelling(name: str, means: bool) -> None:
    assert is_localhost(name) is means


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://169.254.169.254/latest", ("169.254.169.254", 80)),
        ("https://[::1]/x", ("::1", 443)),
        ("HTTP://a:8080", ("a", 8080)),
        ("about:blank", None),
        ("http://[/", None),
        ("http://a:99999/", None),
    ],
)
def test_a_url_leads_to_a_host_and_a_port(url: str, found: tuple[str, int] | None) -> None:
    assert destination(url) == found


@pytest.mark.parametrize(
    "name",
    ["example.com", "EXAMPLE.com.", "a_b.example.co.uk", "xn--mnchen-3ya.de", "1.example", "local.example"],
)
def test_names_of_the_internet_are_for_the_upstream_to_resolve(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("printer", "one label"),
        ("localhost", "one label"),
        ("a.localhost.", "its own network"),
        ("nas.LOCAL", "its own network"),
        ("x.internal", "its own network"),
        ("router.lan", "its own network"),
        ("x.home.arpa", "its own network"),
        ("metadata.google.com", "metadata"),
        ("2852039166", "unusual spelling"),
        ("0xa9fea9fe", "unusual spelling"),
        ("169.254.43518", "unusual spelling"),
        ("0251.0376.0251.0376", "unusual spelling"),
        ("a..b", "no name"),
        ("a.b HTTP/1.1", "no name"),
        ("m\u00fcnchen.de", "no name"),
        ("x" * 64 + ".com", "no name"),
        ("a." * 127 + "com", "no name"),
        ("", "no name"),
    ],
)
def test_what_only_an_upstreams_own_network_knows_is_refused_by_its_looks(name: str, said: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert said in problem
