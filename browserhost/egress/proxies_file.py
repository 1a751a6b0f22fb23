"""The file of upstreams: one table a proxy key, and `*` for all others, in TOML.

    ["miami__fl"]
    url = "http://gate.example:8080"      # http, https, socks5; socks4 without credentials
    user = "customer-city-{city}-session-{session}"      # or user_file, user_env
    password_file = "/run/secrets/proxy"  # or password_env; never the password itself
    ca_file = "/etc/ssl/gate.pem"         # whom an https upstream is trusted by, if not by the machine
    time_zone = "America/New_York"
    languages = ["en-US", "en"]
    exit_url = "https://exit.example/"    # answers with the caller's address
    exit_address = ["203.0.113.0/24"]     # where that must be
    exit_every_s = 600

{city}, {state}, {tenant}, {profile} and {session} are filled in, in the url, the user and the password;
spaces become what `space` says ("_"). {session} stands for the profile in 16 hexadecimal digits.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from browserhost.egress import upstream
from browserhost.egress.credentials import Secret
from browserhost.egress.geo import Geo, check
from browserhost.egress.upstream import EXIT_EVERY_S, ExitRule
from tenure.errors import InvalidField
from tenure.names import check_proxy_key

ANY = "*"
PLACES = frozenset({"city", "state", "tenant", "profile", "session"})

_PLACE = re.compile(r"\{([^{}]*)\}")
_KINDS = {"": "text", "_file": "file", "_env": "environment"}
_SECRETS = ("user", "user_file", "user_env", "password_file", "password_env")
_TEXTS = ("url", *_SECRETS, "ca_file", "space", "time_zone", "exit_url")
_LISTS = ("languages", "exit_address")
_NUMBERS = ("exit_every_s",)


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One table. The url and the user may have places in them."""

    url: str
    user: Secret | None = None
    password: Secret | None = None
    ca_file: str | None = None
    space: str = "_"
    geo: Geo = field(default_factory=Geo)
    exit: ExitRule | None = None

    def __repr__(self) -> str:
        return "Entry(…)"


def parse(text: str) -> dict[str, Entry]:
    """The tables by key. Raises ValueError with a clause that says where, and repeats no value."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at [^)]*\)", str(error))
        raise ValueError(f"is no TOML {where[0] if where else ''}".rstrip()) from None
    found: dict[str, Entry] = {}
    for name, table in tables.items():
        key = name if name == ANY else _key(name)
        if key in found:
            raise ValueError(f"has {key} twice")
        if not isinstance(table, dict):
            raise ValueError(f'has {key} outside a table; write ["{{city}}__{{state}}"] above it')
        try:
            found[key] = _entry(table)
        except ValueError as error:
            raise ValueError(f'in ["{key}"]: {error}') from None
    return found


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its places filled in; what is no place of ours stays."""
    return _PLACE.sub(lambda found: values.get(found[1], found[0]), text)


def check_geo(geo: Geo) -> Geo:
    """As geo.check, and the zone is one that there is. Raises ValueError, with a clause."""
    check(geo)
    # Chrome takes an unknown one without a word, and tells pages "Etc/Unknown".
    if geo.time_zone and not _is_zone(geo.time_zone) and _is_zone("UTC"):
        raise ValueError("time_zone is not one that this machine knows")
    return geo


def _is_zone(name: str) -> bool:
    """Whether this machine's database has it; without a database it has not even UTC."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _key(name: str) -> str:
    try:
        key = check_proxy_key(name)
    except InvalidField:
        key = ""
    if not key:
        raise ValueError(f"has the table {name!r}, and keys are {{city}}__{{state}}, such as miami__fl, or *")
    return key


def _entry(table: Mapping[str, Any]) -> Entry:
    """Raises ValueError, with a clause that names the field."""
    for name, value in table.items():
        if name == "password":
            raise ValueError("password is not kept here: use password_file or password_env")
        if name in _TEXTS:
            good = isinstance(value, str) and (value or name == "space")
        elif name in _LISTS:
            good = isinstance(value, list) and all(isinstance(each, str) for each in value)
        elif name in _NUMBERS:
            good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        else:
            raise ValueError(f"{name} is no field of an upstream")
        if not good:
            raise ValueError(f"{name} is not of the kind that it should be")
    user, password = _secret(table, "user"), _secret(table, "password")
    if (user is None) != (password is None):
        raise ValueError("user and password go together")
    url = _url(table)
    if password is not None and url.startswith("socks4:"):
        raise ValueError("url is of SOCKS 4, which knows no password")
    geo = check_geo(Geo(table.get("time_zone", ""), tuple(table.get("languages", ()))))
    return Entry(url, user, password, table.get("ca_file"), table.get("space", "_"), geo, _exit(table))


def _secret(table: Mapping[str, Any], name: str) -> Secret | None:
    given = [(kind, table[name + ending]) for ending, kind in _KINDS.items() if name + ending in table]
    if len(given) > 1:
        raise ValueError(f"{name} is given more than once")
    if given and given[0][0] == "text":
        _check_places(name, given[0][1])
    return Secret(*given[0]) if given else None


def _url(table: Mapping[str, Any]) -> str:
    url = str(table.get("url", ""))
    _check_places("url", url)
    try:
        upstream.address(fill(url, dict.fromkeys(PLACES, "x")))
    except ValueError as error:
        raise ValueError(f"url {error}") from None
    return url


def _check_places(name: str, text: str) -> None:
    for place in _PLACE.findall(text):
        if place not in PLACES:
            raise ValueError(f"{name} has a place that is none of {', '.join(sorted(PLACES))}")


def _exit(table: Mapping[str, Any]) -> ExitRule | None:
    url = table.get("exit_url")
    if url is None:
        if "exit_address" in table or "exit_every_s" in table:
            raise ValueError("exit_address and exit_every_s need exit_url")
        return None
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        good = good and url.isascii() and url.isprintable() and not {"@", " "} & set(url)
    except ValueError:
        good = False
    if not good:
        raise ValueError("exit_url is no http:// or https:// address")
    try:
        networks = tuple(ipaddress.ip_network(each) for each in table.get("exit_address", ()))
    except ValueError:
        raise ValueError("exit_address has what is neither an address nor a network") from None
    return ExitRule(url, networks, float(table.get("exit_every_s", EXIT_EVERY_S)))
