"""What a caller sends in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def drained(parts: AsyncIterator[bytes]) -> None:
    """Take what is still sent: grpc tells whoever is cut short of that, and not of our answer."""
    async for _ in parts:
        pass
