"""How a host keeps its browsers apart: as whom each runs, in which control group, and whose its files are."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from browserhost import cgroup, uids
from browserhost.paths import DataRoot, ProfilePaths
from browserhost.uids import Uids
from servicekit.server import CannotStart
from tenure import sandbox
from tenure.sandbox import Isolation, Plan

_X_SOCKETS = Path("/tmp/.X11-unix")

_log = structlog.get_logger("apart")


class NotApart(CannotStart):
    """A sandbox is wanted and cannot be had. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Room:
    """A browser's: uid and gid, None for the host's own; its control group, empty for the host's."""

    user: tuple[int, int] | None = None
    cgroup: str = ""


@dataclass(frozen=True, slots=True)
class Apart:
    """What a host does by its `plan`. `groups` is where its control groups are, None where it has none."""

    plan: Plan
    root: DataRoot | None = None
    ids: Uids | None = None
    groups: Path | None = None
    tenants: range = range(0)
    """The ids that tenants may have, though none is given any now."""

    @classmethod
    def found(
        cls,
        wanted: sandbox.Wanted,
        root: DataRoot,
        *programs: str,
        tmp: Path,
        ids: range,
        groups: str,
        host: str,
    ) -> Apart:
        """What this machine allows, said in the log. Blocks for some 10 ms. Raises NotApart.

        `programs` are what browsers run, `tmp` is where they have their temporary files, `ids` are for
        tenants, `groups` as in cgroup.find, `host` this host's id.
        """
        facts = sandbox.facts([root.path, tmp / "any"], programs)
        try:
            plan = sandbox.plan(wanted, facts)
        except sandbox.CannotBeHad as error:
            raise NotApart(str(error)) from error
        place = cgroup.find(groups, host)
        per_tenant = plan.isolation is Isolation.USER_PER_TENANT
        if per_tenant and not _X_SOCKETS.exists():
            # An X server that is not root could not make it.
            _X_SOCKETS.mkdir(exist_ok=True)
            _X_SOCKETS.chmod(0o1777)
        tell = _log.warning if plan.reason else _log.info
        tell(
            "browsers run",
            as_whom=plan.isolation.value,
            why=plan.reason or None,
            remedy=plan.remedy or None,
            cgroup=str(place) if place is not None else None,
        )
        given = Uids(root.path / "uids.json", ids) if per_tenant else None
        return cls(plan, root, given, place, ids)

    def room(self, paths: ProfilePaths) -> Room:
        """Make ready for a browser on a profile: its files are its user's. Blocks; nothing may run there.

        Idempotent. Raises DiskFull, uids.NoMoreIds, OSError.
        """
        group = ""
        if self.groups is not None:
            group = str(self.groups / f"{paths.name.tenant}.{paths.name.profile}.{secrets.token_hex(4)}")
        if self.ids is None or self.root is None:
            # One that a tenant had is taken back whole: whoever has the folder has everything in it, or a
            # next time would pass over what is made from now on.
            if os.geteuid() == 0 and paths.profile_dir.stat().st_uid in self.tenants:
                uids.own(paths.profile_dir, 0)
            return Room(cgroup=group)
        uid = self.ids.of(paths.name.tenant)
        uids.open_the_way(paths.profile_dir, self.root.path)
        if uids.own(paths.profile_dir, uid):
            _log.info("files are their tenant's now", profile=str(paths.name), uid=uid)
        return Room((uid, uid), group)

    def leave(self) -> None:
        """Remove the directory of the control groups, unless browsers outlive us. Blocks. Idempotent."""
        if self.groups is not None:
            with suppress(OSError):
                self.groups.rmdir()


HERE = Apart(Plan(Isolation.NONE, "nobody asked"))
"""As this process runs, in no group of its own."""
