"""Requests that do not parse: refused as the caller's mistake, by the wrapper.

gRPC answers UNKNOWN when a deserializer raises, which reads as "it may have happened". So
ours returns what it could not read, and that is refused where all errors are translated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from tenure.errors import InvalidField

Deserializer = Callable[[bytes], Any]
Behaviour = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Takes the place of a message that does not parse."""

    size: int


def reading(deserialize: Deserializer | None) -> Deserializer | None:
    """The same deserializer, which returns Unreadable instead of raising. None stays None: bytes."""
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return Unreadable(len(data))

    return read


def check(message: Any, method: str) -> Any:
    """Return a message that could be read. Raises InvalidField."""
    if isinstance(message, Unreadable):
        raise InvalidField(
            field="request",
            value=f"{message.size} bytes",
            problem=f"is not a message that {method} takes",
            remedy="encode it as the API's protos say",
        )
    return message


def checking(behaviour: Behaviour, method: str) -> Behaviour:
    """A behaviour whose stream of requests raises InvalidField at one that could not be read."""
    return lambda requests, context: behaviour(_checked(requests, method), context)


async def _checked(messages: AsyncIterator[Any], method: str) -> AsyncIterator[Any]:
    async for message in messages:
        yield check(message, method)
