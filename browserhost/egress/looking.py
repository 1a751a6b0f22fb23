"""`python -m browserhost.egress.looking FILE`: what is wrong with a proxies file before a host is told of it.

Prints a JSON list of what a person should know, each with what to do; nothing of any secret is in it. It goes
by who asks: run it as the host's user, with the host's environment.
"""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from browserhost.egress import proxies, regular
from browserhost.egress.credentials import Secret, Unreadable
from browserhost.egress.proxies_file import PLACES, Entry
from browserhost.egress.regular import NotRegular

_REMEDIES = {"file": "write it there, for the host's user alone", "environment": "set it where the host is"}
_NAME_A_FILE = "name a file"


@dataclass(frozen=True, slots=True)
class Problem:
    """`what` is a clause, without a full stop; so is `remedy`."""

    what: str
    remedy: str


def look(file: Path) -> list[Problem]:
    """All that is wrong with a file and what it names. Does not raise."""
    try:
        entries = proxies.read(file)
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        return [Problem(f"'{file}' cannot be read: {why}", _remedy(error))]
    except ValueError as error:
        return [Problem(f"'{file}' {error}", "write it as docs/operations.md has it")]
    found = list(_open_to_others(file))
    if not entries:
        found.append(Problem(f"'{file}' has no upstream", "write a table for a proxy key, or for *"))
    for key, entry in entries.items():
        found += (Problem(f'["{key}"]: {each.what}', each.remedy) for each in _of_entry(entry))
    return found


def _of_entry(entry: Entry) -> Iterator[Problem]:
    for name, secret in (("user", entry.user), ("password", entry.password)):
        if secret is not None and not _has_places(secret):
            yield from _of_secret(name, secret)
    if entry.ca_file is not None:
        try:
            regular.read(Path(entry.ca_file), 1)
        except OSError as error:
            yield Problem(f"ca_file '{entry.ca_file}' cannot be read", _remedy(error))


def _of_secret(name: str, secret: Secret) -> Iterator[Problem]:
    try:
        secret.read()
    except Unreadable as error:
        remedy = _REMEDIES.get(secret.kind, "write it anew")
        # What is there already, and is no file, cannot be written to.
        if secret.kind == "file" and _is_no_file(Path(secret.place)):
            remedy = _NAME_A_FILE
        yield Problem(f"its {name}: {error}", remedy)
        return
    if secret.kind == "file":
        yield from _open_to_others(Path(secret.place))


def _is_no_file(path: Path) -> bool:
    """Whether there is something of that name, which is none."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _remedy(error: OSError) -> str:
    """What to do about a file that cannot be read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "name the file that is there"
    if isinstance(error, IsADirectoryError | NotRegular):
        return _NAME_A_FILE
    return "make it readable for the host's user"


def _has_places(secret: Secret) -> bool:
    """Whether it is another for each city and the like."""
    return secret.kind == "text" and any(f"{{{place}}}" in secret.place for place in PLACES)


def _open_to_others(path: Path) -> Iterator[Problem]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o007 or mode & 0o020:
        may = "written" if mode & 0o022 else "read"
        yield Problem(f"'{path}' may be {may} by others ({mode:04o})", f"chmod 640 '{path}'")


def main(arguments: list[str]) -> None:
    """Print what is wrong with the file that is named."""
    [file] = arguments
    print(json.dumps([asdict(each) for each in look(Path(file))]))


if __name__ == "__main__":
    main(sys.argv[1:])
