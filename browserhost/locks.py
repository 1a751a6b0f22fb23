"""The lock service, as this host asks it."""

from __future__ import annotations

from browserhost.reporter import Reporter
from browserhost.verifier import Proof, Verifier
from servicekit.channels import Channels
from tenure.errors import OutcomeUnknown, StoreUnavailable
from tenure.internal.v1.lock_service_pb2 import LocateProfileRequest
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import PROFILE_STATE_AVAILABLE, PROFILE_STATE_RETRY

ANSWER_S = 4.0


class Locks:
    """Verifies, reports, and asks whether a profile is free. Owned: `aclose` when done."""

    def __init__(self, stub: LockServiceStub, channels: Channels, host: str) -> None:
        self._stub = stub
        self._channels = channels
        self._host = host
        self._verifier = Verifier(stub, channels, host)
        self._reporter = Reporter(stub, channels)

    async def verify(self, name: ProfileName, token: int) -> Proof:
        """Whether a token is current. Raises StoreUnavailable."""
        return await self._verifier.verify(name, token)

    async def suspect(self, name: ProfileName, token: int, cause: str, detail: str) -> bool:
        """Make a hold suspect, however long it takes; whether it is an incident now."""
        return await self._reporter.suspect(name, token, cause, detail)

    async def free_here(self, name: ProfileName) -> int | None:
        """The profile's revision when nobody holds it and this is its home, else None.

        Raises StoreUnavailable.
        """
        request = LocateProfileRequest(profile=str(name))
        try:
            found = await self._channels.invoke(self._stub.LocateProfile, request, timeout=ANSWER_S)
        except OutcomeUnknown as error:
            raise StoreUnavailable(f"The lock service does not answer: {error}") from error
        free = (PROFILE_STATE_AVAILABLE, PROFILE_STATE_RETRY)
        return found.revision if found.home == self._host and found.state in free else None

    async def aclose(self) -> None:
        """Give up on what is not answered."""
        await self._verifier.aclose()
