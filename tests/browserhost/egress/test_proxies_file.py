"""The file of upstreams, and what of it is found for a key."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from browserhost.egress import proxies_file
from browserhost.egress.credentials import Credentials
from browserhost.egress.geo import Geo
from browserhost.egress.proxies import Proxies
from browserhost.egress.upstream import ExitRule
from tenure.errors import ProxyDown
from tenure.names import ProfileName

ALICE, BOB = ProfileName("default", "alice_x"), ProfileName("default", "bob")
FILE = """
["Miami__FL"]
url = "https://gate.example:8443"
user = "customer"
password_file = "{password}"
ca_file = "/etc/gate.pem"
time_zone = "America/New_York"
languages = ["en-US", "en"]
exit_url = "https://exit.example/ip"
exit_address = ["203.0.113.0/24", "2001:db8::1"]
exit_every_s = 60

["*"]
url = "http://{{state}}.gate.example:8080"
user = "c-{{city}}-{{state}}-{{tenant}}-{{profile}}-{{session}}"
password_file = "{password}"
"""


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("hunter2")
    return path


@pytest.fixture
def file(tmp_path: Path, password: Path) -> Path:
    path = tmp_path / "proxies.toml"
    path.write_text(FILE.format(password=password))
    return path


def test_a_table_says_all_of_an_upstream(file: Path) -> None:
    found = Proxies(file=file).find("miami__fl", ALICE)
    assert (found.scheme, found.host, found.port) == ("https", "gate.example", 8443)
    assert found.key == "miami__fl"
    assert found.credentials() == Credentials("customer", "hunter2")
    assert found.ca_file == "/etc/gate.pem"
    assert found.geo == Geo("America/New_York", ("en-US", "en"))
    networks = (ip_network("203.0.113.0/24"), ip_network("2001:db8::1"))
    assert found.exit == ExitRule("https://exit.example/ip", networks, 60.0)


def test_all_other_keys_are_filled_into_the_template(file: Path) -> None:
    proxies = Proxies(file=file)
    found = proxies.find("new york__ny", ALICE)
    assert (found.host, found.port) == ("ny.gate.example", 8080)
    shown = found.credentials()
    assert shown is not None
    assert shown.user.startswith("c-new_york-ny-default-alice_x-")
    session = shown.user.rpartition("-")[2]
    assert len(session) == 16
    other = proxies.find("new york__ny", BOB).credentials()
    assert other is not None
    assert session not in other.user


def test_the_setting_comes_before_the_template_and_after_a_key_of_the_files(file: Path) -> None:
    proxies = Proxies({"miami__fl": "http://h:1", "a__b": "http://h:2"}, file)
    assert str(proxies.find("miami__fl", ALICE)) == "gate.example:8443"
    assert str(proxies.find("a__b", ALICE)) == "h:2"
    assert str(proxies.find("c__d", ALICE)) == "d.gate.example:8080"


def test_a_key_that_nobody_named_has_no_upstream() -> None:
    with pytest.raises(ProxyDown, match="no upstream of that name"):
        Proxies({"a__b": "http://h:2"}).find("c__d", ALICE)


def test_the_file_is_read_again_when_it_changed(file: Path) -> None:
    proxies = Proxies(file=file)
    proxies.find("miami__fl", ALICE)
    replace(file, '["miami__fl"]\nurl = "http://other.example:1"\n')
    assert str(proxies.find("miami__fl", ALICE)) == "other.example:1"
    with pytest.raises(ProxyDown, match="no upstream of that name"):
        proxies.find("a__b", ALICE)


@pytest.mark.parametrize("text", ['["miami__fl"\nurl = "http://hunter2:1"', "["])
def test_what_it_said_before_is_not_used_once_it_cannot_be_read(file: Path, text: str) -> None:
    proxies = Proxies({"a__b": "http://h:2"}, file)
    proxies.find("miami__fl", ALICE)
    replace(file, text)
    for key in ("miami__fl", "a__b"):
        with pytest.raises(ProxyDown, match=r"proxies file is no TOML \(at ") as error:
            proxies.find(key, ALICE)
        assert "hunter2" not in str(error.value)
    file.unlink()
    with pytest.raises(ProxyDown, match="cannot be read: no such file"):
        proxies.find("miami__fl", ALICE)
    replace(file, '["miami__fl"]\nurl = "http://other.example:1"\n')
    assert str(proxies.find("miami__fl", ALICE)) == "other.example:1"


def replace(file: Path, text: str) -> None:
    """As an editor does."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def test_a_password_that_is_not_there_is_a_proxy_that_is_not_there(file: Path, password: Path) -> None:
    password.unlink()
    with pytest.raises(ProxyDown, match="a secret of its upstream cannot be read"):
        Proxies(file=file).find("miami__fl", ALICE)


