"""What to start, with what arguments, and what must be there first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from browserhost.egress.egress import Egress
from browserhost.egress.geo import Geo
from browserhost.egress.upstream import Upstream
from browserhost.files.ledger import Limits
from browserhost.keepers import NOBODY, Keepers
from tenure.errors import BrowserMissing, DiskFull

LEAST_FREE = 256 << 20
"""Bytes that must be free on the profile's disk before a start. A fresh profile writes 7 MB and
caches grow from there; Chrome on a full disk starts without ever answering."""
LONGEST_TMP = 56
"""Chrome's singleton socket goes to $TMPDIR/org.chromium.Chromium.XXXXXX/SingletonSocket, 108 bytes
at most (unix(7))."""

# Debian's /usr/bin/chromium is a shell script that takes 30 to 50 ms to come to this one.
_BEHIND_WRAPPER = {"/usr/bin/chromium": Path("/usr/lib/chromium/chromium")}
_PASSED = frozenset({"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "TZ", "USER"})
_PASSED |= {"XDG_CONFIG_DIRS", "XDG_DATA_DIRS"}
_PASSED_PREFIXES = ("LC_", "FONTCONFIG_", "LIBGL_", "MESA_", "MALLOC_", "SSL_CERT_")
_SMALL_SHM = 4_080_218_931  # as Debian's /etc/chromium.d/dev-shm has it

FLAGS = (
    "--allow-pre-commit-input",  # else a click before a page's first frame is dropped without a word
    "--disable-background-networking",
    "--disable-breakpad",  # its handlers leave Chrome's process group
    "--disable-component-update",
    # A renderer each, that Chrome 156 starts ahead for what its address bar would show: half of all the CPU
    # time that a start takes, and 50 MB. Without them the bar draws its suggestions itself.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    "--disable-hang-monitor",
    "--disable-quic",  # it would go round the forwarder
    "--disable-sync",
    "--hide-crash-restore-bubble",
    "--keep-alive-for-test",  # a client that closes the last tab must not end the browser
    "--no-default-browser-check",
    "--no-first-run",
    "--noerrdialogs",
    "--password-store=basic",  # no keyring that may ask for a password
    # Nothing is looked up but by the forwarder; without this a page's prefetch would ask the resolver.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--proxy-bypass-list=<-loopback>",  # loopback too goes through the forwarder
    "--remote-debugging-pipe",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
)


@dataclass(frozen=True)
class LaunchSpec:
    """Everything a browser is started with.

    `profile_dir` exists: what to do about a missing one is not decided here. `lock_fd` is locked; the
    caller closes its copy once `Browser.launch` returned or raised. `upstream` is `proxy_key`'s; None goes
    out directly. Either way only where `egress` lets it. `geo` is what pages are told of place and language.
    `tmp_root` is short (a few dozen characters) and on a disk of the machine's own. `chrome` and `xvfb`
    are names on PATH or paths. `least_free` in bytes, `answer_s` in seconds: how long Chrome may take
    from the start to its first answer. `user`: the uid and gid that Xvfb and Chrome run as, None for this
    process's own. `cgroup`: the directory of a control group for the two, made and removed with them.
    `host`: whose it is. `keepers`: how its keeper is to wait for a next host. `extensions`: unpacked ones'
    folders, without commas in their paths.
    """

    profile_dir: Path
    lock_fd: int
    proxy_key: str
    upstream: Upstream | None
    tmp_root: Path
    chrome: str
    xvfb: str
    sandbox: bool
    width: int
    height: int
    least_free: int = LEAST_FREE
    answer_s: float = 30.0
    user: tuple[int, int] | None = None
    cgroup: str = ""
    host: str = ""
    egress: Egress = field(default_factory=Egress)
    geo: Geo = field(default_factory=Geo)
    extensions: tuple[Path, ...] = ()
    keep_hands: bool = True
    hand_over_in_tab: bool = True
    look_ahead: bool = True
    files: Limits = field(default_factory=Limits)
    keepers: Keepers = NOBODY

    def __post_init__(self) -> None:
        if len(str(self.tmp_root)) > LONGEST_TMP:
            raise ValueError(f"tmp_root '{self.tmp_root}' is longer than {LONGEST_TMP} characters")

    @property
    def fingerprint(self) -> str:
        """Its upstream's; "" for none."""
        return self.upstream.fingerprint if self.upstream is not None else ""


def chrome_path(program: str) -> str:
    """The executable, past Debian's wrapper. Raises BrowserMissing."""
    found = program_path(program)
    behind = _BEHIND_WRAPPER.get(found)
    return str(behind) if behind is not None and os.access(behind, os.X_OK) else found


def stamp(program: str) -> str:
    """Which executable it is now; another text once another is installed. Empty where there is none."""
    try:
        status = Path(chrome_path(program)).stat()
    except (BrowserMissing, OSError):
        return ""
    return f"{status.st_dev}.{status.st_ino}.{status.st_mtime_ns}"


def program_path(program: str) -> str:
    """The program's absolute path. Raises BrowserMissing naming it."""
    found = shutil.which(program)
    if found is None:
        raise BrowserMissing(program=program)
    return str(Path(found).absolute())


def arguments(spec: LaunchSpec, program: str, shm_free: int, proxy: str) -> list[str]:
    """Chrome's argv. `shm_free`: bytes free on /dev/shm. `proxy`: its forwarder's URL."""
    argv = [program, *FLAGS, f"--user-data-dir={spec.profile_dir}"]
    argv.append(f"--window-size={spec.width},{spec.height}")
    argv.append("--window-position=0,0")
    if not spec.sandbox:
        argv.append("--no-sandbox")
    argv.append(f"--proxy-server={proxy}")
    argv += spec.geo.flags
    if spec.extensions:
        argv.append(f"--load-extension={','.join(map(str, spec.extensions))}")
    if shm_free < _SMALL_SHM:
        argv.append("--disable-dev-shm-usage")
    return [*argv, "about:blank"]


def environment(inherited: Mapping[str, str], geo: Geo | None = None) -> dict[str, str]:
    """The keeper's environment, from the host's: what programs need, and nothing that may be secret."""
    kept = {name: value for name, value in inherited.items() if _is_harmless(name)}
    # Without a bus Chrome would look for one, and may start one that outlives it.
    return {
        "HOME": "/nonexistent",
        **kept,
        **(geo or Geo()).environment,
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }


def shm_free() -> int:
    """Bytes free on /dev/shm; 0 when there is none."""
    try:
        shm = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return shm.f_bavail * shm.f_frsize


def make_ready(spec: LaunchSpec) -> None:
    """Check the disk, and take away what an earlier Chrome left and this one would be mistaken by.

    Raises DiskFull, FileNotFoundError when the profile's directory is missing.
    """
    disk = os.statvfs(spec.profile_dir)
    free = disk.f_bavail * disk.f_frsize
    if free < spec.least_free:
        raise DiskFull(path=str(spec.profile_dir), free_bytes=free)
    # It survives even a clean exit, and would name a port that is another's by now.
    (spec.profile_dir / "DevToolsActivePort").unlink(missing_ok=True)


def _is_harmless(name: str) -> bool:
    # A list of what may pass: a password may have any name, and Chrome's environment is read by its user.
    return name in _PASSED or name.startswith(_PASSED_PREFIXES)
