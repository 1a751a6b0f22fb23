"""Which Chrome wrote a profile last, which one is installed, and whether that one may start on it.

An older Chrome does not refuse a newer one's profile: it reads what it can of it, and signs people out.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

from browserhost import chrome
from browserhost.inspect import plain
from tenure.errors import BrowserMissing

ANSWER_S = 10.0
_NUMBERS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,7}")


def last(profile_dir: Path) -> str:
    """The version that ran on a directory last, as Chrome itself wrote it; empty when it did not."""
    try:
        with plain.opened(profile_dir / "Last Version") as file:
            found = _NUMBERS.search(file.read(64).decode("ascii", "replace"))
    except OSError:
        return ""
    return found[0] if found else ""


def is_older(installed: str, wrote: str) -> bool:
    """Whether a version is below the one that wrote a profile; what is no version is below none."""
    one, other = _numbers(installed), _numbers(wrote)
    return bool(one and other) and one < other


def _numbers(version: str) -> tuple[int, ...]:
    found = _NUMBERS.fullmatch(version)
    return tuple(int(each) for each in version.split(".")) if found else ()


class Installed:
    """The versions of programs, each asked for once as long as its file is the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], str] = {}

    async def version(self, program: str) -> str:
        """What a program calls its version; empty when it cannot be had. Raises BrowserMissing."""
        found = _NUMBERS.search(await self.told(program))
        return found[0] if found else ""

    async def told(self, program: str) -> str:
        """Its name and its version, in its words; empty when they cannot be had. Raises BrowserMissing."""
        path = chrome.chrome_path(program)
        try:
            status = Path(path).stat()
        except OSError:
            raise BrowserMissing(program=program) from None
        key = (path, status.st_mtime_ns, status.st_ino)
        if key not in self._known and (told := await _asked(path)):
            self._known[key] = told
        return self._known.get(key, "")


async def _asked(path: str) -> str:
    process = await asyncio.create_subprocess_exec(
        path,
        "--version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    told = b""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return told.decode("ascii", "replace").strip()
