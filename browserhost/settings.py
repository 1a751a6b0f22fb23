"""Settings of the browser host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from browserhost import defaults
from browserhost import settings_text as text
from browserhost.chrome import LEAST_FREE, LONGEST_TMP
from servicekit.settings import Address, LoopbackAddress, ServiceSettings

Proxies = Annotated[dict[str, str], BeforeValidator(text.parse_proxies), AfterValidator(text.check_proxies)]
Languages = Annotated[list[str], BeforeValidator(text.parse_list), AfterValidator(text.check_languages)]
Addresses = Annotated[list[str], BeforeValidator(text.parse_list), AfterValidator(text.check_services)]


class BrowserHostSettings(ServiceSettings):
    """The browser host keeps this machine's profiles and runs Chrome on them, warm and behind a fence."""

    lockservice: Address = Field(
        description="address of the lock service, which says who holds a profile",
        examples=["127.0.0.1:7434"],
    )
    data_root: Path = Field(
        default_factory=defaults.default_data_root,
        description="directory of profiles and of what proves who may use them",
        examples=["/var/lib/tenure"],
    )
    cdp_listen: LoopbackAddress = Field(
        default="127.0.0.1:0",
        description="address to serve DevTools WebSockets on; port 0 takes a free one",
        examples=["127.0.0.1:7435"],
    )
    capacity: int = Field(
        default_factory=defaults.default_capacity,
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
        default_factory=defaults.default_memory,
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
    proxies: Proxies = Field(
        default={},
        description=(
            "upstreams that need no credentials by proxy key, key=url separated by commas; an http one is "
            "asked to CONNECT, to port 80 too"
        ),
        examples=["miami__fl=http://127.0.0.1:3128"],
    )
    proxies_file: Annotated[Path | None, AfterValidator(text.check_proxies_file)] = Field(
        default=None,
        description="TOML file of upstreams, with where their credentials are; read again when it changes",
        examples=["/etc/tenure/proxies.toml"],
    )
    time_zone: Annotated[str, AfterValidator(text.check_time_zone)] = Field(
        default="",
        description="time zone that pages are told, but for a profile's or a proxy's; empty: the machine's",
        examples=["America/New_York"],
    )
    languages: Languages = Field(
        default=[],
        description="languages that pages are told, but for a profile's or a proxy's; the best first",
        examples=["en-US,en"],
    )
    extensions_dir: Annotated[Path | None, AfterValidator(text.check_extensions_dir)] = Field(
        default=None,
        description=(
            "folder of unpacked extensions, by the names that profiles ask for them by; nobody but this "
            "process's user and root may change it"
        ),
        examples=["/etc/tenure/extensions"],
    )
    refuse: Addresses = Field(
        default=[],
        description=(
            "addresses that no browser may reach, address:port separated by commas: Tenure's other "
            "services and its store; this host's own, and link-local and metadata addresses, always are"
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
    uids: Annotated[tuple[int, int], BeforeValidator(text.parse_range)] = Field(
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
    look_ahead: Literal["enabled", "disabled"] = Field(
        default="enabled",
        description="disabled: what a session left is looked for once the next one's token is proven, and "
        "not while that is asked",
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
    tmp_root: Annotated[Path, AfterValidator(text.check_tmp_root)] = Field(
        default_factory=defaults.default_tmp_root,
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
