"""A forwarder before proxies that really ask for user and password, without Chrome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from socket import gaierror

import pytest

from browserhost.egress import sign_ins, socks, way
from browserhost.egress.addresses import IPAddress
from browserhost.egress.credentials import Keeping, Secret
from browserhost.egress.forwarder import Egress, Forwarder
from browserhost.egress.sign_ins import FIRST_S, SignIns
from browserhost.egress.socks import Destination
from browserhost.egress.upstream import Upstream
from tests.fixtures.chrome import until
from tests.fixtures.upstreams import KINDS, Gate, Streams, certificate, gate

USER, PASSWORD = "alice", "pass wörd:with-all"


@dataclass
class Ground:
    """A gate, and what is behind it: a server that says everything back."""

    stack: AsyncExitStack
    pem: Path
    password: Path
    names: dict[str, tuple[str, int]] = field(default_factory=dict)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def gate(self, scheme: str, accounts: dict[str, str] | None = None) -> Gate:
        accounts = {USER: PASSWORD} if accounts is None else accounts
        return await self.stack.enter_async_context(gate(scheme, accounts, self.names, self.pem))

    async def forwarder(
        self, to: Gate, user: str = USER, *, signed: bool = True, egress: Egress | None = None
    ) -> Forwarder:
        keeping = Keeping(Secret("text", user), Secret("file", str(self.password))) if signed else None
        upstream = Upstream(to.scheme, "127.0.0.1", to.port, "miami__fl", keeping, str(self.pem))
        forwarder = await Forwarder.start(egress or Egress(), upstream, "alice")
        self.stack.callback(forwarder.close)
        return forwarder

    async def ask(self, forwarder: Forwarder, host: str = "shop.test", port: int = 80) -> tuple[int, Streams]:
        """What the forwarder answers a browser, and the streams."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(forwarder.url.rpartition(":")[2]))
        self.writers.append(writer)
        writer.write(socks.GREETING)
        assert await reader.readexactly(2) == socks.WELCOME
        writer.write(socks.call5(Destination(host, port)))
        return (await reader.readexactly(10))[1], (reader, writer)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def ground(pem: Path, tmp_path: Path) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        password = tmp_path / "password"
        password.write_text(f"{PASSWORD}\n")
        made = Ground(stack, pem, password)
        serving = 0

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal serving
            serving += 1
            with suppress(ConnectionError):
                while data := await reader.read(65536):
                    writer.write(data)
            writer.close()
            serving -= 1

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        stack.callback(server.close)
        made.names["shop.test"] = server.sockets[0].getsockname()[:2]
        yield made
        for writer in made.writers:
            writer.close()
        await until(lambda: not serving)


