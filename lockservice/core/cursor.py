"""How far a stream of profiles got, as text that its reader hands in again to go on. Opaque to readers."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from tenure.errors import InvalidField
from tenure.names import ProfileName

_FORM = "1"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stream shows: a tenant's profiles, or one of them; and whether the queues too."""

    tenant: str
    profile: ProfileName | None = None
    queues: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose revisions a cursor counts: one etcd cluster's, in one epoch. A restore changes both."""

    cluster: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """All of `scope` up to `revision` was sent."""

    origin: Origin
    scope: Scope
    revision: int

    def __str__(self) -> str:
        name = self.scope.profile.profile if self.scope.profile else ""
        parts = (
            _FORM,
            self.origin.cluster,
            self.origin.epoch,
            self.revision,
            self.scope.tenant,
            name,
            int(self.scope.queues),
        )
        return base64.urlsafe_b64encode("/".join(map(str, parts)).encode()).decode().rstrip("=")


def parse(text: str) -> Cursor | None:
    """Read a cursor; None for "". Raises InvalidField for what was never a bookmark."""
    if not text:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        plain = base64.b64decode(padded, b"-_", validate=True).decode("ascii")
        form, cluster, epoch, revision, tenant, name, queues = plain.split("/")
        cursor = Cursor(
            Origin(cluster, int(epoch)),
            Scope(tenant, ProfileName(tenant, name) if name else None, queues == "1"),
            int(revision),
        )
        if form == _FORM and str(cursor) == text:
            return cursor
    except (binascii.Error, ValueError):
        pass
    raise InvalidField(
        field="resume_cursor",
        value=text,
        problem="is not one that was answered",
        remedy="send the last bookmark as it came, or leave it out for a snapshot",
    )
