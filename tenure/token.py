"""Fencing tokens: one integer below 2^53 that orders the holds of a profile for ever.

Pure. A token is `epoch << 43 | mod_revision` of the etcd transaction that granted the
hold. The epoch (10 bits) is raised by hand after a restore, when revisions start again
lower; so a token rises through release, restart, fail-over and restore alike. Both parts
share 53 bits, so a JavaScript number holds a token exactly.
"""

from __future__ import annotations

from typing import NamedTuple

from tenure.errors import InvalidField

EPOCH_BITS = 10
REVISION_BITS = 43
MAX_EPOCH = (1 << EPOCH_BITS) - 1
MAX_REVISION = (1 << REVISION_BITS) - 1
MAX_TOKEN = (1 << (EPOCH_BITS + REVISION_BITS)) - 1


class Token(NamedTuple):
    """A fencing token's parts; tuples order as the tokens do."""

    epoch: int
    revision: int


def pack(epoch: int, revision: int) -> int:
    """Return the token of a grant. Raises ValueError when a part does not fit."""
    if not 0 <= epoch <= MAX_EPOCH:
        raise ValueError(f"epoch {epoch} is outside 0..{MAX_EPOCH}")
    if not 1 <= revision <= MAX_REVISION:
        raise ValueError(f"mod_revision {revision} is outside 1..{MAX_REVISION}")
    return epoch << REVISION_BITS | revision


def unpack(token: int) -> Token:
    """Return the parts of a token. Raises ValueError for what no grant can have made."""
    if not is_token(token):
        raise ValueError(f"{token} is not a fencing token")
    return Token(token >> REVISION_BITS, token & MAX_REVISION)


def revision(token: int) -> int:
    """Return the mod_revision in a token."""
    return token & MAX_REVISION


def is_token(value: int) -> bool:
    """Whether a grant can have made this number (some epoch, a revision of 1 or more)."""
    return 0 < value <= MAX_TOKEN and value & MAX_REVISION != 0


def check(value: int, field: str = "fencing_token") -> int:
    """Return `value` when it is a token; raises InvalidField naming the field otherwise."""
    if not is_token(value):
        raise InvalidField(
            field=field,
            value=str(value),
            problem="is not a fencing token",
            remedy="send the hold's fencing_token as it was answered",
        )
    return value