async def echoed(streams: Streams) -> bytes:
    streams[1].write(b"hello")
    found = await streams[0].readexactly(5)
    streams[1].close()
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_with_the_right_password_the_upstream_lets_through(ground: Ground, kind: str) -> None:
    upstream = await ground.gate(kind)
    forwarder = await ground.forwarder(upstream)
    for _ in range(2):
        code, streams = await ground.ask(forwarder)
        assert code == socks.SUCCEEDED
        assert await echoed(streams) == b"hello"
    assert upstream.asked == ["shop.test:80"] * 2
    assert upstream.users == [USER] * 2
    # Only HTTP is asked without them first, and only once.
    assert upstream.challenged == (0 if kind == "socks5" else 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_with_a_wrong_password_nothing_is_let_through_and_it_is_said(ground: Ground, kind: str) -> None:
    upstream = await ground.gate(kind)
    ground.password.write_text("wrong")
    forwarder = await ground.forwarder(upstream)
    assert (await ground.ask(forwarder))[0] == socks.FAILED
    said = "the proxy refused the credentials, and is not shown them again for 5 s"
    assert forwarder.failed_since(0) == f"shop.test:80: {said}"
    assert forwarder.down_since(0, "shop.test") == said
    assert (upstream.asked, upstream.refused) == ([], 1)
    # A new one is read at the next connection.
    ground.password.write_text(PASSWORD)
    assert (await ground.ask(forwarder))[0] == socks.SUCCEEDED


@pytest.mark.parametrize("kind", KINDS)
async def test_an_upstream_that_refused_credentials_is_left_alone_with_them(
    ground: Ground, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whichever browser: providers lock accounts."""
    # However slow the machine is: those that come at once wait for the first.
    monkeypatch.setattr(sign_ins, "TOGETHER_S", 30.0)
    upstream, now = await ground.gate(kind), 1000.0
    ground.password.write_text("wrong")
    egress = Egress(sign_ins=SignIns(lambda: now))
    one, other = [await ground.forwarder(upstream, egress=egress) for _ in range(2)]
    answers = await asyncio.gather(*(ground.ask(each) for each in (one, other) for _ in range(10)))
    assert {code for code, _ in answers} == {socks.FAILED}
    assert upstream.refused == 1
    touched = upstream.touched
    now += FIRST_S - 0.5
    assert (await ground.ask(other))[0] == socks.FAILED
    assert upstream.touched == touched
    assert other.down_since(0, "shop.test") == (
        "the proxy refused the credentials, and is not shown them again for 1 s"
    )
    # Then once, and after that for twice as long not.
    now += 1
    for _ in range(3):
        assert (await ground.ask(one))[0] == socks.FAILED
    assert upstream.refused == 2
    now += 2 * FIRST_S - 1
    assert (await ground.ask(one))[0] == socks.FAILED
    assert upstream.refused == 2
    # Others are not refused with them.
    ground.password.write_text(PASSWORD)
    assert (await ground.ask(one))[0] == socks.SUCCEEDED


@pytest.mark.parametrize("kind", ["http", "https"])
async def test_a_destination_that_is_answered_for_as_for_a_wrong_password_keeps_nobody_from_others(
    ground: Ground, kind: str
) -> None:
    upstream = await ground.gate(kind)
    upstream.blocked.add("blocked.test")
    egress = Egress(sign_ins=SignIns(lambda: 1000.0))
    one, other = [await ground.forwarder(upstream, egress=egress) for _ in range(2)]
    for each in (one, other):
        assert (await ground.ask(each))[0] == socks.SUCCEEDED
    for _ in range(3):
        assert (await ground.ask(one, "blocked.test"))[0] == socks.FAILED
    touched = upstream.touched
    assert (await ground.ask(other, "blocked.test"))[0] == socks.FAILED
    assert upstream.touched == touched  # it has been refused twice: left alone for a while
    for each in (one, other):
        assert (await ground.ask(each))[0] == socks.SUCCEEDED


@pytest.mark.parametrize("kind", KINDS)
async def test_credentials_that_are_taken_again_are_as_good_as_before(ground: Ground, kind: str) -> None:
    upstream, now = await ground.gate(kind), 1000.0
    egress = Egress(sign_ins=SignIns(lambda: now))
    forwarder = await ground.forwarder(upstream, egress=egress)
    for accounts, code in (({}, socks.SUCCEEDED), ({USER: "x"}, socks.FAILED), ({USER: PASSWORD}, 0)):
        upstream.accounts = accounts or upstream.accounts
        now += FIRST_S
        assert (await ground.ask(forwarder))[0] == code
    answers = await asyncio.gather(*(ground.ask(forwarder) for _ in range(10)))
    assert {code for code, _ in answers} == {socks.SUCCEEDED}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_upstream_that_wants_credentials_where_none_are_configured_is_named(
    ground: Ground, kind: str
) -> None:
    upstream = await ground.gate(kind)
    forwarder = await ground.forwarder(upstream, signed=False)
    assert (await ground.ask(forwarder))[0] == socks.FAILED
    assert "the proxy wants credentials, and none are configured" in forwarder.down_since(0, "shop.test")
    assert upstream.asked == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_upstream_that_wants_no_credentials_sees_none(ground: Ground, kind: str) -> None:
    upstream = await ground.gate(kind, {})
    forwarder = await ground.forwarder(upstream)
    assert (await ground.ask(forwarder))[0] == socks.SUCCEEDED
    assert upstream.users == []


@pytest.mark.parametrize("kind", KINDS)
async def test_without_its_password_no_upstream_is_asked(ground: Ground, kind: str) -> None:
    upstream = await ground.gate(kind)
    forwarder = await ground.forwarder(upstream)
    ground.password.unlink()
    assert (await ground.ask(forwarder))[0] == socks.FAILED
    assert "a secret of its upstream cannot be read" in forwarder.down_since(0, "shop.test")
    assert upstream.asked == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_upstream_that_is_gone_is_gone_whatever_else_could_be_reached(
    ground: Ground, kind: str
) -> None:
    upstream = await ground.gate(kind)
    forwarder = await ground.forwarder(upstream)
    upstream.end()
    host, port = ground.names["shop.test"]
    # The destination itself answers on this machine, and is not asked.
    for name, at in (("shop.test", 80), (host, port)):
        assert (await ground.ask(forwarder, name, at))[0] == socks.FAILED
    assert "connection refused" in forwarder.down_since(0, host)
    await upstream.begin()
    assert (await ground.ask(forwarder))[0] == socks.SUCCEEDED


@pytest.mark.parametrize("kind", KINDS)
async def test_an_upstream_that_dies_in_the_middle_takes_its_connections_with_it(
    ground: Ground, kind: str
) -> None:
    upstream = await ground.gate(kind)
    forwarder = await ground.forwarder(upstream)
    _, (reader, writer) = await ground.ask(forwarder)
    writer.write(b"hello")
    await reader.readexactly(5)
    upstream.end()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    await until(lambda: forwarder.connections == 0)
    assert (await ground.ask(forwarder))[0] == socks.FAILED


@pytest.mark.parametrize("kind", KINDS)
async def test_a_destination_that_is_away_is_not_the_upstreams_fault(ground: Ground, kind: str) -> None:
    upstream = await ground.gate(kind)
    forwarder = await ground.forwarder(upstream)
    ground.names["away.test"] = ("127.0.0.1", 9)
    assert (await ground.ask(forwarder, "away.test"))[0] == socks.FAILED
    assert "the proxy answered" in forwarder.failed_since(0)
    assert forwarder.down_since(0, "away.test") == ""


async def test_an_upstreams_name_is_looked_up_here_and_one_without_an_address_is_down(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = await ground.gate("http", {})

    async def look_up(name: str) -> list[IPAddress]:
        if name != "gate.test":
            raise gaierror(-2, "not known")
        return [ip_address("127.0.0.9"), ip_address("127.0.0.1")]

    monkeypatch.setattr(way, "resolve", look_up)
    said = []
    for name, code in (("gate.test", socks.SUCCEEDED), ("nobody.test", socks.FAILED)):
        forwarder = await Forwarder.start(Egress(), Upstream("http", name, upstream.port), "a")
        ground.stack.callback(forwarder.close)
        assert (await ground.ask(forwarder))[0] == code
        said.append(forwarder.down_since(0, "shop.test"))
    assert said == ["", f"the proxy nobody.test:{upstream.port}: has no address"]


async def test_a_certificate_that_nobody_trusts_is_no_upstream(ground: Ground) -> None:
    upstream = await ground.gate("https")
    keeping = Keeping(Secret("text", USER), Secret("file", str(ground.password)))
    forwarder = await Forwarder.start(
        Egress(), Upstream("https", "127.0.0.1", upstream.port, "k", keeping), "a"
    )
    ground.stack.callback(forwarder.close)
    assert (await ground.ask(forwarder))[0] == socks.FAILED
    assert "its certificate is not trusted" in forwarder.down_since(0, "shop.test")
    assert (upstream.users, upstream.challenged) == ([], 0)


async def test_a_scheme_that_is_not_spoken_is_named_and_sees_no_password(ground: Ground) -> None:
    upstream = await ground.gate("http")
    upstream.challenge = 'Digest realm="gate"'
    forwarder = await ground.forwarder(upstream)
    assert (await ground.ask(forwarder))[0] == socks.FAILED
    assert "by digest, not Basic" in forwarder.down_since(0, "shop.test")
    assert upstream.refused == 0


@pytest.mark.parametrize(("kind", "user"), [("http", "a:b"), ("socks5", "x" * 256)])
async def test_a_user_that_the_protocol_has_no_room_for_is_refused_here(
    ground: Ground, kind: str, user: str
) -> None:
    upstream = await ground.gate(kind)
    forwarder = await ground.forwarder(upstream, user)
    assert (await ground.ask(forwarder))[0] == socks.FAILED
    assert upstream.refused == 0
    assert user not in forwarder.failed_since(0)


@pytest.mark.parametrize(
    "name",
    ["printer", "nas.local", "db.internal", "x.localhost", "metadata.google.internal", "metadata.a.com"],
)
async def test_what_only_the_upstreams_own_network_knows_is_not_asked_of_it(
    ground: Ground, name: str
) -> None:
    upstream = await ground.gate("http")
    ground.names[name] = ground.names["shop.test"]
    forwarder = await ground.forwarder(upstream)
    assert (await ground.ask(forwarder, name))[0] == socks.NOT_ALLOWED
    assert upstream.touched == 0
