"""Proof of where an upstream comes out, before anything of a browser goes there.

A proof is asked for through the upstream itself and shared by all browsers behind it. It holds for a while,
and is renewed at half of that by whoever asks then; nothing passes on an older one. An answer that
names a wrong address ends an earlier proof at once, and what went out on it is cut.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from browserhost.clock import boottime
from browserhost.egress.addresses import IPAddress, parse
from browserhost.egress.end import HELD_BYTES, End, Ended
from browserhost.egress.socks import Destination
from browserhost.egress.upstream import ExitRule, Upstream, trusting
from browserhost.egress.way import Refused, Through

if TYPE_CHECKING:
    from browserhost.egress.egress import Egress

CHECK_S = 20.0
AGAIN_S = 5.0
"""How long the answer of a check that failed is given without another one."""

MOST = 1024
"""Proofs that are remembered at least; each profile may have an upstream of its own."""

_MAYBE_ADDRESS = re.compile(rb"[0-9A-Fa-f.:]{3,45}")
_PORTS = {"http": 80, "https": 443}
_log = structlog.get_logger("exits")


class WrongExit(Exception):
    """No proof. Its text is a clause that says why."""


class Proof:
    """Of one upstream. `on_wrong` are called when it is over before its time."""

    def __init__(self, upstream: Upstream, rule: ExitRule, egress: Egress, now: Callable[[], float]) -> None:
        self.on_wrong: set[Callable[[], None]] = set()
        self._upstream, self._rule, self._egress, self._now = upstream, rule, egress, now
        self._proven_at: float | None = None
        self._failed_at: float | None = None
        self._problem = ""
        self._running: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return at once while there is a proof, else once a check has made one. Raises WrongExit."""
        if self._stands(1.0):
            if not self._stands(0.5) and not self._failed_lately:
                self._begin()
            return
        if not self._failed_lately:
            await asyncio.shield(self._begin())
        if not self._stands(1.0):
            raise WrongExit(self._problem or "its exit was not checked")

    def hurry(self) -> None:
        """Begin what `wait` would wait for."""
        if not self._stands(1.0) and not self._failed_lately:
            self._begin()

    @property
    def in_use(self) -> bool:
        """Whether a forwarder goes by it, or a check runs."""
        return bool(self.on_wrong) or (self._running is not None and not self._running.done())

    async def aclose(self) -> None:
        """Give up a check that runs."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _stands(self, share: float) -> bool:
        return self._proven_at is not None and self._now() - self._proven_at < self._rule.every_s * share

    @property
    def _failed_lately(self) -> bool:
        return self._failed_at is not None and self._now() - self._failed_at < AGAIN_S

    def _begin(self) -> asyncio.Task[None]:
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._check(), name="check an exit")
        return self._running

    async def _check(self) -> None:
        began = self._now()
        try:
            async with asyncio.timeout(CHECK_S):
                body = await _get(self._egress, self._upstream, self._rule.url)
        except (Refused, Ended, OSError, TimeoutError, _NoAnswer) as error:
            # No word on where it comes out: an earlier proof stands until its time is over.
            problem = error.problem if isinstance(error, Refused) else str(error) or "no answer"
            self._fail(f"its exit could not be checked: {problem}")
            return
        problem = judge(body, self._rule)
        if problem:
            stood, self._proven_at = self._proven_at is not None, None
            self._fail(problem)
            for cut in tuple(self.on_wrong) if stood else ():
                cut()
            return
        self._proven_at, self._failed_at, self._problem = began, None, ""

    def _fail(self, problem: str) -> None:
        self._failed_at, self._problem = self._now(), problem
        _log.warning("exit not proven", proxy=self._upstream.key, why=problem)


class Exits:
    """The proofs of a host, one an upstream as its fingerprint names it."""

    def __init__(self, now: Callable[[], float] = boottime) -> None:
        self._now = now
        self._proofs: dict[str, Proof] = {}

    def of(self, upstream: Upstream, egress: Egress) -> Proof | None:
        """The upstream's; None when nothing is to be proven."""
        if upstream.exit is None:
            return None
        name = f"{upstream.fingerprint} {upstream}"
        if name not in self._proofs:
            if len(self._proofs) >= MOST:
                self._proofs = {each: proof for each, proof in self._proofs.items() if proof.in_use}
            self._proofs[name] = Proof(upstream, upstream.exit, egress, self._now)
        return self._proofs[name]

    async def aclose(self) -> None:
        """Give up all checks that run."""
        for proof in self._proofs.values():
            await proof.aclose()


def judge(body: bytes, rule: ExitRule) -> str:
    """What is wrong with an answer, as a clause; "" when it proves the exit. All addresses in it must fit."""
    found = [address for word in _MAYBE_ADDRESS.findall(body) if (address := _address(word)) is not None]
    if not found:
        return "its exit could not be checked: no address in the answer"
    for address in found:
        if rule.addresses and not any(address in network for network in rule.addresses):
            return f"it comes out at {address}, which is not where it should"
    return ""


def _address(word: bytes) -> IPAddress | None:
    text = word.decode("ascii").strip(".")
    if text.count(".") != 3 and text.count(":") < 2:
        return None  # a time of day, a number
    address = parse(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


class _NoAnswer(Exception):
    """No answer to build on. Its text is a clause."""


async def _get(egress: Egress, upstream: Upstream, url: str) -> bytes:
    """What the URL answers through the upstream. Raises Refused, Ended, OSError, _NoAnswer."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    end = await Through(egress, upstream, End).dial(Destination(host, port))
    try:
        if parts.scheme == "https":
            end = await _encrypted(end, host)
        query = f"?{parts.query}" if parts.query else ""
        name = parts.netloc.rpartition("@")[2]
        # HTTP/1.0: an answer in one piece, and the end of the connection is the end of it.
        head = f"GET {parts.path or '/'}{query} HTTP/1.0\r\nHost: {name}\r\nAccept: */*\r\n\r\n"
        end.send(head.encode("ascii"))
        head_, _, body = (await end.take_all(_is_whole)).partition(b"\r\n\r\n")
    finally:
        end.abort()
    words = head_.split(None, 2)
    if len(words) < 2 or words[1] != b"200":
        said = words[1].decode("latin-1")[:20] if len(words) > 1 else "nothing"
        raise _NoAnswer(f"{name} answered {said}")
    return body


async def _encrypted(end: End, host: str) -> End:
    """The connection with TLS on it, from now on the only one to use. Raises OSError."""
    loop = asyncio.get_running_loop()
    inner = End()
    transport = await loop.start_tls(end.transport, inner, trusting(), server_hostname=host)
    if transport is None:
        raise ConnectionError("the connection was lost")
    inner.connection_made(transport)
    return inner


def _is_whole(data: bytes) -> bool:
    """Whether an answer that says its length is there."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    found = re.search(rb"\r\ncontent-length:\s*([0-9]{1,9})", head, re.IGNORECASE)
    return found is not None and len(body) >= min(int(found[1]), HELD_BYTES // 2)
