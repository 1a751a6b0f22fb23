"""What a person does about a profile's directory: copies of it, an import, how its browser looks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask

from tenure.errors import InvalidField, TenureError, Unavailable, from_rpc_error
from tenure.hold import CALL_TIMEOUT_S
from tenure.housing import MOVE_TIMEOUT_S, Housing
from tenure.retry import call, call_again
from tenure.v1 import profile_pb2, profile_service_pb2

_PAGE = 1000


class InUse(InvalidField):
    """A user-data-dir has a browser on it: what is read of it then is damaged. Never on the wire."""

    reason = "INVALID_FIELD"


class Custody(Housing):
    """The calls about directories. Every one may raise PermissionDenied and Unavailable."""

    async def snapshots(self, profile: str) -> list[profile_pb2.Snapshot]:
        """A profile's snapshots, newest first. Raises NotFound."""
        found: list[profile_pb2.Snapshot] = []
        request = profile_service_pb2.ListSnapshotsRequest(profile=profile, page_size=_PAGE)
        while True:
            page = await call_again(
                self._profiles.ListSnapshots, request, timeout=CALL_TIMEOUT_S, again=_store_is_away
            )
            found.extend(page.snapshots)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def take_snapshot(
        self, profile: str, reason: str, *, timeout: float = MOVE_TIMEOUT_S
    ) -> profile_pb2.Snapshot:
        """Close a free profile's browser and take a snapshot; it is verified when this returns.

        Raises NotFound, ProfileBusy and what else is not free, ProfileCorrupt, ProfileMissing, DiskFull.
        """
        request = profile_service_pb2.TakeSnapshotRequest(profile=profile, reason=reason)
        return (await call(self._profiles.TakeSnapshot, request, timeout=timeout)).snapshot

    async def restore(
        self, profile: str, snapshot: str, reason: str, *, etag: str = "", timeout: float = MOVE_TIMEOUT_S
    ) -> profile_service_pb2.RestoreProfileResponse:
        """Put a snapshot in the place of a profile's directory, which is put aside. Idempotent by etag.

        The profile must be DISABLED or in MANUAL_REVIEW, and stays so. Raises InvalidField (snapshot, etag,
        or a profile in use), NotFound, ProfileCorrupt for a snapshot that is, DiskFull.
        """
        request = profile_service_pb2.RestoreProfileRequest(
            profile=profile, snapshot=snapshot, reason=reason, etag=etag
        )
        return await call(self._profiles.RestoreProfile, request, timeout=timeout)

    async def import_profile(
        self, profile: str, directory: Path, reason: str, *, timeout: float = MOVE_TIMEOUT_S
    ) -> profile_service_pb2.ImportProfileResponse:
        """Make a new profile of a user-data-dir on this machine, which is only read. Caches stay behind.

        Raises InUse when a process of this machine has it open, InvalidField when the profile was used
        already, ProfileBusy, ProfileCorrupt, QuotaExceeded, NoRoom, DiskFull; then nothing was imported.
        """
        # Whoever imports nothing need not wait for this.
        from tenure.userdata import archive

        directory = await asyncio.to_thread(_closed, directory)
        header = profile_service_pb2.ImportProfileHeader(profile=profile, reason=reason)
        sending = self._profiles.ImportProfile(timeout=timeout)
        parts = archive.pack(directory)
        try:
            await sending.write(profile_service_pb2.ImportProfileRequest(header=header))
            while part := await asyncio.to_thread(next, parts, b""):
                await sending.write(profile_service_pb2.ImportProfileRequest(chunk=part))
            await sending.done_writing()
            return await sending
        except (archive.Changed, FileNotFoundError) as error:
            raise _in_use(directory, f"a file in it changed while it was read: {error}") from None
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.InvalidStateError:
            # It has ended before all was sent, and says why.
            raise await _why(sending) from None
        finally:
            sending.cancel()  # nothing, once it has ended

    async def configure(
        self,
        profile: profile_pb2.Profile,
        *,
        browser: profile_pb2.BrowserConfig | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> profile_pb2.Profile:
        """Change how a profile's browser looks, or its labels; None leaves them. `profile` as it was read.

        A live browser that looks otherwise is closed at its next hand-over. Raises NotFound, InvalidField.
        """
        wanted = profile_pb2.Profile(name=profile.name, etag=profile.etag)
        paths = []
        if browser is not None:
            wanted.browser_config.CopyFrom(browser)
            paths.append("browser_config")
        if labels is not None:
            wanted.labels.update(labels)
            paths.append("labels")
        request = profile_service_pb2.UpdateProfileRequest(profile=wanted, update_mask=FieldMask(paths=paths))
        return (await call_again(self._profiles.UpdateProfile, request, timeout=CALL_TIMEOUT_S)).profile


def _closed(directory: Path) -> Path:
    """The directory, whole and with nobody on it, as far as this machine can tell."""
    from tenure.userdata import owner

    directory = directory.expanduser().resolve()
    if not (directory / "Default").is_dir():
        raise InvalidField(
            field="directory",
            value=str(directory),
            problem="is no user-data-dir: there is no Default profile in it",
            remedy="name the folder that Chrome's chrome://version calls Profile Path, without its last part",
        )
    if found := owner.owners(directory):
        raise _in_use(directory, f"process {found[0].pid} {found[0].how}")
    link = owner.singleton(directory)
    if link is not None and link.foreign:
        raise _in_use(directory, f"its lock names another machine, {link.host}")
    return directory


def _in_use(directory: Path, problem: str) -> InUse:
    return InUse(
        field="directory",
        value=str(directory),
        problem=f"is in use: {problem}",
        remedy="end that browser first, or import a copy that was made while it was closed",
    )


async def _why(sending: Any) -> TenureError:
    try:
        await sending
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    return Unavailable("The import ended before all was sent.")


def _store_is_away(error: TenureError) -> bool:
    return isinstance(error, Unavailable) and error.reason != "HOST_UNREACHABLE"
