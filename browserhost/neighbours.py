"""What a profile and its host need: the endpoint for their clients, the lock service for their proofs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from browserhost.addresses import Addresses, Kind
from browserhost.verifier import Proof
from browserhost.whereabouts import Whereabouts
from tenure.names import ProfileName


class GrantLike(Protocol):
    """A CDP address, as `browserhost.endpoint.Grant` is one."""

    @property
    def url(self) -> str: ...

    @property
    def secret(self) -> str: ...


class Endpoint(Protocol):
    """Where CDP clients connect, as `browserhost.endpoint.CdpEndpoint`."""

    def issue(
        self,
        browser: Any,
        gate: Callable[[], None],
        on_end: Callable[[], None],
        on_call: Callable[[str], None],
        addresses: Addresses | None = None,
    ) -> GrantLike: ...

    def issue_further(self, main: str, kind: Kind, until: float) -> str: ...

    def expect(self, browser: Any) -> None: ...

    def addresses(self, main: str) -> Addresses | None: ...

    async def cut(self, secret: str, reason: str) -> None: ...

    async def hand_over(self, reason: str) -> None: ...


class LockService(Protocol):
    """What a profile asks of the lock service."""

    async def verify(self, name: ProfileName, token: int) -> Proof: ...

    async def suspect(self, name: ProfileName, token: int, cause: str, detail: str) -> bool: ...

    async def locate(self, name: ProfileName) -> Whereabouts: ...
