"""Browsers behind proxies that really ask for user and password; without its own one reaches nothing."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from browserhost.browser import Browser
from browserhost.egress.addresses import IPAddress
from browserhost.egress.credentials import Keeping, Secret
from browserhost.egress.egress import Egress
from browserhost.egress.proxies import Proxies
from browserhost.egress.upstream import Upstream
from tenure import processes
from tenure.errors import ProxyDown
from tests.fixtures.chrome import Browsers, family, until
from tests.fixtures.host_process import Bench
from tests.fixtures.rig import Rig
from tests.fixtures.upstreams import KINDS, Gate, certificate, gate

USER, PASSWORD = "alice-in-miami", "pass:wörd with/all+of=it"
KEY = "miami__fl"


@dataclass
class Shop:
    """A site that only a proxy knows how to reach by its name, and what it was asked."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    comes_out_at: str = "203.0.113.7"

    @property
    def names(self) -> dict[str, tuple[str, int]]:
        return {"shop.test": ("127.0.0.1", self.port), "exit.test": ("127.0.0.1", self.port)}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.host == "exit.test":
            return web.Response(text=self.comes_out_at)
        self.asked.append(request.path)
        self.headers.append(dict(request.headers))
        if request.path == "/long":
            answer = web.StreamResponse(headers={"Content-Type": "text/html"})
            await answer.prepare(request)
            await answer.write(b"<!doctype html><title>long</title><p>the beginning</p>" + b" " * 4096)
            await self.release.wait()
            return answer
        return web.Response(text=f"<!doctype html><title>{request.path}</title>", content_type="text/html")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    made.release.set()
    await runner.cleanup()


@pytest.fixture
async def gates(shop: Shop, tmp_path: Path) -> AsyncIterator[dict[str, Gate]]:
    """One of each kind."""
    pem = certificate(tmp_path)
    async with AsyncExitStack() as stack:
        accounts = {USER: PASSWORD}
        yield {kind: await stack.enter_async_context(gate(kind, accounts, shop.names, pem)) for kind in KINDS}


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    return path


def table(to: Gate, password: Path, *more: str, key: str = KEY) -> str:
    lines = [f'["{key}"]', f'url = "{to.url}"', f'user = "{USER}"', f'password_file = "{password}"', *more]
    return "\n".join([*lines, f'ca_file = "{to.pem}"', ""])


async def run(browser: Browser, script: str) -> Any:
    """What a script in the front page comes to."""
    front = browser._pages.front
    assert front is not None
    asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
    answer = await browser.mux.root.call("Runtime.evaluate", asked, front.session, timeout=30)
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"].get("value")


async def test_each_kind_of_upstream_is_signed_in_to_and_a_changed_one_closes_the_browser(
    rig: Rig, shop: Shop, gates: dict[str, Gate], password: Path, tmp_path: Path
) -> None:
    file = tmp_path / "proxies.toml"
    rig.proxies = Proxies(file=file)
    tokens = iter(range(41, 99))
    async with rig.host() as running:

        async def visit(path: str) -> bool:
            """Whether the browser was the one before."""
            token = next(tokens)
            try:
                opened = await running.open(token, f"http://shop.test/{path}", proxy_key=KEY)
                return opened.reused
            finally:
                await running.close(token)

        for kind, upstream in gates.items():
            file.write_text(table(upstream, password))
            assert not await visit(kind)
            before = running.browser()
            assert await visit(f"{kind}-again")
            assert running.browser() is before
            assert "shop.test:80" in upstream.asked
            assert set(upstream.users) == {USER}
        assert [path for path in shop.asked if path != "/favicon.ico"] == [
            f"/{kind}{again}" for kind in gates for again in ("", "-again")
        ]
        # The last one goes: its browser stays, and says which proxy is of no use.
        upstream.end()
        with pytest.raises(ProxyDown, match="connection refused") as down:
            await visit("gone")
        assert down.value.proxy_key == KEY
        await upstream.begin()
        assert await visit("back")
        # Another password is another upstream, in case it says where to come out.
        password.write_text("wrong")
        with pytest.raises(ProxyDown, match="refused the credentials"):
            await visit("wrong")
        password.unlink()
        with pytest.raises(ProxyDown, match="cannot be read"):
            await visit("missing")
        assert not {"/gone", "/wrong", "/missing"} & set(shop.asked)


