"""Where a host keeps what: profiles, and beside each profile, not in it, what proves who may use it.

    {data_root}/host.json                                  who this host is, minted once
    {data_root}/host.lock                                  flocked by the one host that runs here
    {data_root}/keepers/                                   sockets: where live browsers' keepers are called
    {data_root}/tenants/{t}/chrome-profile/{p}/            the user-data-dir; nothing here deletes it
    {data_root}/tenants/{t}/custody/{p}/{floor,marker,lock,findings,retired}
    {data_root}/tenants/{t}/evidence/{p}/{token}/          what was witnessed under each token
    {data_root}/tenants/{t}/incoming/{p}/                  what comes from another host, until it is verified
    {data_root}/tenants/{t}/aside/{p}/{revision}-{n}/      directories that others took the place of, for good
    {data_root}/tenants/{t}/snapshots/{p}/{generation}-{n}.{tar.zst,json}
                                                           copies of the closed directory

Ids are made canonical here once more, whoever calls, and a path that a symbolic link leads
out of its tenant's folder is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tenure import token as tokens
from tenure.errors import InvalidField, InvalidId
from tenure.names import (
    EvidenceName,
    ProfileName,
    SessionName,
    canonical_id,
    resolve_evidence,
    resolve_profile,
    resolve_session,
)


@dataclass(frozen=True, slots=True)
class ProfilePaths:
    """One profile's places."""

    name: ProfileName
    profile_dir: Path
    custody_dir: Path
    evidence_dir: Path
    staging_dir: Path
    aside_dir: Path
    snapshots_dir: Path

    @property
    def floor(self) -> Path:
        return self.custody_dir / "floor"

    @property
    def marker(self) -> Path:
        return self.custody_dir / "marker"

    @property
    def lock(self) -> Path:
        return self.custody_dir / "lock"

    @property
    def findings(self) -> Path:
        return self.custody_dir / "findings"

    @property
    def retired(self) -> Path:
        return self.custody_dir / "retired"


@dataclass(frozen=True, slots=True)
class DataRoot:
    """A host's data directory; `path` is absolute and has no symbolic link in it."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> DataRoot:
        return cls(path.expanduser().resolve())

    @property
    def host_file(self) -> Path:
        return self.path / "host.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "host.lock"

    @property
    def keepers(self) -> Path:
        """Where the keepers of live browsers are called."""
        return self.path / "keepers"

    def profile(self, name: ProfileName) -> ProfilePaths:
        """The places of a profile. Raises InvalidId for an id or a link that leads elsewhere."""
        tenant, profile = canonical_id(name.tenant, "tenant"), canonical_id(name.profile, "profile")
        tenant_dir = self.path / "tenants" / tenant
        paths = ProfilePaths(
            ProfileName(tenant, profile),
            tenant_dir / "chrome-profile" / profile,
            tenant_dir / "custody" / profile,
            tenant_dir / "evidence" / profile,
            tenant_dir / "incoming" / profile,
            tenant_dir / "aside" / profile,
            tenant_dir / "snapshots" / profile,
        )
        places = (
            paths.profile_dir,
            paths.custody_dir,
            paths.evidence_dir,
            paths.staging_dir,
            paths.aside_dir,
            paths.snapshots_dir,
        )
        for place in places:
            # `resolve` follows every link on the way, so equality says that there is none.
            if place.resolve() != place:
                raise InvalidId(
                    field="profile",
                    value=name.profile,
                    problem="leads out of its tenant's folder through a symbolic link",
                    remedy=f"replace the link at {place} by a directory",
                )
        return paths

    def marked(self) -> Iterator[ProfilePaths]:
        """The profiles that have a marker, by name; custody folders that are not ours are passed over."""
        for marker in sorted(self.path.glob("tenants/*/custody/*/marker")):
            try:
                yield self.profile(ProfileName(marker.parts[-4], marker.parts[-2]))
            except InvalidId:
                continue

    def snapshotted(self) -> Iterator[ProfilePaths]:
        """The profiles that have a folder of snapshots, by name; those that are not ours are passed over."""
        for folder in sorted(self.path.glob("tenants/*/snapshots/*")):
            try:
                yield self.profile(ProfileName(folder.parts[-3], folder.parts[-1]))
            except InvalidId:
                continue

    def incoming(self) -> Iterator[Path]:
        """Where something was to come in, by name; what a link leads to is passed over."""
        places = sorted(self.path.glob("tenants/*/incoming/*"))
        return (place for place in places if place.resolve() == place)


def parse_session(name: str, token: int) -> SessionName:
    """The session of a canonical name, under its token. Raises InvalidId, InvalidField."""
    parts = name.split("/")
    # Whose tenant it is has been checked where the caller came in.
    session = resolve_session(name, canonical_id(parts[1], "session") if len(parts) > 1 else "-")
    if tokens.check(token) != session.fencing_token:
        raise InvalidField(
            field="fencing_token",
            value=str(token),
            problem=f"is not the token of {session}",
            remedy="send the token of the hold that the session was opened under",
        )
    return session


def parse_evidence(text: str) -> EvidenceName:
    """The piece of evidence of a canonical resource name. Raises InvalidId."""
    profile = parse_profile("/".join(text.split("/")[:4]))
    return resolve_evidence(text, profile.tenant)


def parse_profile(text: str) -> ProfileName:
    """The profile of a canonical resource name, as services send it to each other.

    Raises InvalidId. Whose tenant it is has been checked where the caller came in.
    """
    parts = text.split("/")
    tenant = parts[1] if len(parts) == 4 and parts[0] == "tenants" else "-"
    if tenant == "-":
        raise InvalidId(
            field="profile",
            value=text,
            problem="is not a canonical profile name",
            remedy="send tenants/{tenant}/profiles/{profile}",
        )
    name = resolve_profile(text, canonical_id(tenant, "tenant"))
    return ProfileName(canonical_id(tenant, "tenant"), name.profile, as_sent=name.as_sent)
