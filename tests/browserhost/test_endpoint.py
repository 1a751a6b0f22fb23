"""The endpoint where Chrome is slow, silent or gone; the integration tests have it with a live one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from browserhost import backlog
from browserhost import endpoint as endpoint_module
from browserhost.acting import page as acting_page
from browserhost.addresses import Kind
from browserhost.browser import Browser
from browserhost.endpoint import CdpEndpoint, Grant
from browserhost.frames import Piece
from browserhost.mux import CdpMux
from browserhost.view import driving
from browserhost.web.server import Visit
from browserhost.web.websocket import WebSocket
from tenure.cdp import CdpClosed, CdpError, connect
from tenure.errors import (
    BrowserCrashed,
    HoldRevoked,
    LeaseExpired,
    ProfileQuarantined,
    StoreUnavailable,
    TenureError,
    TokenSuperseded,
)
from tests.fixtures.chrome import until

NESTS = "Target.sendMessageToTarget"


class Chrome:
    """Answers calls with `results`, or with their own parameters; not those whose method is in `silent`."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.results: dict[str, dict[str, Any]] = {}
        self.errors: set[str] = set()
        self.calls: list[dict[str, Any]] = []
        self.written: list[bytes] = []
        self.full = False
        self.waiting: list[Callable[[], None]] = []
        self.paused: set[object] = set()
        self.mux = CdpMux(self)

    @property
    def browser(self) -> Browser:
        """As much of a browser as the endpoint looks at."""
        folders = {"uploads": Path("/uploads"), "downloads": Path("/downloads")}
        return cast(Browser, SimpleNamespace(mux=self.mux, come_to_rest=self._rest, **folders))

    def write(self, *pieces: Piece) -> None:
        self.written.append(b"".join(pieces))
        call: dict[str, Any] = json.loads(self.written[-1])
        self.calls.append(call)
        method = call["method"]
        if method not in self.silent:
            result = self.results.get(method, call["params"])
            if method == "Target.attachToBrowserTarget":
                number = self.asked.count(method)
                result = {"sessionId": "S" if number == 1 else f"S{number}"}
            said = {"error": {"code": -1, "message": "no"}} if method in self.errors else {"result": result}
            session = {"sessionId": call["sessionId"]} if "sessionId" in call else {}
            self._say({"id": call["id"], **said, **session})

    def answer(self, call: dict[str, Any], result: dict[str, Any]) -> None:
        self._say({"id": call["id"], "result": result, "sessionId": call["sessionId"]})

    def tell(self, method: str, params: dict[str, Any], session: str) -> None:
        self._say({"method": method, "params": params, "sessionId": session})

    def _say(self, message: dict[str, Any]) -> None:
        self.mux.received(json.dumps(message, separators=(",", ":")).encode())

    @property
    def asked(self) -> list[str]:
        return [call["method"] for call in self.calls]

    async def _rest(self) -> None:
        return

    def when_room(self, tell: Callable[[], None]) -> None:
        self.waiting.append(tell)

    def pause(self, who: object) -> None:
        self.paused.add(who)

    def resume(self, who: object) -> None:
        self.paused.discard(who)


@pytest.fixture
async def chrome() -> Chrome:
    return Chrome()


@pytest.fixture
async def endpoint() -> AsyncIterator[CdpEndpoint]:
    async with await CdpEndpoint.start("127.0.0.1", 0) as started:
        yield started


@pytest.fixture
def grant(endpoint: CdpEndpoint, chrome: Chrome) -> Grant:
    return endpoint.issue(chrome.browser, lambda: None, lambda: None, lambda _: None)


async def why_closed(grant: Grant) -> tuple[str, int]:
    """Connect and wait for the end."""
    async with connect(grant.url) as client:
        with pytest.raises(CdpClosed) as closed:
            await client.call("Runtime.neverAnswered", timeout=30)
    return closed.value.reason, closed.value.code


async def test_a_secret_is_long_and_its_own(endpoint: CdpEndpoint, chrome: Chrome) -> None:
    grants = [endpoint.issue(chrome.browser, lambda: None, lambda: None, lambda _: None) for _ in range(3)]
    assert len({grant.secret for grant in grants}) == 3
    assert min(len(grant.secret) for grant in grants) >= 43
    assert [grant.url.endswith(f"/cdp/{grant.secret}") for grant in grants] == [True] * 3


