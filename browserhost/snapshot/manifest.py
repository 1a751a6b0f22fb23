"""What is known of a snapshot, as it is stored beside it and as the API tells it. Pure."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, fields

from google.protobuf.timestamp_pb2 import Timestamp

from tenure.names import ProfileName
from tenure.v1.profile_pb2 import Snapshot, SnapshotCause

CLOSED, ASKED, BEFORE_RESTORE, IMPORTED = "CLOSED", "ASKED", "BEFORE_RESTORE", "IMPORTED"
_ID = re.compile(r"\d{16}-\d{1,6}")


class Unreadable(Exception):
    """A manifest is not one that was written here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One snapshot. Times in seconds since 1970, sizes in bytes.

    `generation`: the last token under which a browser was driven on the directory before. `verified_at`: when
    it was unpacked and found equal, without which there is no manifest. `cookies`: None where they could not
    be counted. `cause` as in the API.
    """

    id: str
    generation: int
    created_at: float
    verified_at: float
    digest: str
    size: int
    stored: int
    cause: str
    cookies: int | None = None
    chrome: str = ""
    findings: tuple[str, ...] = ()

    def message(self, profile: ProfileName, host: str) -> Snapshot:
        """As the API tells it."""
        return Snapshot(
            name=f"{profile}/snapshots/{self.id}",
            generation=self.generation,
            create_time=_timestamp(self.created_at),
            verify_time=_timestamp(self.verified_at),
            digest=self.digest,
            size_bytes=self.size,
            stored_bytes=self.stored,
            cookies=self.cookies,
            chrome_version=self.chrome,
            cause=SnapshotCause.Value(f"SNAPSHOT_CAUSE_{self.cause}"),
            findings=self.findings,
            host=host,
        )


def new_id(generation: int, number: int) -> str:
    """The id of a snapshot of a generation, the `number`th. In text order newest is last."""
    return f"{generation:016d}-{number}"


def is_id(text: str) -> bool:
    """Whether it can be the id of a snapshot: then it is a file's name too, and nothing else."""
    return _ID.fullmatch(text) is not None


def encode(manifest: Manifest) -> bytes:
    """As it is stored."""
    return json.dumps(asdict(manifest)).encode()


def decode(content: bytes) -> Manifest:
    """What was stored. Raises Unreadable. What a later version wrote beyond that is passed over."""
    try:
        stored = json.loads(content)
        values = {each.name: stored[each.name] for each in fields(Manifest) if each.name in stored}
        values["findings"] = tuple(str(each) for each in values.get("findings", ()))
        found = Manifest(**values)
        cookies = 0 if found.cookies is None else found.cookies
        numbers = (found.generation, found.created_at, found.verified_at, found.size, found.stored, cookies)
        if is_id(found.id) and all(math.isfinite(each) for each in numbers):
            return found
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(str(error)) from error
    raise Unreadable(f"{found.id!r} is no snapshot of ours")


def _timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(seconds * 1e9))
    return stamp
