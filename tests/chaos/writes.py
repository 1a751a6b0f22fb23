"""Rules about what is written under tokens, and once for ever, told from the store's history alone. Pure."""

from __future__ import annotations

from tenure import token as tokens
from tenure.v1.hold_pb2 import Checkpoint
from tests.chaos.ledger import Ledger
from tests.chaos.timeline import Revision, World
from tests.fixtures.history import Written

ONCE = ("a", "d", "e", "i", "m", "v", "w")


def fenced(ledger: Ledger, world: World, revision: Revision, saved: dict[tuple[str, int, str], int]) -> None:
    """Steps and checkpoints are written under the current token of one who lives, and in their order.

    `saved` keeps the number of each client's last checkpoint of a token: clients of these tests count in the
    payload. Two who use one token, one of whom stole it, each count for themselves.
    """
    for parts, written in revision.of("e"):
        if written.value is None or not parts[3].isdigit():
            continue
        name, token = parts[1], int(parts[2])
        _owner(ledger, world, revision.number, name, token, "a step")
        step = "/".join(["e", *parts[:3]])
        seq = int(parts[3])
        needed = f"{step}/{seq:010d}" if parts[4:] else f"{step}/{seq - 1:010d}"
        if (parts[4:] or seq > 1) and not world.kept.get(needed):
            text = f"{'the end of ' if parts[4:] else ''}step {seq} without what comes before it"
            ledger.broken("steps are in order", name, revision.number, text, token)
    for (_, name, _), written in revision.of("c"):
        if written.value is None:
            continue
        checkpoint = Checkpoint.FromString(written.value)
        token = checkpoint.fencing_token
        _owner(ledger, world, revision.number, name, token, "a checkpoint")
        client, _, count = checkpoint.payload.decode().rpartition(" ")
        number, of = int(count or 0), (name, token, client)
        if number < saved.get(of, 0):
            text = f"checkpoint {number} after {saved[of]}"
            ledger.broken("a checkpoint never goes back", name, revision.number, text, token)
        saved[of] = number


def _owner(ledger: Ledger, world: World, revision: int, name: str, token: int, what: str) -> None:
    profile = world.profile(name)
    if profile.token != token or profile.holding is None:
        state = profile.state.value if profile.state else "absent"
        text = f"{what} of token {token} accepted; the profile is {state}, token {profile.token}"
        ledger.broken("nothing is accepted of a token that is over", name, revision, text, token)
    elif tokens.unpack(token).epoch != world.epoch:
        text = f"{what} accepted in epoch {world.epoch}"
        ledger.broken("nothing of an epoch that is over", name, revision, text, token)
    elif not world.alive(profile.holding):
        text = f"{what} accepted of a worker whose lease had ended"
        ledger.broken("nothing is accepted of the dead", name, revision, text, token)


def once(ledger: Ledger, world: World, revision: Revision) -> None:
    """What is on record stays as it is."""
    for key, written in revision.writes.items():
        if key.split("/")[0] in ONCE and written.value is not None and written.version != 1:
            ledger.broken("on record once", _profile(key), revision.number, f"{key} was rewritten")


def hosts_evidence(ledger: Ledger, world: World, revision: Revision) -> None:
    """The host's evidence is of an incident that is not decided; its acknowledgement, of an incident."""
    for parts, written in revision.of("e"):
        if _is_host(parts, written):
            key, token = "/".join(parts[:3]), int(parts[2])
            if not world.kept.get(f"i/{key}"):
                text = "evidence of no incident"
                ledger.broken("evidence is an incident's", parts[1], revision.number, text, token)
            if parts[3] == "h" and world.kept.get(f"d/{key}"):
                text = "evidence after the decision"
                ledger.broken("no evidence after the decision", parts[1], revision.number, text, token)


def _is_host(parts: list[str], written: Written) -> bool:
    return written.value is not None and parts[3] in ("h", "acknowledged")


def _profile(key: str) -> str:
    parts = key.split("/")
    return parts[2] if len(parts) > 2 else parts[-1]
