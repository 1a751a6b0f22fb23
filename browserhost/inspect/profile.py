"""Inspects one profile directory. Blocking: call it in a thread."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from browserhost import durable
from browserhost.inspect import cookies, leveldb, plain, sqlite
from browserhost.inspect.last_url import last_url
from browserhost.inspect.verdict import Inspection, Sight, judge
from tenure.userdata import owner
from tenure.userdata.caches import is_cache

# Stores that Chrome would silently replace by empty ones: they are checked whatever their first bytes say.
_KNOWN = (*cookies.PLACES, "Default/History", "Default/Login Data", "Default/Web Data")
# Folders that are gone into by their names.
_FOLDERS = ("Default", "Default/Network", "Default/Sessions")


def inspect(profile_dir: Path, scratch_root: Path) -> Inspection:
    """Look at a directory without altering it; copies go to a fresh folder below `scratch_root`.

    A live directory's stores are not opened at all. Time: some 20 ms for a fresh profile, well
    below 1 s for 300 MB.
    """
    profile_dir = profile_dir.absolute()
    if not profile_dir.is_dir():
        return Inspection(*judge(Sight(present=False)))
    sight = Sight(owners=[f"process {o.pid} {o.how}" for o in owner.owners(profile_dir.resolve())])
    if sight.owners:
        return Inspection(*judge(sight))
    with durable.disk_full_is_refused(scratch_root):
        scratch_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with durable.temporary_directory(scratch_root, "inspect-") as scratch:
        look = _Look(profile_dir, Path(scratch), sight)
        if look.leads_out():
            return Inspection(*judge(sight))
        look.layout()
        look.end()
        look.stores()
        url = last_url(profile_dir / "Default", look.fresh_scratch())
        return Inspection(*judge(sight), last_url=url, cookies=look.cookies())


class _Look:
    """One look at one directory; adds what it sees to `sight`."""

    def __init__(self, profile_dir: Path, scratch: Path, sight: Sight) -> None:
        self._dir = profile_dir
        self._scratch = scratch
        self._sight = sight
        self._copies = 0

    def leads_out(self) -> bool:
        """Whether a folder is a link: what that leads to is not looked at."""
        links = [name for name in _FOLDERS if (self._dir / name).is_symlink()]
        self._sight.unknown.extend(f"{name} is a link" for name in links)
        return bool(links)

    def layout(self) -> None:
        """Refuse to judge what is stored in a way that these checks do not know."""
        if not (self._dir / "Default").is_dir():
            self._sight.unknown.append("there is no Default profile in it")
        # Where features that are off in Chromium 156 would keep localStorage and IndexedDB.
        for pattern in (
            "Default/LocalStorage",
            "Default/IndexedDB/**/*.sqlite*",
            "Default/IndexedDB/**/*.db",
        ):
            for path in self._dir.glob(pattern):
                self._sight.unknown.append(f"{self._name(path)} is a store of an unknown layout")

    def end(self) -> None:
        """How Chrome says it ended. Only all signs together count; any one alone lies sometimes."""
        unfinished = self._sight.unfinished
        link = owner.singleton(self._dir)
        if link and link.foreign:
            self._sight.unknown.append(f"SingletonLock names another machine, {link.host}")
        unfinished.extend(
            f"{name} was left behind"
            for name in ("SingletonLock", "SingletonSocket", "SingletonCookie")
            if (self._dir / name).is_symlink()
        )
        exit_type = _at(self._json("Default/Preferences"), "profile", "exit_type")
        if exit_type != "Normal":
            unfinished.append(f"exit_type is {exit_type or 'not recorded'}")
        stable = _at(self._json("Variations"), "user_experience_metrics.stability.exited_cleanly")
        if stable is not True:
            unfinished.append("Variations does not say that it exited cleanly")

    def stores(self) -> None:
        """Every SQLite and LevelDB store that holds more than a cache."""
        if not any((self._dir / name).is_file() for name in cookies.PLACES):
            self._sight.damage.append("Default/Cookies is missing")
        known = {self._dir / name for name in _KNOWN}
        for folder, names in _folders(self._dir):
            for name in sorted(names):
                path = folder / name
                if path in known or _has_magic(path):
                    self._database(path)
            if leveldb.is_database(names) or folder == self._dir / "Default/Local Storage/leveldb":
                problem = leveldb.check(folder)
                if problem:
                    self._sight.damage.append(f"{self._name(folder)}: {problem}")

    def cookies(self) -> int | None:
        """How many cookies are stored; None when that cannot be read."""
        for name in cookies.PLACES:
            if (self._dir / name).is_file():
                try:
                    with sqlite.opened(self._dir / name, self.fresh_scratch()) as connection:
                        return int(connection.execute("SELECT count(*) FROM cookies").fetchone()[0])
                except sqlite3.Error:
                    return None
        return None

    def fresh_scratch(self) -> Path:
        """An empty folder: databases of one name must not meet each other's sidecars."""
        self._copies += 1
        folder = self._scratch / str(self._copies)
        with durable.disk_full_is_refused(folder):
            folder.mkdir()
        return folder

    def _database(self, path: Path) -> None:
        found = sqlite.check(path, self.fresh_scratch())
        if found.problem:
            self._sight.damage.append(f"{self._name(path)}: {found.problem}")
        if found.unseen:
            self._sight.unknown.append(f"{self._name(path)} {found.unseen}")
        if found.left_over:
            self._sight.unfinished.append(f"{found.left_over} was left behind")

    def _json(self, name: str) -> Any:
        """A JSON file's content; None when it is not there. One that does not parse is damage."""
        try:
            return json.loads(plain.read(self._dir / name))
        except FileNotFoundError:
            return None
        except plain.NotPlain as error:
            self._sight.damage.append(str(error))
            return None
        except ValueError:
            self._sight.damage.append(f"{name} does not parse")
            return None

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._dir))


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not is_cache(name))
        yield Path(folder), set(names)


def _has_magic(path: Path) -> bool:
    try:
        with plain.opened(path) as file:
            return file.read(len(sqlite.MAGIC)) == sqlite.MAGIC
    except (plain.NotPlain, FileNotFoundError):
        return False
    except OSError:
        return True  # it may be one, and the check tells why it cannot be read


def _at(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
