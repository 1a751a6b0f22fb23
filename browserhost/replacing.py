"""One directory put in the place of another, which is put aside and never deleted. Blocking."""

from __future__ import annotations

from pathlib import Path

from browserhost import durable


def put_aside(place: Path, aside: Path) -> Path:
    """Move a directory out of the way, to `aside` with a number that is not taken; answers where to.

    Nothing here ever removes it.
    """
    durable.make_directory(aside.parent)
    number = 0
    while (target := aside.with_name(f"{aside.name}-{number}")).exists():
        number += 1
    place.rename(target)
    durable.sync_directory(aside.parent)
    durable.sync_directory(place.parent)
    return target


def put_in_place(staged: Path, place: Path) -> None:
    """Give a directory that is whole and on disk its place, where there is none."""
    durable.make_directory(place.parent)
    staged.rename(place)
    durable.sync_directory(place.parent)
