"""Settings of the browser host."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from browserhost import launches
from browserhost.chrome import LEAST_FREE, LONGEST_TMP
from browserhost.egress import proxies, proxies_file, upstream
from browserhost.egress.addresses import services
from browserhost.egress.geo import Geo
from servicekit.settings import Address, LoopbackAddress, ServiceSettings
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


def default_data_root() -> Path:
    """Where state belongs (XDG base directories)."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "tenure"


def default_capacity() -> int:
    """As many browsers as half of the machine's memory holds, at least 2, at most 64."""
    return max(2, min(64, default_memory() // launches.EACH))


def default_memory() -> int:
    """Half of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def default_tmp_root() -> Path:
    """Where temporary files belong, or /tmp when that path is too long for Chrome's sockets."""
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) <= LONGEST_TMP else Path("/tmp")


def check_tmp_root(path: Path) -> Path:
    """Refuse what no browser could start with. Raises ValueError."""
    if len(str(path)) > LONGEST_TMP:
        raise ValueError(
            f"has {len(str(path))} characters, and Chrome's sockets leave room for {LONGEST_TMP}"
        )
    return path


class BrowserHostSettings(ServiceSettings):
    """The browser host keeps this machine's profiles and runs Chrome on them, warm and behind a fence."""

    lockservice: Address = Field(
        description="address of the lock service, which says who holds a profile",
        examples=["127.0.0.1:7434"],
    )
    data_root: Path = Field(
        default_factory=default_data_root,
        description="directory of profiles and of what proves who may use them",
        examples=["/var/lib/tenure"],
    )
    cdp_listen: LoopbackAddress = Field(
        default="127.0.0.1:0",
        description="address to serve DevTools WebSockets on; port 0 takes a free one",
        examples=["127.0.0.1:7435"],
    )
    capacity: int = Field(
        default_factory=default_capacity,
        ge=1,
        le=1000,
        description="most browsers kept at once; unheld ones make room",
        examples=["8"],
    )
    launches: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="browsers that are launched side by side",
        examples=["2"],
    )
    memory: int = Field(
        default_factory=default_memory,
        ge=0,
        description="most bytes that all browsers together keep; unheld ones make room; 0 for no bound",
        examples=["12884901888"],
    )
    memory_reserve: int = Field(
        default=512 << 20,
        ge=0,
        description="bytes of the machine's memory that no browser may be launched into; 0 for none",
        examples=["536870912"],
    )
    idle_ttl_s: float = Field(
        default=1800.0,
        ge=0,
        description="seconds after its last use that an unheld browser is closed; 0 keeps it",
        examples=["600"],
    )
    max_age_s: float = Field(
        default=86400.0,
        ge=0,
        description="seconds since its launch after which a browser is not handed on; 0 for no bound",
        examples=["3600"],
    )
    browser_memory: int = Field(
        default=1536 << 20,
        ge=0,
        description="bytes of its own past which a browser is not handed on; 0 for no bound",
        examples=["1610612736"],
    )
    adopt_s: float = Field(
        default=10.0,
        ge=0,
        le=600,
        description=(
            "seconds that a browser outlives this process when it is killed, for the next one to go on with; "
            "0 ends it at once"
        ),
        examples=["0"],
    )
    chrome_reuse: Literal["enabled", "disabled"] = Field(
        default="enabled",
        description="disabled: a browser is launched for every session and closed with it",
        examples=["disabled"],
    )
    proxies: Annotated[dict[str, str], BeforeValidator(parse_proxies), AfterValidator(check_proxies)] = Field(
        default={},
        description=(
            "upstreams that need no credentials by proxy key, key=url separated by commas; an http one is "
            "asked to CONNECT, to port 80 too"
        ),
        examples=["miami__fl=http://127.0.0.1:3128"],
    )
    proxies_file: Annotated[Path | None, AfterValidator(check_proxies_file)] = Field(
        default=None,
        description="TOML file of upstreams, with where their credentials are; read again when it changes",
        examples=["/etc/tenure/proxies.toml"],
    )
    time_zone: Annotated[str, AfterValidator(check_time_zone)] = Field(
        default="",
        description="time zone that pages are told, but for a profile's or a proxy's; empty: the machine's",
        examples=["America/New_York"],
    )
    languages: Annotated[list[str], BeforeValidator(parse_list), AfterValidator(check_languages)] = Field(
        default=[],
        description="languages that pages are told, but for a profile's or a proxy's; the best first",
        examples=["en-US,en"],
    )
    extensions_dir: Annotated[Path | None, AfterValidator(check_extensions_dir)] = Field(
        default=None,
        description=(
            "folder of unpacked extensions, by the names that profiles ask for them by; nobody but this "
            "process's user and root may change it"
        ),
        examples=["/etc/tenure/extensions"],
    )
    refuse: Annotated[list[str], BeforeValidator(parse_list), AfterValidator(check_services)] = Field(
        default=[],
        description=(
            "addresses that no browser may reach, address:port separated by commas: Tenure's other services "
            "and its store; this host's own, and link-local and metadata addresses, always are"
        ),
        examples=["10.0.0.5:2379,10.0.0.6:7433"],
    )
    private_networks: Literal["allow", "refuse"] = Field(
        default="allow",
        description="whether browsers may reach private networks, this machine's other ports among them",
        examples=["refuse"],
    )
    chrome: str = Field(default="chromium", description="Chrome's command", examples=["google-chrome"])
    xvfb: str = Field(default="Xvfb", description="the X server's command", examples=["/usr/bin/Xvfb"])
    sandbox: Literal["auto", "on", "off"] = Field(
        default="auto",
        description=(
            "Chrome's own sandbox, and under root a user of its own for every tenant; auto has it where the "
            "machine allows it, and says why not; on refuses to start without"
        ),
        examples=["on"],
    )
    uids: Annotated[tuple[int, int], BeforeValidator(parse_range)] = Field(
        default=(310_000, 369_999),
        description="user ids that tenants are given, first-last; nobody else may have them",
        examples=["310000-369999"],
    )
    cgroup: str = Field(
        default="auto",
        description="control groups for browsers: auto, off, or a directory of version 2 that is the host's",
        examples=["off"],
    )
    width: int = Field(default=1280, ge=320, le=7680, description="display's width", examples=["1280"])
    height: int = Field(default=800, ge=240, le=4320, description="display's height", examples=["800"])
    prewarm: Literal["enabled", "disabled"] = Field(
        default="enabled",
        description="disabled: no browser is launched ahead, whoever asks for it",
        examples=["disabled"],
    )
    hand_over_in_tab: Literal["enabled", "disabled"] = Field(
        default="enabled",
        description="disabled: every session has a fresh tab, also where nothing was left in the last one",
        examples=["disabled"],
    )
    keep_hands: Literal["enabled", "disabled"] = Field(
        default="enabled",
        description="disabled: every Act starts the program that types and clicks anew",
        examples=["disabled"],
    )
    upload_limit: int = Field(
        default=100 << 20,
        ge=1,
        description="bytes that a file may have that a session gives to its browser",
        examples=["104857600"],
    )
    download_limit: int = Field(
        default=1 << 30,
        ge=1,
        description="bytes at which a download is cancelled",
        examples=["1073741824"],
    )
    session_files_limit: int = Field(
        default=1 << 30,
        ge=1,
        description="bytes that all files of a session may have, given and downloaded",
        examples=["1073741824"],
    )
    least_free: int = Field(
        default=LEAST_FREE,
        ge=0,
        description="bytes that must be free on the profiles' disk before a browser is started",
        examples=[str(LEAST_FREE)],
    )
    tmp_root: Annotated[Path, AfterValidator(check_tmp_root)] = Field(
        default_factory=default_tmp_root,
        description=f"directory for the browsers' temporary files, at most {LONGEST_TMP} characters",
        examples=["/tmp"],
    )
    snapshots: Literal["closed", "never"] = Field(
        default="closed",
        description="closed: a profile whose browser was closed cleanly gets one; never: who asks does",
        examples=["never"],
    )
    snapshot_every_s: float = Field(
        default=3600.0,
        ge=0,
        description="least seconds between two snapshots that a profile gets by itself",
        examples=["86400"],
    )
    snapshots_keep: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="snapshots of a profile that are kept, and as many of those that somebody asked for",
        examples=["7"],
    )
    import_limit: int = Field(
        default=2 << 30,
        ge=0,
        description="most bytes of a user-data-dir, without its caches, that is imported",
        examples=["2147483648"],
    )
