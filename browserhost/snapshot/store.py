"""One profile's snapshots on disk. Blocking: call it in a thread.

A snapshot counts from when its manifest is on disk, which is written last of all; a file without one is
half a snapshot, and removed at the next start.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import zstandard

from browserhost import durable
from browserhost.snapshot import manifest as manifests
from browserhost.snapshot.manifest import Manifest
from tenure.userdata import archive
from tenure.userdata.archive import NotAProfile
from tenure.userdata.contents import Tally, digest

LEVEL = 3

_log = structlog.get_logger("snapshots")


class Interrupted(Exception):
    """The directory is wanted for something else; nothing of the snapshot is left."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive that is no snapshot yet. Sizes in bytes."""

    id: str
    path: Path
    digest: str
    size: int
    stored: int


class Store:
    """`folder` is this profile's alone, and need not be there yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Manifest]:
        """Those that count, newest first."""
        found = [each for path in self._folder.glob("*.json") if (each := self._read(path)) is not None]
        return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)

    def find(self, wanted: str) -> Manifest | None:
        """The one of that id; None also for what can be no id."""
        return self._read(self._manifest(wanted)) if manifests.is_id(wanted) else None

    def pack(self, directory: Path, generation: int, wanted: Callable[[], bool]) -> Packed:
        """Compress a directory that nobody writes to. `wanted` is asked at each MiB, from this thread.

        Raises Interrupted once it is wanted, DiskFull, archive.Changed; then nothing is left.
        """
        name = self._free_id(generation)
        spool, tally = self._spool(name), Tally()
        with durable.disk_full_is_refused(self._folder):
            durable.make_directory(self._folder)
            try:
                with spool.open("xb") as file:
                    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
                    with compressor.stream_writer(file, closefd=False) as compressed:
                        for part in archive.pack(directory, tally):
                            if wanted():
                                raise Interrupted
                            compressed.write(part)
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                spool.unlink(missing_ok=True)
                raise
        return Packed(name, spool, tally.digest(), tally.size, spool.stat().st_size)

    def unpack(self, path: Path, wanted: str, *, lasting: bool = False) -> Path:
        """What an archive has, as a directory of digest `wanted`: on disk if it is to be `lasting`. Whoever
        is done with it calls `clear`, also when it was renamed.

        Raises NotAProfile for any other content, DiskFull; then nothing of it is left.
        """
        folder = self._folder / f".{path.name}.unpacked"
        self.clear(folder)
        try:
            with durable.disk_full_is_refused(self._folder):
                folder.mkdir(mode=0o700)
                with path.open("rb") as file:
                    content = zstandard.ZstdDecompressor().stream_reader(file)
                    archive.unpack(content, folder, durable=lasting)
                there, _ = digest(folder)
            if there != wanted:
                raise NotAProfile(f"its digest is {there}, not {wanted}")
        except zstandard.ZstdError as error:
            self.clear(folder)
            raise NotAProfile(f"it cannot be decompressed: {error}") from error
        except BaseException:
            self.clear(folder)
            raise
        return folder

    def clear(self, folder: Path) -> None:
        """Remove what was unpacked: a copy that nobody ever opened. Does not raise."""
        shutil.rmtree(folder, ignore_errors=True)

    def archive(self, manifest: Manifest) -> Path:
        """Where a snapshot's archive is."""
        return self._folder / f"{manifest.id}.tar.zst"

    def keep(self, packed: Packed, manifest: Manifest) -> None:
        """Make an archive count. Raises DiskFull."""
        with durable.disk_full_is_refused(self._folder):
            packed.path.rename(self.archive(manifest))
            durable.sync_directory(self._folder)
        durable.write(self._manifest(manifest.id), manifests.encode(manifest))

    def drop(self, packed: Packed) -> None:
        """Remove an archive that is not to count."""
        packed.path.unlink(missing_ok=True)

    def prune(self, stay: set[str]) -> list[str]:
        """Remove those that need not stay; their ids. First the manifest, so that no half of one counts."""
        gone = [each for each in self.all() if each.id not in stay]
        for each in gone:
            self._manifest(each.id).unlink(missing_ok=True)
            self.archive(each).unlink(missing_ok=True)
        return [each.id for each in gone]

    def sweep(self) -> None:
        """Remove what an earlier host left half made, before anything else is done here. Does not raise."""
        try:
            names = {path.name for path in self._folder.iterdir()}
        except OSError:
            return
        for name in names:
            archived = name.removesuffix(".tar.zst")
            if name.startswith(".") or (archived != name and f"{archived}.json" not in names):
                path = self._folder / name
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _read(self, path: Path) -> Manifest | None:
        content = durable.read(path)
        if content is None:
            return None
        try:
            found = manifests.decode(content)
        except manifests.Unreadable as error:
            _log.error("manifest cannot be read", path=str(path), why=str(error))
            return None
        return found if f"{found.id}.json" == path.name and self.archive(found).is_file() else None

    def _free_id(self, generation: int) -> str:
        number = 0
        while True:
            name = manifests.new_id(generation, number)
            # One that is being checked has no manifest yet, and may get one any moment.
            if not any(each.exists() for each in (self._manifest(name), self._spool(name))):
                return name
            number += 1

    def _spool(self, name: str) -> Path:
        return self._folder / f".{name}.new"

    def _manifest(self, name: str) -> Path:
        return self._folder / f"{name}.json"
