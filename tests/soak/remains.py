"""What a system has of the machine: processes, descriptors, temporary files, displays, control groups."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from browserhost import cgroup
from tenure import processes, sandbox
from tests.fixtures.census import command_of, keepers_in
from tests.fixtures.system import RunningSystem

_OTHERS = ("lockservice", "gateway", "recovery")


@dataclass(frozen=True, slots=True)
class Remains:
    """At one moment. `descriptors`: the host's; `others`: those of the other services; `bytes`: the host's
    resident memory; `displays`: X servers; `temporary`: entries of the browsers' temporary directory."""

    processes: int
    displays: int
    descriptors: int
    others: int
    bytes: int
    temporary: int
    groups: int

    def __str__(self) -> str:
        facts = asdict(self)
        facts["bytes"] = f"{self.bytes >> 20} MB"
        return " · ".join(f"{name} {value}" for name, value in facts.items())


def look(system: RunningSystem, tmp: Path) -> Remains:
    """Count. The host and the others must run."""
    host = system.part("browserhost")
    table = processes.table()
    kept = [
        one for keeper in keepers_in(table, system) for one in (keeper, *processes.below(keeper.pid, table))
    ]
    below = {each.pid: each for each in (*processes.below(host, table), *kept) if each.runs}.values()
    return Remains(
        processes=len(below),
        displays=sum(each.name == "Xvfb" for each in below),
        descriptors=_descriptors(host),
        others=sum(_descriptors(system.part(each)) for each in _OTHERS),
        bytes=_resident(host),
        temporary=sum(1 for each in tmp.iterdir() if not _is_keepers(each)),
        groups=len(groups(system)),
    )


def strays(system: RunningSystem) -> list[str]:
    """Xvfb, Chrome and keepers of this system that belong to no live host: orphans."""
    table = processes.table()
    roots = [system.part("browserhost"), *(each.pid for each in keepers_in(table, system))]
    owned = {each.pid for root in roots for each in processes.below(root, table)} | set(roots)
    mine = {int(line.split()[0]) for line in system.processes()}
    names = {"Xvfb", "chromium"}
    found = [each for each in table if each.runs and each.pid in mine - owned]
    return [
        f"{each.pid} {each.name}"
        for each in found
        if each.name in names or any("keeper.py" in word for word in command_of(each))
    ]


def groups(system: RunningSystem) -> list[Path]:
    """The control groups of this system's browsers."""
    return [group for place in _places(system) for group in cgroup.groups(place)]


def _places(system: RunningSystem) -> list[Path]:
    file = system.data_root / "host.json"
    if not file.exists():
        return []
    host = file.read_text().split('"')[-2]
    base = sandbox.control_group()
    return [] if base is None else [base / f"tenure-{host}"]


def _is_keepers(entry: Path) -> bool:
    """The directory of the sockets at which keepers can be called stays; what is in it must not."""
    return entry.name.startswith("tenure-keepers") and not any(entry.iterdir())


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
