"""The last URL a profile shows: from the newest session file, else from History.

Session files are Chromium's SNSS: `SNSS`, a version, then commands of a 16-bit size, an 8-bit id
and a payload (components/sessions/core/command_storage_backend.cc). Command 6 updates a tab's
navigation; its pickle begins with the tab, an index and the URL.
"""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path
from urllib.parse import urlsplit

from browserhost.inspect import plain, sqlite

_UPDATE_TAB_NAVIGATION = 6
_PICKLE = struct.Struct("<IiiI")
_NEWEST_VISIT = "SELECT url FROM urls ORDER BY last_visit_time DESC LIMIT 1"


def last_url(default_dir: Path, scratch: Path) -> str:
    """The URL, or an empty string when neither place tells one. Writes nothing outside `scratch`."""
    sessions = [p for p in default_dir.glob("Sessions/Session_*") if p.name[8:].isdigit()]
    for path in sorted(sessions, key=lambda p: int(p.name[8:]), reverse=True):
        try:
            url = from_session(plain.read(path))
        except plain.NotPlain:
            continue
        if url:
            return url
    history = default_dir / "History"
    if not history.is_file():
        return ""
    try:
        with sqlite.opened(history, scratch) as connection:
            row = connection.execute(_NEWEST_VISIT).fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


def from_session(content: bytes) -> str:
    """The URL of the last navigation in a session file; what breaks off at its end is ignored."""
    url, position = "", 8
    if content[:4] != b"SNSS":
        return ""
    while position + 3 <= len(content):
        size, kind = struct.unpack_from("<HB", content, position)
        payload = content[position + 3 : position + 2 + size]
        if size == 0 or len(payload) != size - 1:
            break
        if kind == _UPDATE_TAB_NAVIGATION:
            url = _url(payload) or url
        position += 2 + size
    return url


def _url(payload: bytes) -> str:
    if len(payload) < _PICKLE.size:
        return ""
    length = _PICKLE.unpack_from(payload)[3]
    text = payload[_PICKLE.size : _PICKLE.size + length].decode("utf-8", "replace")
    return text if len(text) == length and urlsplit(text).scheme else ""
