"""Where an upstream comes out, proven before anything of a browser goes there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from browserhost.egress import exits, socks
from browserhost.egress.egress import Egress
from browserhost.egress.end import End
from browserhost.egress.exits import AGAIN_S, Exits, Proof, WrongExit, judge
from browserhost.egress.forwarder import Forwarder
from browserhost.egress.socks import Destination
from browserhost.egress.upstream import ExitRule, Upstream
from tests.fixtures.chrome import until
from tests.fixtures.upstreams import Gate, Streams, certificate, gate

ANY = ExitRule("http://exit.test/")
HERE = ExitRule("http://exit.test/", (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32")))


@dataclass
class Ground:
    """A gate, what tells it where it comes out, and a clock."""

    stack: AsyncExitStack
    gate: Gate
    says: bytes = b"203.0.113.7\n"
    status: int = 200
    asked: int = 0
    now: float = 1000.0
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    serving: int = 0
    heard: bytes = b""

    def __post_init__(self) -> None:
        self.answer.set()
        self.exits = Exits(lambda: self.now)
        self.egress = Egress(exits=self.exits)

    def upstream(self, rule: ExitRule | None = HERE) -> Upstream:
        return Upstream("http", "127.0.0.1", self.gate.port, "miami__fl", exit=rule, fingerprint="f")

    def proof(self, rule: ExitRule = HERE) -> Proof:
        found = self.exits.of(self.upstream(rule), self.egress)
        assert found is not None
        return found

    async def forwarder(self, rule: ExitRule | None = HERE) -> Forwarder:
        forwarder = await Forwarder.start(self.egress, self.upstream(rule), "alice")
        self.stack.callback(forwarder.close)
        return forwarder

    async def ask(self, forwarder: Forwarder) -> tuple[int, Streams]:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(forwarder.url.rpartition(":")[2]))
        self.writers.append(writer)
        writer.write(socks.GREETING)
        assert await reader.readexactly(2) == socks.WELCOME
        writer.write(socks.call5(Destination("shop.test", 80)))
        return (await reader.readexactly(10))[1], (reader, writer)

    async def tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                await self.answer.wait()
                writer.write(b"HTTP/1.0 %d X\r\nServer: 192.0.2.1\r\n\r\n%s" % (self.status, self.says))
        finally:
            writer.close()
            self.serving -= 1

    async def keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving += 1
        with suppress(ConnectionError):
            self.heard += await reader.read()
        writer.close()
        self.serving -= 1


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        names: dict[str, tuple[str, int]] = {}
        made = Ground(stack, await stack.enter_async_context(gate("http", {}, names)))
        for name, serve in (("exit.test", made.tell), ("shop.test", made.keep)):
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            stack.callback(server.close)
            names[name] = server.sockets[0].getsockname()[:2]
        yield made
        await made.exits.aclose()
        for writer in made.writers:
            writer.close()
        await until(lambda: not made.serving)


async def test_one_check_serves_all_that_wait_for_it_and_holds_for_a_while(ground: Ground) -> None:
    proof = ground.proof()
    await asyncio.gather(*(proof.wait() for _ in range(5)))
    ground.now += HERE.every_s * 0.49
    await proof.wait()
    assert ground.asked == 1


async def test_it_is_renewed_beside_what_goes_on_and_nothing_goes_on_without(ground: Ground) -> None:
    proof = ground.proof()
    await proof.wait()
    ground.answer.clear()
    ground.now += HERE.every_s * 0.6
    await proof.wait()
    await until(lambda: ground.asked == 2)
    ground.now += HERE.every_s * 0.5
    # Neither is it passed by now, nor is another check begun beside the one that runs.
    ground.says = b"198.51.100.1"
    waiting = asyncio.create_task(proof.wait())
    ground.answer.set()
    with pytest.raises(WrongExit):
        await waiting
    assert ground.asked == 2


@pytest.mark.parametrize("body", [b"198.51.100.1", b"203.0.113.7, 10.0.0.1", b'{"ip":"2001:db9::1"}'])
async def test_a_wrong_exit_is_no_proxy(ground: Ground, body: bytes) -> None:
    ground.says = body
    with pytest.raises(WrongExit, match=r"it comes out at .*, which is not where it should"):
        await ground.proof().wait()


async def test_an_exit_that_cannot_be_checked_is_no_proxy_and_is_checked_again_after_a_while(
    ground: Ground,
) -> None:
    proof = ground.proof()
    ground.status = 500
    for _ in range(2):
        with pytest.raises(WrongExit, match=r"could not be checked: exit\.test answered 500"):
            await proof.wait()
    assert ground.asked == 1
    ground.status = 200
    ground.now += AGAIN_S
    await proof.wait()
    assert ground.asked == 2


async def test_without_an_answer_a_proof_stands_until_its_time_is_over(ground: Ground) -> None:
    proof = ground.proof()
    await proof.wait()
    ground.status = 500
    ground.now += HERE.every_s * 0.6
    await proof.wait()
    await until(lambda: ground.asked == 2)
    await proof.wait()
    ground.now += HERE.every_s * 0.4
    with pytest.raises(WrongExit, match="could not be checked"):
        await proof.wait()


async def test_proofs_that_nobody_goes_by_are_forgotten(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exits, "MOST", 2)
    forwarder, proof = await ground.forwarder(), ground.proof()
    for number in range(5):
        ground.exits.of(replace(ground.upstream(), fingerprint=str(number)), ground.egress)
    assert len(ground.exits._proofs) <= 3
    assert ground.proof() is proof
    forwarder.close()


async def test_an_upstream_that_is_away_has_no_exit(ground: Ground) -> None:
    ground.gate.end()
    with pytest.raises(WrongExit, match="connection refused"):
        await ground.proof().wait()


async def test_a_forwarder_lets_nothing_through_before_it_is_proven(ground: Ground) -> None:
    ground.answer.clear()
    forwarder = await ground.forwarder()
    asking = asyncio.create_task(ground.ask(forwarder))
    await until(lambda: ground.asked)
    assert ground.gate.asked == ["exit.test:80"]
    ground.answer.set()
    assert (await asking)[0] == socks.SUCCEEDED
    assert ground.gate.asked == ["exit.test:80", "shop.test:80"]


async def test_a_forwarder_lets_nothing_through_a_wrong_exit_and_says_why(ground: Ground) -> None:
    ground.says = b"198.51.100.1"
    forwarder = await ground.forwarder()
    assert (await ground.ask(forwarder))[0] == socks.FAILED
    assert "it comes out at 198.51.100.1" in forwarder.down_since(0, "shop.test")
    assert ground.gate.asked == ["exit.test:80"]


async def test_an_exit_that_turns_out_wrong_cuts_what_went_out_there(ground: Ground) -> None:
    forwarder, other = await ground.forwarder(), await ground.forwarder(None)
    _, (reader, _) = await ground.ask(forwarder)
    await ground.ask(other)
    ground.says = b"198.51.100.1"
    ground.now += HERE.every_s * 0.6
    await ground.proof().wait()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    await until(lambda: forwarder.connections == 0)
    assert other.connections == 2
    assert (await ground.ask(forwarder))[0] == socks.FAILED


async def test_what_was_being_connected_while_the_exit_turned_out_wrong_says_nothing_there(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarder = await ground.forwarder()
    await ground.proof().wait()
    dialled, go_on, dial = asyncio.Event(), asyncio.Event(), forwarder._way.dial

    async def slowly(to: Destination) -> End:
        dialled.set()
        await go_on.wait()
        return await dial(to)

    monkeypatch.setattr(forwarder._way, "dial", slowly)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(forwarder.url.rpartition(":")[2]))
    ground.writers.append(writer)
    writer.write(socks.GREETING + socks.call5(Destination("shop.test", 80)) + b"what must not go out")
    await dialled.wait()
    ground.says = b"198.51.100.1"
    ground.now += HERE.every_s * 0.6
    await ground.proof().wait()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(3)
    go_on.set()
    await until(lambda: "shop.test:80" in ground.gate.asked)
    await until(lambda: not forwarder.connections and not ground.serving)
    assert ground.heard == b""


async def test_the_exit_is_asked_over_tls_within_the_upstreams(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    rule = ExitRule("https://exit.test/ip?plain", HERE.addresses)
    monkeypatch.setattr(exits, "trusting", lambda: ssl.create_default_context(cafile=pem))

    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inner.load_cert_chain(pem)
    server = await asyncio.start_server(ground.tell, "127.0.0.1", 0, ssl=inner)
    ground.stack.callback(server.close)
    names = {"exit.test": server.sockets[0].getsockname()[:2]}
    outer = await ground.stack.enter_async_context(gate("https", {}, names, pem))
    upstream = Upstream("https", "127.0.0.1", outer.port, "k", ca_file=str(pem), exit=rule, fingerprint="g")
    proof = ground.exits.of(upstream, ground.egress)
    assert proof is not None
    await proof.wait()
    assert outer.asked == ["exit.test:443"]


@pytest.mark.parametrize(
    "body",
    [
        b"203.0.113.7",
        b'{"ip": "203.0.113.7", "at": "12:30:01"}',
        b"<p>2001:db8::7</p>",
        b"::ffff:203.0.113.7",
    ],
)
def test_an_answer_that_names_the_address_alone_is_a_proof(body: bytes) -> None:
    assert judge(body, HERE) == ""


@pytest.mark.parametrize("body", [b"", b"no address", b"1.2.3", b"999.1.1.1", b"10:20:30"])
def test_an_answer_without_an_address_is_none(body: bytes) -> None:
    assert "no address in the answer" in judge(body, ANY)


def test_where_no_address_is_wanted_any_proves_that_the_upstream_works() -> None:
    assert judge(b"198.51.100.1", ANY) == ""
    assert exits.CHECK_S < 30