async def test_zone_and_languages_are_the_proxys_and_no_page_is_before_its_exit_is_proven(
    rig: Rig, shop: Shop, gates: dict[str, Gate], password: Path, tmp_path: Path
) -> None:
    upstream = gates["http"]
    file = tmp_path / "proxies.toml"
    exit_rule = ['exit_url = "http://exit.test/"', 'exit_address = ["203.0.113.0/24"]']
    geo = ['time_zone = "Pacific/Chatham"', 'languages = ["es-US", "es", "en"]']
    file.write_text(table(upstream, password, *exit_rule, *geo))
    rig.proxies = Proxies(file=file)
    async with rig.host() as running:
        shop.comes_out_at = "198.51.100.1"
        with pytest.raises(ProxyDown, match=r"it comes out at 198\.51\.100\.1"):
            await running.open(41, "http://shop.test/wrong", proxy_key=KEY)
        assert set(upstream.asked) == {"exit.test:80"}
        # The browser was launched beside the check; whatever it asks for by itself waits too.
        assert shop.asked == []
        await running.close(41)
        shop.comes_out_at = "203.0.113.7"
        file.write_text(table(upstream, password, *exit_rule, *geo, "exit_every_s = 599"))
        opened = await running.open(42, "http://shop.test/right", proxy_key=KEY)
        assert "proxy" in opened.timings
        said = await run(
            running.browser(),
            "[Intl.DateTimeFormat().resolvedOptions().timeZone, navigator.languages.join()]",
        )
        assert said == ["Pacific/Chatham", "es-US,es,en"]
        assert shop.headers[0]["Accept-Language"].startswith("es-US,es;q=0.9,en;q=0.8")
        await running.close(42)
        # The zone is the browser's, not the profile's: another way out, another place.
        await running.open(43, "about:blank")
        zone = "Intl.DateTimeFormat().resolvedOptions().timeZone"
        assert await run(running.browser(), zone) != "Pacific/Chatham"
        await running.close(43)


@pytest.fixture
async def behind(
    browsers: Browsers, shop: Shop, gates: dict[str, Gate], password: Path
) -> tuple[Browser, Gate, list[str]]:
    """A browser at the shop, its gate, and the names that anybody of this host looked up."""
    looked_up: list[str] = []

    async def resolve(name: str) -> list[IPAddress]:
        looked_up.append(name)
        raise OSError

    upstream = gates["http"]
    keeping = Keeping(Secret("text", USER), Secret("file", str(password)))
    spec = Upstream("http", "127.0.0.1", upstream.port, KEY, keeping)
    browser = await browsers.launch(upstream=spec, egress=Egress(resolve=resolve))
    await browser.open("http://shop.test/first")
    return browser, upstream, looked_up


class Ear(asyncio.DatagramProtocol):
    """Hears what comes by UDP."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def datagram_received(self, data: bytes, address: object) -> None:
        self.heard.append(data)


async def test_without_its_proxy_no_page_no_dns_no_webrtc(
    behind: tuple[Browser, Gate, list[str]], shop: Shop
) -> None:
    browser, upstream, looked_up = behind
    transport, ear = await asyncio.get_running_loop().create_datagram_endpoint(Ear, ("127.0.0.1", 0))
    stun = transport.get_extra_info("sockname")[1]
    port = int(browser._forwarder.url.rpartition(":")[2])
    forwarder = f"0100007F:{port:04X}"
    await until(lambda: connected_to(each.pid for each in family(browser)) == {forwarder})
    # It dies in the middle of a page.
    script = "fetch('/long').then(answer => answer.text()).then(() => 'whole', error => error.name)"
    dying = asyncio.create_task(run(browser, script))
    await until(lambda: "/long" in shop.asked)
    upstream.end()
    assert await dying == "TypeError"
    asked = list(shop.asked)
    here = f"http://127.0.0.1:{shop.port}"
    for url in ("http://shop.test/no", f"{here}/no"):
        with pytest.raises(ProxyDown, match="connection refused"):
            await browser.open(url)
    ways = f"""(async () => {{
        for (const rel of ['dns-prefetch', 'preconnect', 'prefetch'])
            document.documentElement.append(Object.assign(document.createElement('link'), {{rel, href: 'http://prefetched.test/'}}));
        const no = [];
        for (const url of ['http://shop.test/no', '{here}/no', 'http://other.test/no'])
            no.push(await fetch(url, {{mode: 'no-cors'}}).then(() => 'reached', String));
        const peer = new RTCPeerConnection({{iceServers: [{{urls: 'stun:127.0.0.1:{stun}'}}]}});
        peer.createDataChannel('x');
        await peer.setLocalDescription(await peer.createOffer());
        const found = await new Promise(done => {{
            const all = [];
            peer.onicecandidate = event => event.candidate ? all.push(event.candidate.candidate) : done(all);
        }});
        self.kept = peer;
        return [no, found];
    }})()"""
    await browser.open("about:blank")  # the error's page may still be on its way
    no, candidates = await run(browser, ways)
    assert no == ["TypeError: Failed to fetch"] * 3
    assert candidates == []
    assert connected_to(each.pid for each in family(browser)) <= {forwarder}
    assert ear.heard == []
    transport.close()
    assert shop.asked == asked
    assert looked_up == []
    # It comes back, and nothing was lost but pages.
    await upstream.begin()
    await browser.open("http://shop.test/back")
    assert looked_up == []


def connected_to(pids: Iterable[int]) -> set[str]:
    """Where the sockets of these processes lead, by the kernel's tables; without those that lead nowhere."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in inodes and not words[2].endswith(":0000"):
                found.add(words[2])
    return found


