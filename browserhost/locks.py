"""The lock service, as this host asks it."""

from __future__ import annotations

from browserhost.reporter import Reporter
from browserhost.verifier import Proof, Verifier
from browserhost.whereabouts import Whereabouts
from servicekit.channels import Channels
from tenure.errors import OutcomeUnknown, StoreUnavailable
from tenure.internal.v1.lock_service_pb2 import LocateProfileRequest
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.names import ProfileName

ANSWER_S = 4.0


class Locks:
    """Verifies, reports, and asks where a profile is at home. Owned: `aclose` when done."""

    def __init__(self, stub: LockServiceStub, channels: Channels, host: str) -> None:
        self._stub = stub
        self._channels = channels
        self._verifier = Verifier(stub, channels, host)
        self._reporter = Reporter(stub, channels)

    async def verify(self, name: ProfileName, token: int) -> Proof:
        """Whether a token is current. Raises StoreUnavailable."""
        return await self._verifier.verify(name, token)

    async def suspect(self, name: ProfileName, token: int, cause: str, detail: str) -> bool:
        """Make a hold suspect, however long it takes; whether it is an incident now."""
        return await self._reporter.suspect(name, token, cause, detail)

    async def locate(self, name: ProfileName) -> Whereabouts:
        """Where a profile is at home, and how it stands there. Raises StoreUnavailable."""
        request = LocateProfileRequest(profile=str(name))
        try:
            found = await self._channels.invoke(self._stub.LocateProfile, request, timeout=ANSWER_S)
        except OutcomeUnknown as error:
            raise StoreUnavailable(f"The lock service does not answer: {error}") from error
        return Whereabouts(found.home, found.state, found.revision, found.used, found.epoch)

    async def aclose(self) -> None:
        """Give up on what is not answered."""
        await self._verifier.aclose()
