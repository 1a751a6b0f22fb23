"""Where everything lies in etcd.

    epoch                                   raised by hand after a restore
    epoch/log                               which of etcd's logs the epoch is good for
    p/{tenant}/{profile}                    the profile's record
    w/{worker}                              alive; on the worker's lease
    q/{tenant}/{profile}/{n}                a place in the queue; on the waiter's lease
    k/{worker}/{profile}                    highest request id consumed; on the worker's lease
    e/{tenant}/{profile}/{t}/{seq}          the owner's step, and {seq}/end
    e/{tenant}/{profile}/{t}/h/{id}         one item of the host's evidence
    e/{tenant}/{profile}/{t}/quarantined    how the old worker was cut off
    e/{tenant}/{profile}/{t}/acknowledged   the host's late acknowledgement
    e/{tenant}/{profile}/{t}/inspected      the evidence that is decided on
    c/{tenant}/{profile}/{workflow}         the workflow's checkpoint
    i/{tenant}/{profile}/{t}                the incident that ended hold t
    d/{tenant}/{profile}/{t}                its decision
    v/{tenant}/{profile}/{t}/{n}            a person's verdicts on it: a second one only where a workflow that
                                            a person let go on did not come
    h/{host}                                a host; on its lease
    s/{tenant}/{profile}                    how a profile's browser looks, and its labels
    x/{host}                                whether it takes new profiles, and who said so; outlives its lease
    m/{tenant}/{profile}/{revision}         a move to another home, by the revision of p that it was begun on
    a/{tenant}/{profile}/{n}                the worker of a request that named none; outlives it by a day
    claim/{task}                            that a replica does it now; on a lease that ends when the next may

A token orders the holds of *one* profile: profiles granted in one Txn of a batch share its revision, so
whatever is named by a token is named by its profile too. A worker belongs to one tenant, so `k` needs none.
Tokens and step numbers are padded, so that the order of keys is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockservice.etcd.txn import KeyRange, prefix
from tenure.names import ProfileName


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys under one root, for example `/tenure/`. Ids are canonical and hold no slash."""

    root: str

    @property
    def epoch(self) -> bytes:
        return self._key("epoch")

    @property
    def log(self) -> bytes:
        return self._key("epoch/log")

    @property
    def absent(self) -> bytes:
        """Never written. Deleting it makes a Txn raft-ordered."""
        return self._key("absent")

    @property
    def watched(self) -> KeyRange:
        """One range with everything that `listed` has: epoch, h, i, k, m, p, q, s, v, w, x."""
        return KeyRange(self.epoch, self._key("y"))

    @property
    def listed(self) -> tuple[KeyRange, ...]:
        """What a replica mirrors."""
        epoch = KeyRange(self.epoch, self.epoch + b"\0")
        return (epoch, *(prefix(self._key(f"{kind}/")) for kind in "hkpqswx"))

    def record(self, profile: ProfileName) -> bytes:
        return self._key(f"p/{profile.tenant}/{profile.profile}")

    def records(self, tenant: str = "") -> KeyRange:
        """The records of a tenant, or of all."""
        return prefix(self._key(f"p/{tenant}/" if tenant else "p/"))

    def settings(self, profile: ProfileName) -> bytes:
        return self._key(f"s/{profile.tenant}/{profile.profile}")

    def worker(self, worker: str) -> bytes:
        return self._key(f"w/{worker}")

    def place(self, profile: ProfileName, request_id: str) -> bytes:
        return self._key(f"q/{profile.tenant}/{profile.profile}/{request_id}")

    def queue(self, profile: ProfileName) -> KeyRange:
        places = f"{self.root}q/{profile.tenant}/{profile.profile}"
        # From the slash to what follows it.
        return KeyRange(f"{places}/".encode(), f"{places}0".encode())

    def consumed(self, worker: str, profile: ProfileName) -> bytes:
        return self._key(f"k/{worker}/{profile.profile}")

    def asker(self, profile: ProfileName, request_id: str) -> bytes:
        return self._key(f"a/{profile.tenant}/{profile.profile}/{request_id}")

    def step(self, profile: ProfileName, token: int, seq: int) -> bytes:
        return self._steps(profile, token) + b"%010d" % seq

    def step_end(self, profile: ProfileName, token: int, seq: int) -> bytes:
        return self.step(profile, token, seq) + b"/end"

    def evidence(self, profile: ProfileName, token: int) -> KeyRange:
        """All that was put on record of a hold: steps, host's items, how it was cut off, what was found."""
        return prefix(self._steps(profile, token))

    @property
    def all_evidence(self) -> KeyRange:
        """That of every hold of every tenant."""
        return prefix(self._key("e/"))

    def steps(self, profile: ProfileName, token: int) -> KeyRange:
        """The owner's steps and their ends, not the host's evidence: those that begin with a digit."""
        start = self._steps(profile, token)
        return KeyRange(start + b"0", start + b":")

    def host_item(self, profile: ProfileName, token: int, item: str) -> bytes:
        return self._steps(profile, token) + f"h/{item}".encode()

    def host_items(self, profile: ProfileName, token: int) -> KeyRange:
        return prefix(self.host_item(profile, token, ""))

    def quarantined(self, profile: ProfileName, token: int) -> bytes:
        return self._steps(profile, token) + b"quarantined"

    def acknowledged(self, profile: ProfileName, token: int) -> bytes:
        return self._steps(profile, token) + b"acknowledged"

    def inspected(self, profile: ProfileName, token: int) -> bytes:
        return self._steps(profile, token) + b"inspected"

    def checkpoint(self, profile: ProfileName, workflow: str) -> bytes:
        return self._key(f"c/{profile.tenant}/{profile.profile}/{workflow}")

    def incident(self, profile: ProfileName, token: int) -> bytes:
        return self._key(f"i/{profile.tenant}/{profile.profile}/{token:016d}")

    def incidents(self, tenant: str = "") -> KeyRange:
        """The incidents of a tenant, or of all."""
        return prefix(self._key(f"i/{tenant}/" if tenant else "i/"))

    def decision(self, profile: ProfileName, token: int) -> bytes:
        return self._key(f"d/{profile.tenant}/{profile.profile}/{token:016d}")

    def verdict(self, profile: ProfileName, token: int, number: int) -> bytes:
        return self.verdicts(profile, token).start + b"%04d" % number

    def verdicts(self, profile: ProfileName, token: int) -> KeyRange:
        return prefix(self._key(f"v/{profile.tenant}/{profile.profile}/{token:016d}/"))

    def claim(self, task: str) -> bytes:
        """Not watched: who does a task that one replica at a time is enough for."""
        return self._key(f"claim/{task}")

    def host(self, host: str) -> bytes:
        return self._key(f"h/{host}")

    def schedule(self, host: str) -> bytes:
        return self._key(f"x/{host}")

    def move(self, profile: ProfileName, revision: int) -> bytes:
        return self.moves(profile).start + b"%016d" % revision

    def moves(self, profile: ProfileName) -> KeyRange:
        return prefix(self._key(f"m/{profile.tenant}/{profile.profile}/"))

    def split(self, key: bytes) -> tuple[str, ...]:
        """The parts of a key of ours, without the root: `("p", tenant, profile)`."""
        return tuple(key.decode().removeprefix(self.root).split("/"))

    def _steps(self, profile: ProfileName, token: int) -> bytes:
        return self._key(f"e/{profile.tenant}/{profile.profile}/{token:016d}/")

    def _key(self, rest: str) -> bytes:
        return (self.root + rest).encode()


def check_root(text: str) -> str:
    """Return the root of all keys. Raises ValueError with the remedy."""
    if not text.startswith("/") or not text.endswith("/") or not text.isascii() or len(text) < 3:
        raise ValueError("is not a key prefix: begin and end it with a slash, for example /tenure/")
    return text