def test_a_fingerprint_changes_with_whatever_an_upstream_is(file: Path, password: Path) -> None:
    salt = b"x" * 32

    def fingerprint(profile: ProfileName = ALICE, key: str = "miami__fl", salt: bytes = salt) -> str:
        return Proxies(file=file, salt=salt).find(key, profile).fingerprint

    first, text = fingerprint(), file.read_text()
    assert first == fingerprint()
    assert first == fingerprint(BOB)
    assert fingerprint(key="a__b") != fingerprint(BOB, "a__b")
    assert first != fingerprint(salt=b"y" * 32)
    changes = [("gate.example:8443", "gate.example:8444"), ('"customer"', '"other"'), ("en-US", "en-GB")]
    changes += [
        ("America/New_York", "America/Chicago"),
        ("gate.pem", "other.pem"),
        ("https://gate", "socks5://gate"),
    ]
    seen = {first}
    for old, new in changes:
        replace(file, text.replace(old, new))
        seen.add(fingerprint())
    replace(file, text.replace("exit_every_s = 60", "exit_every_s = 61"))
    seen.add(fingerprint())
    replace(file, text)
    password.write_text("other")
    seen.add(fingerprint())
    assert len(seen) == len(changes) + 3
    assert not any("hunter2" in each for each in seen)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "url is not scheme://host:port"),
        ('url = "gate:1"', "url is not scheme://host:port"),
        ('url = "ftp://gate:1"', "url is not scheme://host:port"),
        ('url = "http://gate"', "url is not scheme://host:port"),
        ('url = "http://gate:1/hunter2"', "url is not scheme://host:port"),
        ('url = "http://hunter2:hunter2@gate:1"', "url has credentials in it"),
        ('url = "http://hunter2@gate:1"', "url has credentials in it"),
        ('url = "http://{town}.gate:1"', "url has a place that is none of"),
        ('url = "http://gate:1"\npassword = "hunter2"', "password is not kept here"),
        ('url = "http://gate:1"\nuser = "hunter2"', "user and password go together"),
        ('url = "http://gate:1"\npassword_env = "P"', "user and password go together"),
        ('url = "http://gate:1"\nuser = "{x}"\npassword_env = "P"', "user has a place that is none of"),
        (
            'url = "http://gate:1"\nuser = "a"\nuser_env = "U"\npassword_env = "P"',
            "user is given more than once",
        ),
        ('url = "socks4://gate:1"\nuser = "a"\npassword_env = "P"', "SOCKS 4"),
        ('url = "http://gate:1"\npasword_file = "hunter2"', "pasword_file is no field"),
        ("url = 1", "url is not of the kind"),
        ('url = "http://gate:1"\nlanguages = "hunter2"', "languages is not of the kind"),
        ('url = "http://gate:1"\nlanguages = ["hunter2!"]', "what is no language"),
        ('url = "http://gate:1"\ntime_zone = "Nowhere/Land"', "time_zone is not one"),
        ('url = "http://gate:1"\nexit_address = ["203.0.113.1"]', "need exit_url"),
        ('url = "http://gate:1"\nexit_url = "exit.example"', "exit_url is no http"),
        ('url = "http://gate:1"\nexit_url = "https://u:hunter2@e.example"', "exit_url is no http"),
        ('url = "http://gate:1"\nexit_url = "https://e"\nexit_address = ["hunter2"]', "neither an address"),
        (
            'url = "http://gate:1"\nexit_url = "https://e"\nexit_every_s = 0',
            "exit_every_s is not of the kind",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said_without_a_value_of_it(table: str, said: str) -> None:
    with pytest.raises(ValueError, match='in \\["a__b"\\]: ') as error:
        proxies_file.parse(f'["a__b"]\n{table}')
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["miami"]\nurl = "http://g:1"', "keys are {city}__{state}"),
        ('["a__b"]\nurl = "http://g:1"\n["A__B"]\nurl = "http://g:1"', "has a__b twice"),
        ('a__b = "http://hunter2:1"', "outside a table"),
        ('url = "http://g:1"', "keys are {city}__{state}"),
        ('password "hunter2"', "is no TOML (at line 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_without_a_value_of_it(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        proxies_file.parse(text)
    assert "hunter2" not in str(error.value)


def test_a_place_that_makes_another_address_is_refused_when_it_is_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "proxies.toml"
    file.write_text('["*"]\nurl = "http://{city}:8080"\nspace = " "\n')
    proxies = Proxies(file=file)
    assert str(proxies.find("a.example__x", ALICE)) == "a.example:8080"
    with pytest.raises(ProxyDown, match="the address of its upstream is not scheme"):
        proxies.find("new york__ny", ALICE)


def test_the_example_of_the_readme_is_one() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    example = re.search(r"```toml\n(# --proxies-file.*?)```", readme, re.DOTALL)
    assert example is not None
    assert proxies_file.parse(example[1]).keys() == {"miami__fl", "*"}