async def test_no_password_is_seen_anywhere(
    bench: Bench, shop: Shop, gates: dict[str, Gate], password: Path, tmp_path: Path
) -> None:
    password.write_text(PASSWORD + "\n")
    file, log = tmp_path / "proxies.toml", tmp_path / "log"
    from_variable = table(gates["socks5"], password, key="new york__ny").replace(
        f'password_file = "{password}"', 'password_env = "GATE_PASSWORD"'
    )
    file.write_text(table(gates["http"], password) + from_variable + '["*"]\nurl = "http://127.0.0.1:9"\n')
    said: list[str] = []
    with log.open("wb") as writing:
        options = ("--proxies-file", str(file), "--log-level=debug", "--log-format=json")
        async with bench.service(*options, log=writing.fileno(), GATE_PASSWORD=PASSWORD) as service:
            await service.open(41, "http://shop.test/a", proxy_key=KEY)
            below = processes.below(service.process.pid, processes.table())
            said += processes_say(each.pid for each in below)
            await service.close(41)
            await service.open(42, "http://shop.test/b", proxy_key="New  York__NY")
            below = processes.below(service.process.pid, processes.table())
            assert below
            said += processes_say(each.pid for each in below)
            said.append(Path(f"/proc/{service.process.pid}/cmdline").read_bytes().decode())
            await service.close(42)
            for token, wrong in ((43, "wr0ng-secret"), (44, "")):
                password.write_text(wrong)
                with pytest.raises(ProxyDown) as down:
                    await service.open(token, "http://shop.test/c", proxy_key=KEY)
                said.append(f"{down.value} {vars(down.value)}")
                await service.close(token)
            # Half a file, as an editor may leave it.
            file.write_text(f'["{KEY}"]\npassword = "{PASSWORD}"\n')
            with pytest.raises(ProxyDown, match="password is not kept here") as down:
                await service.open(45, "http://shop.test/d", proxy_key=KEY)
            said.append(f"{down.value} {vars(down.value)}")
            await service.close(45)
    said.append(log.read_text())
    assert '"event"' in said[-1]
    said += [
        each.read_bytes().decode("latin-1")
        for each in bench.data_root.path.rglob("*")
        if each.is_file() and not each.is_symlink()
    ]
    assert gates["http"].users
    assert gates["socks5"].users
    shown = [PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), json.dumps(PASSWORD)[1:-1], "wr0ng-secret"]
    shown += [base64.b64encode(f"{USER}:{each}".encode()).decode() for each in (PASSWORD, "wr0ng-secret")]
    shown += [PASSWORD.encode().decode("latin-1")]
    for text in said:
        assert [each for each in shown if each in text] == []


def processes_say(pids: Iterable[int]) -> list[str]:
    """What any user may read of processes, and their environments."""
    return [
        Path(f"/proc/{pid}/{name}").read_bytes().decode("latin-1")
        for pid in pids
        for name in ("cmdline", "environ")
        if Path(f"/proc/{pid}/cmdline").exists()
    ]
