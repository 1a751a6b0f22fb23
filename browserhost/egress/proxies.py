"""The upstreams of a host by proxy key: the setting's, and the file's, read again when it changes."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from browserhost.egress import proxies_file, regular
from browserhost.egress.credentials import Keeping, Unreadable
from browserhost.egress.proxies_file import ANY, Entry, fill
from browserhost.egress.upstream import Upstream, address
from tenure.errors import ProxyDown
from tenure.names import ProfileName, proxy_words

LARGEST = 1 << 20

_log = structlog.get_logger("proxies")
_Stamp = tuple[int, int, int]


class Proxies:
    """A key of its own in the file comes first, then the setting's, then the file's `*`."""

    def __init__(
        self, urls: Mapping[str, str] | None = None, file: Path | None = None, salt: bytes = b""
    ) -> None:
        """`urls` by key. The same `salt` makes the same fingerprints; b"" takes a new one."""
        self._urls = dict(urls or {})
        self._file = file
        self._salt = salt or secrets.token_bytes(32)
        self._stamp: _Stamp | None = None
        self._entries: dict[str, Entry] = {}
        self._problem = ""

    def find(self, key: str, profile: ProfileName) -> Upstream:
        """A canonical key's upstream, for one profile. Reads files. Raises ProxyDown: no other way out."""
        self._read_again()
        # Not what the file said before: it may be what it was changed to get rid of.
        if self._problem:
            raise ProxyDown(proxy_key=key, problem=f"this host's proxies file {self._problem}")
        entry = self._entries.get(key)
        if entry is None and key in self._urls:
            entry = Entry(self._urls[key])
        entry = entry or self._entries.get(ANY)
        if entry is None:
            raise ProxyDown(proxy_key=key, problem="this host has no upstream of that name")
        try:
            return self._made(entry, key, profile)
        except Unreadable as error:
            raise ProxyDown(proxy_key=key, problem=str(error)) from None
        except ValueError as error:
            raise ProxyDown(proxy_key=key, problem=f"the address of its upstream {error}") from None

    def _made(self, entry: Entry, key: str, profile: ProfileName) -> Upstream:
        """Raises Unreadable, ValueError."""
        city, state = (word.replace(" ", entry.space) for word in proxy_words(key))
        session = hashlib.sha256(f"{profile.tenant}/{profile.profile}".encode()).hexdigest()[:16]
        values = {"city": city, "state": state, "session": session}
        values |= {"tenant": profile.tenant, "profile": profile.profile}
        keeping = None
        if entry.user is not None and entry.password is not None:
            keeping = Keeping(entry.user, entry.password, partial(fill, values=values))
        where = address(fill(entry.url, values))
        made = Upstream(*where, key, keeping, entry.ca_file, entry.geo, entry.exit)
        return replace(made, fingerprint=self._fingerprint(made))

    def _fingerprint(self, upstream: Upstream) -> str:
        shown = upstream.credentials()
        facts = [
            [upstream.scheme, upstream.host, upstream.port, upstream.ca_file],
            [upstream.geo.time_zone, *upstream.geo.languages],
            [shown.user, shown.password] if shown is not None else [],
            # The live browser's forwarder goes by the rule that it was started with.
            str(upstream.exit),
        ]
        return hmac.new(self._salt, json.dumps(facts).encode(), hashlib.sha256).hexdigest()

    def _read_again(self) -> None:
        if self._file is None:
            return
        stamp: _Stamp | None = None
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return
            entries, problem = read(self._file), ""
        except ValueError as error:
            entries, problem = {}, str(error)
        except OSError as error:
            entries, problem = {}, f"cannot be read: {(error.strerror or 'unknown').lower()}"
        if problem and problem != self._problem:
            _log.error("no proxies", file=str(self._file), why=problem)
        self._stamp, self._entries, self._problem = stamp, entries, problem


def read(file: Path) -> dict[str, Entry]:
    """What it says. Raises OSError, ValueError with a clause that repeats no secret."""
    content = regular.read(file, LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"is larger than {LARGEST} bytes")
    try:
        return proxies_file.parse(content.decode())
    except UnicodeDecodeError:
        raise ValueError("is no text") from None
