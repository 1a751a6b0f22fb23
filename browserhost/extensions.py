"""The extensions that a host has, and whether it has those that a profile asks for. Blocking.

What was looked at is what Chrome loads a moment later: nobody but this host's user, and root, may change it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tenure.extension import Extension
from tenure.userdata import unpacked
from tenure.userdata.unpacked import Unfit


class Lacking(Exception):
    """A host has not what is asked for. The text is a noun phrase for people."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A host's folder of unpacked extensions, by name.

    `root` is absolute and no link; None where it has none. `for_others`: browsers run as users of their own.
    """

    root: Path | None = None
    for_others: bool = False

    def find(self, wanted: Sequence[Extension]) -> None:
        """Return when all of them are here as they are asked for. Raises Lacking."""
        if not wanted:
            return
        if self.root is None:
            raise Lacking(f"a folder of extensions (extensions_dir), with {wanted[0].name} in it")
        ids: dict[str, str] = {}
        for each in wanted:
            try:
                self._refuse_open_way(self.root)
                here = unpacked.read(self.root / each.name, self._check)
                if here.digest != each.sha256:
                    raise Unfit(f"the one that is here has {here.digest}")
                if here.static_rules and (self.for_others or not os.access(self.root / each.name, os.W_OK)):
                    raise Unfit("Chrome must write beside its static rules, and may not")
                if here.id in ids:
                    raise Unfit(f"it has the key of {ids[here.id]}")
            except Unfit as why:
                raise Lacking(_named(each, str(why))) from None
            except FileNotFoundError:
                raise Lacking(_named(each, "there is none of that name")) from None
            except OSError as error:
                raise Lacking(_named(each, f"{(error.strerror or 'unknown').lower()}")) from None
            ids[here.id] = each.name

    def paths(self, wanted: Sequence[Extension]) -> tuple[Path, ...]:
        """Where they are."""
        return tuple(self.root / each.name for each in wanted) if self.root is not None else ()

    def _refuse_open_way(self, root: Path) -> None:
        """Raises Unfit where somebody else could put another folder in its place."""
        for place in (root, *root.parents):
            found = place.stat()
            if not _is_ours(found) or (_is_open(found) and not (found.st_mode & stat.S_ISVTX)):
                raise Unfit(f"others may change {place}")
            if self.for_others and not found.st_mode & stat.S_IXOTH:
                raise Unfit(f"its tenant's user may not pass {place}")
        if _is_open(root.stat()):
            raise Unfit(f"others may change {root}")

    def _check(self, path: str, found: os.stat_result) -> None:
        named = path or "its folder"
        if not _is_ours(found) or _is_open(found):
            raise Unfit(f"others may change {named}")
        needed = 0o005 if stat.S_ISDIR(found.st_mode) else 0o004
        if self.for_others and found.st_mode & needed != needed:
            raise Unfit(f"its tenant's user may not read {named}")


def _named(extension: Extension, why: str) -> str:
    return f"the extension {extension.name} with the digest {extension.sha256[:12]}… ({why})"


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid())


def _is_open(found: os.stat_result) -> bool:
    return bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not stat.S_ISLNK(found.st_mode)
