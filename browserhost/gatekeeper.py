"""A profile's fence in use: asks the lock service, keeps the floor on disk, says who may act now.

`queue` is the one queue for checks, dispatch and floor changes (rule 13): whoever calls `take`
holds it. Verifies are awaited without it, so that a Close can overtake one; the floor is checked
again when the answer comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from browserhost import fence as fences
from browserhost import floor as floors
from browserhost.clock import boottime
from browserhost.fence import Answer, Fence, Step
from browserhost.neighbours import LockService
from browserhost.session import State
from browserhost.tasks import in_thread
from browserhost.verifier import Proof
from browserhost.whereabouts import Whereabouts
from tenure import token as tokens
from tenure.errors import (
    DiskFull,
    HostUnreachable,
    LeaseExpired,
    ProfileQuarantined,
    StoreUnavailable,
    TenureError,
    TokenSuperseded,
)
from tenure.fencing import SERVE_S
from tenure.names import ProfileName

Drain = Callable[[int, State, str], Awaitable[None]]
"""Cuts every token at or below the first argument, and returns when nothing of it is under way."""

_log = structlog.get_logger("gatekeeper")


class Gatekeeper:
    """One profile's. `used_elsewhere`: the lock service knows of an earlier hold that drove a browser."""

    def __init__(self, name: ProfileName, path: Path, locks: LockService, host: str, drain: Drain) -> None:
        """Raises FloorUnreadable."""
        self.state = Fence(floors.load(path))
        self.queue = asyncio.Lock()
        self.used_elsewhere = False
        self._name = name
        self._path = path
        self._locks = locks
        self._host = host
        self._drain = drain
        self._over: tuple[int, TenureError] | None = None

    def gate(self, token: int) -> None:
        """Raise unless the token may act at this very moment: asked before each dispatch.

        Raises TokenSuperseded, or why the hold ended; StoreUnavailable once the last proof is too old.
        """
        answer = fences.check(self.state, token, boottime())
        if answer is Answer.SUPERSEDED:
            raise self.superseded(token)
        if answer is Answer.VERIFY:
            raise StoreUnavailable(
                f"It could not be verified for {SERVE_S:g} s that fencing_token {token} is current."
            )

    async def admit(self, token: int) -> None:
        """Return once the token has been proven; whether it still may be served, `gate` says."""
        answer = fences.check(self.state, token, boottime())
        if answer is Answer.SUPERSEDED:
            raise self.superseded(token)
        if answer is Answer.SERVE:
            return
        proof = await self.verified(token)
        async with self.queue:
            step = fences.proven(self.state, token, proof.sent_at)
            if step is None:
                raise self.superseded(token)
            await self.take(step, State.CUT, TokenSuperseded.reason)

    async def renew(self, token: int) -> None:
        """Verify again what is being served. Does not raise: without an answer the old proof runs out."""
        try:
            proof = await self.verified(token)
        except TenureError as error:
            _log.warning("not verified", profile=str(self._name), token=token, why=str(error))
            return
        async with self.queue:
            step = fences.proven(self.state, token, proof.sent_at)
            if step is not None and not step.persist:
                await self.take(step, State.CUT, TokenSuperseded.reason)

    async def verified(self, token: int) -> Proof:
        """Ask; raises why not when the token is not current, after cutting what it was served."""
        proof = await self._locks.verify(self._name, token)
        if not proof.verdict.current:
            async with self.queue:
                await self.take(fences.disproven(self.state, token), State.CUT, proof.verdict.reason)
            raise _refusal(proof.verdict.reason, self._name, token, self._host)
        self.used_elsewhere = self.used_elsewhere or proof.verdict.used
        return proof

    async def take(self, step: Step, state: State, reason: str) -> None:
        """Do what a step says, in its order. Under the queue. Raises DiskFull with nothing changed."""
        if step.persist:
            await in_thread(floors.raise_to, self._path, step.fence.floor)
        self.state = step.fence
        await self._drain(step.cut, state, reason)

    async def end(self, token: int, error: TenureError) -> None:
        """A token is over because of `error`, which whoever uses it gets from now on. Under the queue.

        Does not raise: on a full disk the floor rises in memory alone. Safe, because the marker still
        says held, so that a restart raises it again.
        """
        self.remember(token, error)
        try:
            await self._end(token, State.CRASHED, error.reason)
        except DiskFull as full:
            _log.error("floor not written", profile=str(self._name), why=str(full))

    async def quarantine(self, token: int, error: TenureError) -> int:
        """Rule 16, under the queue: the floor on disk, above the token, once nothing at or below it runs.

        Why a token ended stays as it was first known, and `error` is why otherwise. Idempotent. Raises
        DiskFull, and then the token is cut off all the same, but the floor on disk does not say so.
        """
        if self._over is None or self._over[0] != token:
            self.remember(token, error)
        await self._end(token, State.CUT, self.superseded(token).reason)
        # Once more where it had risen in memory alone; free where it is on disk.
        return await in_thread(floors.raise_to, self._path, token + 1)

    async def retire(self, found: Whereabouts) -> None:
        """Rule 18, under the queue: no token that was issued up to what was found of the profile is served
        any more. Raises DiskFull.

        Not by the floor's epoch alone: it may have been raised since, and a token of the new one, whose
        verify is still on its way, would be above the floor. Revisions rise, so a hold granted later has a
        higher token; and neither epoch is above that one's.
        """
        epoch = max(self.state.floor >> tokens.REVISION_BITS, found.epoch)
        token = tokens.pack(epoch, found.revision)
        await self.take(fences.ended(self.state, token), State.CUT, TokenSuperseded.reason)

    def remember(self, token: int, error: TenureError) -> None:
        """Why a token is over: what whoever uses it is told. Only the highest such token is kept."""
        if self._over is None or self._over[0] <= token:
            self._over = (token, error)

    async def _end(self, token: int, state: State, reason: str) -> None:
        step = fences.ended(self.state, token)
        try:
            await self.take(step, state, reason)
        except DiskFull:
            self.state = step.fence
            await self._drain(step.cut, state, reason)
            raise

    def is_over(self, token: int) -> bool:
        """Whether the token is below the floor."""
        return token < self.state.floor

    def was_proven(self, token: int) -> bool:
        """Whether the token is the one that is being served, however old its proof."""
        return token == self.state.floor and self.state.sent_at is not None

    def superseded(self, token: int) -> TenureError:
        """Why a token below the floor is refused."""
        if self._over is not None and self._over[0] == token:
            return self._over[1]
        return TokenSuperseded(profile=str(self._name), token=token)


def _refusal(reason: str, name: ProfileName, token: int, host: str) -> TenureError:
    """Why a token that is not current is refused, from the lock service's word for it."""
    if reason == "LEASE_EXPIRED":
        return LeaseExpired(f"The lease under fencing_token {token} of '{name.profile}' has ended.")
    if reason == "PROFILE_QUARANTINED":
        return ProfileQuarantined(profile=str(name))
    if reason == "WRONG_HOME":
        return HostUnreachable(f"host '{host}' is not the home of '{name}'.", host=host)
    return TokenSuperseded(profile=str(name), token=token)
