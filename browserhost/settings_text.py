"""The browser host's settings as text: read, and refused where nothing could be made of them.

Every `parse_` takes what it was given when that is no text. All raise ValueError, which says what is wrong
and repeats no secret.
"""

from __future__ import annotations

import json
from pathlib import Path

from browserhost.chrome import LONGEST_TMP
from browserhost.egress import proxies, proxies_file, upstream
from browserhost.egress.addresses import services
from browserhost.egress.geo import Geo
from tenure.errors import InvalidField
from tenure.names import check_proxy_key


def parse_proxies(value: object) -> object:
    """`key=url,key=url`, or the same as a JSON object. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    pairs = [each.strip().partition("=") for each in value.split(",") if each.strip()]
    return {key: url for key, _, url in pairs}


def check_proxies(urls: dict[str, str]) -> dict[str, str]:
    """The upstreams by canonical key. Raises ValueError, which repeats no address: it may have a password."""
    found: dict[str, str] = {}
    for name, url in urls.items():
        try:
            key = check_proxy_key(name)
        except InvalidField:
            key = ""
        if not key or key in found:
            raise ValueError(f"has the key '{name}', and keys are {{city}}__{{state}}, each of them once")
        try:
            upstream.address(url)
        except ValueError as error:
            raise ValueError(f"has an address for {key} that {error}") from None
        found[key] = url
    return found


def check_proxies_file(path: Path | None) -> Path | None:
    """Refuse a file that no proxy can be had from. Raises ValueError, which repeats no secret."""
    if path is not None:
        try:
            proxies.read(path)
        except OSError as error:
            raise ValueError(f"cannot be read: {(error.strerror or 'unknown').lower()}") from None
        except ValueError as error:
            raise ValueError(str(error)) from None
        path = path.absolute()
    return path


def check_extensions_dir(path: Path | None) -> Path | None:
    """Refuse what is no folder, or what Chrome would take for two. Raises ValueError."""
    if path is not None:
        path = path.resolve()
        if not path.is_dir():
            raise ValueError("is no folder")
        if "," in str(path):
            raise ValueError("has a comma, which Chrome would take for the end of its path")
    return path


def check_time_zone(name: str) -> str:
    """Refuse what is no zone. Raises ValueError."""
    proxies_file.check_geo(Geo(name))
    return name


def check_languages(languages: list[str]) -> list[str]:
    """Refuse what is no language. Raises ValueError."""
    proxies_file.check_geo(Geo("", tuple(languages)))
    return languages


def parse_list(value: object) -> object:
    """`a,b`. Raises ValueError."""
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


def parse_range(value: object) -> object:
    """`first-last`. Raises ValueError."""
    if not isinstance(value, str):
        return value
    first, dash, last = value.partition("-")
    if not dash or not first.isdecimal() or not last.isdecimal() or not 0 < int(first) <= int(last):
        raise ValueError(f"has '{value}', which is not first-last, of numbers above 0")
    return int(first), int(last)


def check_services(addresses: list[str]) -> list[str]:
    """Refuse names: which addresses are meant must not change. Raises ValueError."""
    services(addresses)
    return addresses


def check_tmp_root(path: Path) -> Path:
    """Refuse what no browser could start with. Raises ValueError."""
    if len(str(path)) > LONGEST_TMP:
        raise ValueError(
            f"has {len(str(path))} characters, and Chrome's sockets leave room for {LONGEST_TMP}"
        )
    return path