async def test_a_wrong_secret_is_told_nothing(grant: Grant) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/cdp/wrong", "/cdp/", "/", "/json/version"):
            async with http.get(grant.url.partition("/cdp/")[0].replace("ws:", "http:") + path) as answer:
                assert answer.status == 404


async def test_a_chrome_that_is_gone_is_told(grant: Grant, chrome: Chrome) -> None:
    chrome.mux.lost("BROWSER_CRASHED")
    assert await why_closed(grant) == ("BROWSER_CRASHED", 4005)


async def test_a_chrome_that_does_not_take_a_client_is_told(
    grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.mux.DETACH_S", 0.05)
    chrome.silent = {"Target.attachToBrowserTarget"}
    assert await why_closed(grant) == ("BROWSER_CRASHED", 4005)


async def test_a_client_that_is_still_joining_is_cut_too(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.mux.DETACH_S", 2)
    chrome.silent = {"Target.attachToBrowserTarget"}
    ending = asyncio.create_task(why_closed(grant))
    await until(lambda: "Target.attachToBrowserTarget" in chrome.asked)
    await endpoint.cut(grant.secret, "HOLD_REVOKED")
    assert await ending == ("HOLD_REVOKED", 4004)
    assert "Runtime.neverAnswered" not in chrome.asked


async def test_a_cut_does_not_wait_for_a_silent_chrome_without_end(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.mux.DETACH_S", 0.05)
    chrome.silent = {"Target.detachFromTarget"}
    async with connect(grant.url) as client:
        await client.call("Browser.getVersion")
        await asyncio.wait_for(endpoint.cut(grant.secret, "TOKEN_SUPERSEDED"), 30)
        with pytest.raises(CdpClosed, match="TOKEN_SUPERSEDED"):
            await client.call("Browser.getVersion")


async def test_a_reason_without_a_code_of_its_own_is_still_named(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome
) -> None:
    chrome.silent = {"Runtime.neverAnswered"}
    ending = asyncio.create_task(why_closed(grant))
    await until(lambda: "Runtime.neverAnswered" in chrome.asked)
    await endpoint.cut(grant.secret, "LEASE_ENDED_SOMEHOW")
    assert await ending == ("LEASE_ENDED_SOMEHOW", 4000)


async def test_stopping_cuts_everybody(endpoint: CdpEndpoint, grant: Grant, chrome: Chrome) -> None:
    chrome.silent = {"Runtime.neverAnswered"}
    ending = asyncio.create_task(why_closed(grant))
    await until(lambda: "Runtime.neverAnswered" in chrome.asked)
    await endpoint.aclose()
    assert await ending == ("SESSION_ENDED", 4001)
    await endpoint.aclose()


async def test_the_client_hears_of_a_cut_before_chrome_has_answered_the_detach(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.mux.DETACH_S", 90)
    chrome.silent = {"Target.detachFromTarget", "Runtime.neverAnswered"}
    ending = asyncio.create_task(why_closed(grant))
    await until(lambda: "Runtime.neverAnswered" in chrome.asked)
    cutting = asyncio.create_task(endpoint.cut(grant.secret, "TOKEN_SUPERSEDED"))
    assert await asyncio.wait_for(ending, 30) == ("TOKEN_SUPERSEDED", 4002)
    assert not cutting.done()
    cutting.cancel()
    chrome.mux.lost("BROWSER_CRASHED")


async def test_a_socket_that_opens_in_the_instant_of_a_cut_is_closed_with_the_reason(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = Visit.accept

    def while_cut(self: Visit) -> WebSocket:
        socket = accept(self)
        cutting.append(asyncio.ensure_future(endpoint.cut(grant.secret, "HOLD_REVOKED")))
        return socket

    cutting: list[asyncio.Future[None]] = []
    monkeypatch.setattr(Visit, "accept", while_cut)
    assert await why_closed(grant) == ("HOLD_REVOKED", 4004)
    assert "Runtime.neverAnswered" not in chrome.asked


async def test_who_is_cut_while_chrome_lets_it_in_is_put_out_again(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome
) -> None:
    chrome.silent = {"Target.attachToBrowserTarget"}
    ending = asyncio.create_task(why_closed(grant))
    await until(lambda: "Target.attachToBrowserTarget" in chrome.asked)
    await endpoint.cut(grant.secret, "PROFILE_QUARANTINED")
    assert await ending == ("PROFILE_QUARANTINED", 4007)
    chrome.mux.received(b'{"id":1,"result":{"sessionId":"S"}}')
    await until(lambda: "Target.detachFromTarget" in chrome.asked)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TokenSuperseded(profile="p", token=1), 4002),
        (LeaseExpired(), 4003),
        (HoldRevoked(), 4004),
        (BrowserCrashed(), 4005),
        (ProfileQuarantined(profile="p"), 4007),
        (StoreUnavailable(), 4008),
    ],
)
async def test_a_gate_that_closes_says_why_in_the_close_frame(
    endpoint: CdpEndpoint, chrome: Chrome, error: TenureError, code: int
) -> None:
    def gate() -> None:
        raise error

    assert await why_closed(endpoint.issue(chrome.browser, gate, lambda: None, lambda _: None)) == (
        error.reason,
        code,
    )
    assert "Runtime.neverAnswered" not in chrome.asked


@pytest.mark.parametrize(("host", "status"), [("localhost", 101), ("127.0.0.1", 101), ("evil.example", 403)])
async def test_only_the_listening_address_is_a_name_of_the_endpoint(
    grant: Grant, host: str, status: int
) -> None:
    port = grant.url.removeprefix("ws://").partition("/")[0].rpartition(":")[2]
    async with aiohttp.ClientSession() as http:
        try:
            async with http.ws_connect(grant.url, headers={"Host": f"{host}:{port}"}):
                seen = 101
        except aiohttp.WSServerHandshakeError as refused:
            seen = refused.status
    assert seen == status


async def test_a_call_inside_a_call_that_is_refused_is_answered_inside(grant: Grant) -> None:
    inner = {"id": 3, "method": "Page.navigate", "params": {"url": "file:///x"}}
    middle = {"id": 2, "method": NESTS, "params": {"sessionId": "PAGE", "message": json.dumps(inner)}}
    heard: list[dict[str, Any]] = []
    async with connect(grant.url) as client:
        client.listen(lambda method, params, _: heard.append(params))
        params = {"sessionId": "FRAME", "message": json.dumps(middle)}
        assert await client.call(NESTS, params) == {}
        await until(lambda: len(heard) == 2)
    assert {each["sessionId"] for each in heard} == {"FRAME"}
    assert json.loads(heard[0]["message"]) == {"id": 2, "result": {}}
    event = json.loads(heard[1]["message"])
    assert (event["method"], event["params"]["sessionId"]) == ("Target.receivedMessageFromTarget", "PAGE")
    answer = json.loads(event["params"]["message"])
    assert answer["id"] == 3
    assert answer["error"]["message"].startswith("Page.navigate is refused by the session's policy")


async def test_what_cannot_be_read_inside_a_call_is_refused_outside(grant: Grant, chrome: Chrome) -> None:
    async with connect(grant.url) as client:
        with pytest.raises(CdpError, match="its inner message cannot be read"):
            await client.call(NESTS, {"sessionId": "PAGE", "message": "{"})
    assert NESTS not in chrome.asked


SHOWN = {"targetId": "T1", "type": "page", "url": "https://a.example/", "title": "A"}
HIDDEN = {"targetId": "X1", "type": "page", "url": "chrome://settings/", "title": "X"}
TAB = {"targetId": "B1", "type": "tab", "url": "https://a.example/", "title": ""}


@pytest.fixture
async def paged(chrome: Chrome, grant: Grant) -> Grant:
    """A grant on a browser in which there are pages."""
    chrome.mux.watch()
    await until(lambda: "Target.setDiscoverTargets" in chrome.asked)
    for info in (SHOWN, HIDDEN, TAB):
        chrome.tell("Target.targetCreated", {"targetInfo": info}, session="S")
    return grant


def http(grant: Grant, path: str = "") -> str:
    return grant.url.replace("ws:", "http:") + path


async def asked(url: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await (answer.json() if answer.status == 200 else answer.text())


@pytest.mark.parametrize("slash", ["", "/"])
async def test_tools_that_ask_get_addresses_with_their_secret(
    paged: Grant, chrome: Chrome, slash: str
) -> None:
    chrome.results["Target.getTargets"] = {"targetInfos": [SHOWN, HIDDEN, TAB]}
    chrome.results["Browser.getVersion"] = {
        "product": "Chrome/156",
        "protocolVersion": "1.3",
        "revision": "@1",
    }
    _, version = await asked(http(paged, f"/json/version{slash}"))
    assert version["webSocketDebuggerUrl"] == paged.url
    assert (version["Browser"], version["Protocol-Version"]) == ("Chrome/156", "1.3")
    for path in ("/json", "/json/list"):
        _, [page] = await asked(http(paged, f"{path}{slash}"))
        assert (page["id"], page["type"], page["title"]) == ("T1", "page", "A")
        assert page["webSocketDebuggerUrl"] == f"{paged.url}/page/T1"


async def test_the_name_that_a_tool_came_by_is_the_one_it_is_told(paged: Grant) -> None:
    port = paged.url.removeprefix("ws://127.0.0.1:").partition("/")[0]
    _, version = await asked(http(paged, "/json/version"), Host=f"localhost:{port}")
    assert version["webSocketDebuggerUrl"] == f"ws://localhost:{port}/cdp/{paged.secret}"


@pytest.mark.parametrize(
    "path",
    ["/json/new", "/json/version/x", "/json/close/T1", "/page/X1", "/page/B1", "/page/none", "/page", "/x"],
)
async def test_what_is_not_there_is_not_found(paged: Grant, path: str) -> None:
    assert (await asked(http(paged, path)))[0] == 404


async def test_who_may_act_no_more_is_told_nothing(endpoint: CdpEndpoint, chrome: Chrome) -> None:
    def gate() -> None:
        raise TokenSuperseded(profile="p", token=1)

    grant = endpoint.issue(chrome.browser, gate, lambda: None, lambda _: None)
    for path in ("/json/version", "/json/list"):
        assert (await asked(http(grant, path)))[0] == 403
    await endpoint.cut(grant.secret, "TOKEN_SUPERSEDED")
    assert (await asked(http(grant, "/json/version")))[0] == 404


async def test_a_chrome_that_is_gone_is_a_bad_gateway(grant: Grant, chrome: Chrome) -> None:
    chrome.mux.lost("BROWSER_CRASHED")
    assert (await asked(http(grant, "/json/version")))[0] == 502


async def test_a_page_of_the_web_may_not_ask(paged: Grant) -> None:
    assert (await asked(http(paged, "/json/list"), Origin="http://127.0.0.1"))[0] == 403


async def test_a_client_of_one_page_believes_itself_alone_on_it(paged: Grant, chrome: Chrome) -> None:
    chrome.results["Target.attachToTarget"] = {"sessionId": "PAGE"}
    heard: list[tuple[str, str]] = []
    async with connect(f"{paged.url}/page/T1") as client:
        client.listen(lambda method, _, session: heard.append((method, session)))
        assert await client.call("Runtime.evaluate", {"expression": "1"}) == {"expression": "1"}
        assert chrome.calls[-1]["sessionId"] == "PAGE"
        with pytest.raises(CdpError, match="Session with given id not found"):
            await client.call("Browser.getVersion", session="S2")
        chrome.tell("Page.loadEventFired", {}, session="PAGE")
        chrome.tell("Target.targetCreated", {"targetInfo": SHOWN}, session="S2")
        over = asyncio.get_running_loop().create_future()
        client.when_lost(over.set_result)
        chrome.tell("Target.detachedFromTarget", {"sessionId": "PAGE", "targetId": "T1"}, session="S2")
        assert (await asyncio.wait_for(over, 30)).code == 1000
    assert heard == [("Page.loadEventFired", ""), ("Inspector.detached", "")]
    assert [call["params"] for call in chrome.calls if call["method"] == "Target.detachFromTarget"] == [
        {"sessionId": "S2"}
    ]


async def test_a_page_that_closes_while_a_client_comes_ends_it(paged: Grant, chrome: Chrome) -> None:
    chrome.errors.add("Target.attachToTarget")
    async with connect(f"{paged.url}/page/T1") as client:
        with pytest.raises(CdpClosed) as closed:
            await client.call("Runtime.neverAnswered", timeout=30)
    assert (closed.value.code, closed.value.reason) == (1000, "PAGE_CLOSED")
    await until(lambda: "Target.detachFromTarget" in chrome.asked)


async def test_a_further_address_connects_until_its_time_is_over_and_is_cut_with_the_session(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    further = grant.url.replace(grant.secret, endpoint.issue_further(grant.secret, Kind.CDP, now + 60))
    view = grant.url.replace(grant.secret, endpoint.issue_further(grant.secret, Kind.VIEW, now + 60))
    async with connect(further) as early, connect(grant.url) as first:
        monkeypatch.setattr(time, "time", lambda: now + 61)
        for address in (further, view):
            with pytest.raises(CdpClosed):
                async with connect(address):
                    pass
        assert (await asked(http(Grant(further, ""), "/json/version")))[0] == 404
        await early.call("Browser.getVersion")
        lost: list[CdpClosed] = []
        for client in (early, first):
            client.when_lost(lost.append)
        await endpoint.cut(grant.secret, "TOKEN_SUPERSEDED")
        await until(lambda: len(lost) == 2)
        assert {why.code for why in lost} == {4002}
    monkeypatch.setattr(time, "time", lambda: now)
    for secret, kind in ((further, Kind.CDP), (view, Kind.VIEW), (grant.url, Kind.CDP)):
        assert endpoint.find(secret.rpartition("/")[2], kind) is None
    with pytest.raises(KeyError):
        endpoint.issue_further(grant.secret, Kind.CDP, now + 60)


async def test_a_grant_is_let_in_again_under_the_secrets_that_it_had(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome
) -> None:
    further = endpoint.issue_further(grant.secret, Kind.CDP, time.time() + 60)
    kept = endpoint.addresses(grant.secret)
    assert kept is not None
    await endpoint.cut(grant.secret, "HOST_STOPPING")
    again = endpoint.issue(chrome.browser, lambda: None, lambda: None, lambda _: None, kept)
    assert again == grant
    for secret in (grant.secret, further):
        async with connect(grant.url.replace(grant.secret, secret)) as client:
            assert await client.call("Browser.getVersion") == {}


async def test_a_session_has_so_many_clients_until_one_leaves(
    endpoint: CdpEndpoint, grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.endpoint.MOST_GUESTS", 2)
    issued = endpoint.find(grant.secret, Kind.CDP)
    assert issued is not None
    async with connect(grant.url) as first, aiohttp.ClientSession() as http:
        async with connect(grant.url) as second:
            for client in (first, second):
                assert await client.call("Browser.getVersion") == {}
            async with http.get(grant.url.replace("ws", "http", 1)) as refused:
                assert refused.status == HTTPStatus.TOO_MANY_REQUESTS
                assert "2 connections already" in await refused.text()
        await until(lambda: len(issued.clients) == 1)
        async with connect(grant.url) as third:
            assert await third.call("Browser.getVersion") == {}


def test_whoever_asks_a_browser_waits_longer_than_a_slow_client_keeps_it_from_answering() -> None:
    for waits in (endpoint_module, acting_page, driving):
        assert waits.ANSWER_S >= 2 * backlog.STALL_S


async def unread(grant: Grant) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that connects, and reads nothing by itself."""
    host, _, path = grant.url.removeprefix("ws://").partition("/")
    name, _, port = host.rpartition(":")
    reader, writer = await asyncio.open_connection(name, int(port), limit=1024)
    head = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_slow_client_stops_the_pipe_and_then_itself_only(
    grant: Grant, chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.backlog.STALL_S", 0.1)
    _, writer = await unread(grant)
    await until(lambda: "Target.attachToBrowserTarget" in chrome.asked)
    async with connect(grant.url) as other:
        await other.call("Browser.getVersion")
        sent = 0
        async with asyncio.timeout(30):
            while not chrome.paused:
                chrome.tell("Page.screencastFrame", {"data": "x" * (1 << 20)}, session="S")
                sent += 1
                await asyncio.sleep(0)
        assert sent < 64
        # Whatever was read before still goes both ways, and then everything again.
        await other.call("Browser.getVersion")
        await until(lambda: not chrome.paused)
        await until(lambda: "Target.detachFromTarget" in chrome.asked)
        await other.call("Browser.getVersion")
    detached = [call["params"] for call in chrome.calls if call["method"] == "Target.detachFromTarget"]
    assert detached[0] == {"sessionId": "S"}
    writer.close()


async def test_a_client_waits_while_chrome_takes_no_more(grant: Grant, chrome: Chrome) -> None:
    async with connect(grant.url) as client:
        await client.call("Browser.getVersion")
        chrome.full = True
        first = client.post("Runtime.evaluate", {"number": 1})
        await until(lambda: chrome.waiting)
        second = client.post("Runtime.evaluate", {"number": 2})
        assert await first == {"number": 1}
        for _ in range(200):
            await asyncio.sleep(0)  # it could have come by now
        assert not second.done()
        assert chrome.asked.count("Runtime.evaluate") == 1
        chrome.full = False
        chrome.waiting.pop()()
        assert await asyncio.wait_for(second, 30) == {"number": 2}


@pytest.mark.parametrize("pad", ["", "x" * 5000])
async def test_what_the_policy_looked_at_is_sent_as_it_was_read(
    grant: Grant, chrome: Chrome, pad: str
) -> None:
    """Of a name that is there twice Chrome may take the other one than the policy did."""
    url = '"url":"file:///etc/passwd","url":"https://a.example/"'
    params = {"url": "https://a.example/", "pad": pad}
    async with aiohttp.ClientSession() as session, session.ws_connect(grant.url) as socket:
        await socket.send_str(f'{{"id":1,"method":"Page.navigate","params":{{{url},"pad":"{pad}"}}}}')
        assert (await socket.receive_json(timeout=30))["result"] == params
        await socket.send_str(f'{{"id":2,"method":"Target.createTarget","params":{{{url},"pad":"{pad}"}}}}')
        assert (await socket.receive_json(timeout=30))["result"] == params
    sent = [raw for raw in chrome.written if b"a.example" in raw]
    assert len(sent) == 2
    assert not any(b"passwd" in raw for raw in sent)


async def test_a_large_call_passes_as_it_was_written(grant: Grant, chrome: Chrome) -> None:
    written = '{ "text": "' + "\\u00e9é" * 3000 + '" }'
    async with aiohttp.ClientSession() as session, session.ws_connect(grant.url) as socket:
        await socket.send_str(f'{{"id":1,"method":"Input.insertText","params":{written}}}')
        assert (await socket.receive_json(timeout=30))["result"] == {"text": "éé" * 3000}
    assert [written.encode() in raw for raw in chrome.written if b"insertText" in raw] == [True]


async def test_nothing_of_chromes_passes_a_gate_that_has_closed(
    endpoint: CdpEndpoint, chrome: Chrome
) -> None:
    closed: list[TenureError] = []

    def gate() -> None:
        for error in closed:
            raise error

    grant = endpoint.issue(chrome.browser, gate, lambda: None, lambda _: None)
    heard: list[str] = []
    async with connect(grant.url) as client:
        client.listen(lambda method, *_: heard.append(method))
        await client.call("Browser.getVersion")
        chrome.tell("Page.before", {}, session="S")
        closed.append(TokenSuperseded(profile="p", token=1))
        chrome.tell("Page.after", {}, session="S")
        over = asyncio.get_running_loop().create_future()
        client.when_lost(over.set_result)
        assert (await asyncio.wait_for(over, 30)).reason == "TOKEN_SUPERSEDED"
    assert heard == ["Page.before"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_client_of_a_page_that_leaves_the_web_is_put_off_it(
    paged: Grant, chrome: Chrome, when: str
) -> None:
    chrome.silent = {"Target.attachToTarget"}
    async with connect(f"{paged.url}/page/T1") as client:
        over = asyncio.get_running_loop().create_future()
        client.when_lost(over.set_result)
        await until(lambda: "Target.attachToTarget" in chrome.asked)
        attaching = chrome.calls[-1]
        left = {"targetInfo": {**SHOWN, "url": "file:///etc/passwd"}}
        if when == "before":
            chrome.tell("Target.targetInfoChanged", left, session="S")
        attached = {"sessionId": "PAGE", "targetInfo": SHOWN, "waitingForDebugger": False}
        chrome.tell("Target.attachedToTarget", attached, session="S2")
        chrome.answer(attaching, {"sessionId": "PAGE"})
        if when == "after":
            await client.call("Runtime.evaluate", {"expression": "1"})
            chrome.tell("Target.targetInfoChanged", left, session="S")
        assert (await asyncio.wait_for(over, 30)).reason == "PAGE_CLOSED"
    await until(lambda: {"sessionId": "S2"} in [call["params"] for call in chrome.calls])
