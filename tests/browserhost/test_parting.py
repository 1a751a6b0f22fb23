"""A host leaves its DevTools clients to the next one, which goes on with them. Without Chrome.

Two hosts have the ends of one pipe in turn, and a client speaks as the gateway does.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import WSMsgType

from browserhost import browser as browser_module
from browserhost import client as client_module
from browserhost import endpoint as endpoint_module
from browserhost import leaving, parked, parting
from browserhost.browser import Browser
from browserhost.endpoint import CdpEndpoint, Grant
from browserhost.keepers import Called
from browserhost.note import Note
from tenure.cdp import HANDED_OVER, QUIET, RETURNS
from tenure.errors import TenureError, TokenSuperseded
from tests.browserhost.test_resuming import PAGE, Left, end, sleeper, spec
from tests.fixtures.chrome import until

STOPPING = (4009, "HOST_STOPPING")


@dataclass
class Kept(Left):
    """Its ends of the pipe are given to one host after the other. Clients' bases are S1, S2 and so on."""

    bases: int = 0
    host: Browser | None = None
    """As the last host has it whose process runs."""
    _ends: tuple[int, int] = (-1, -1)

    def called(self) -> Called:
        called = super().called()
        self._ends = os.dup(called.write), os.dup(called.read)
        return called

    def called_again(self) -> Called:
        """The next host calls: with what the keeper was told last."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._line)
        self._line.close()
        ours, self._line = socket.socketpair()
        ours.setblocking(False)
        loop.add_reader(self._line, self._hear)
        self._heard = b""
        before, way_out = self.notes()[-1], socket.create_server(("127.0.0.1", 0))
        write, read = (os.dup(each) for each in self._ends)
        pid = self.process.pid
        start = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
        reports = (f"keeper {pid} {start}", f"xvfb {pid} {start} 7", f"chrome {pid} {start}")
        return Called(ours, write, read, way_out.detach(), reports, before)

    def close(self) -> None:
        super().close()
        for each in self._ends:
            os.close(each)

    def says(self, method: str, session: str, **params: Any) -> None:
        """An event."""
        self._say({"method": method, "params": params, "sessionId": session})

    def answers(self, number: int, session: str, **result: Any) -> None:
        """The answer to the client's call that had this parameter `number`."""
        (call,) = [each for each in self.calls if each["params"].get("number") == number]
        self._say({"id": call["id"], "result": result, "sessionId": session})

    @property
    def heard(self) -> list[int]:
        """Of the client's calls, those that came."""
        return [each["params"]["number"] for each in self.calls if "number" in each["params"]]

    def _answer(self, call: dict[str, Any]) -> None:
        if call["method"] == "Target.attachToBrowserTarget":
            self.bases += 1
            self.results = {**self.results, "Target.attachToBrowserTarget": {"sessionId": f"S{self.bases}"}}
        super()._answer(call)


@dataclass
class Gateway:
    """One client as the gateway has it. `said` is what it was told."""

    socket: aiohttp.ClientWebSocketResponse
    answers_pings: bool = True
    answers_closes: bool = True
    said: list[Any] = field(default_factory=list)
    closed: tuple[int, str] = (0, "")

    async def run(self) -> None:
        """Until it is closed."""
        while (message := await self.socket.receive(timeout=60)).type is not WSMsgType.CLOSE:
            if message.type is WSMsgType.PING and self.answers_pings:
                assert message.data == QUIET
                await self.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self.said.append(json.loads(message.data))
            elif message.type is not WSMsgType.PING:
                return
        self.closed = message.data, message.extra or ""
        if self.answers_closes:
            await self.socket.close()

    async def ask(self, number: int) -> None:
        await self.socket.send_json(
            {"id": number, "method": "Runtime.evaluate", "params": {"number": number}}
        )


@pytest.fixture
async def left(tmp_path: Path) -> AsyncIterator[Kept]:
    own = tmp_path / "tmp"
    own.mkdir()
    made = Kept(sleeper(), Note(str(tmp_path / "p"), str(own), str(own), context="C", window={}))
    # What clients ask is answered when the test says so.
    made.silent.add("Runtime.evaluate")
    yield made
    made.close()


@dataclass
class Host:
    """A browser, and where its clients come."""

    browser: Browser
    endpoint: CdpEndpoint
    gate: list[TenureError] = field(default_factory=list)

    def issue(self) -> Grant:
        def gate() -> None:
            if self.gate:
                raise self.gate[0]

        return self.endpoint.issue(self.browser, gate, lambda: None, lambda _: None)

    @asynccontextmanager
    async def connected(self, path: str, *, returns: bool = True) -> AsyncIterator[Gateway]:
        headers = {RETURNS: "1"} if returns else {}
        url = f"ws://{self.endpoint.address}/{path}"
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, autoping=False, autoclose=False, headers=headers) as opened,
        ):
            yield Gateway(opened)

    async def status(self, path: str) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with self.connected(path):
                pass
        return refused.value.status


@asynccontextmanager
async def host(called: Called, left: Kept) -> AsyncIterator[Host]:
    tickets = called.note.tickets
    async with await CdpEndpoint.start("127.0.0.1", 0, tickets) as endpoint:
        left.host = browser = await Browser.adopt(spec(left), called, still=False)
        endpoint.expect(browser)
        endpoint.returning.expected = frozenset()
        yield Host(browser, endpoint)
        if left.host is browser:
            left.host = None
            if not browser.ended.done():
                vanish(browser)


def vanish(browser: Browser) -> None:
    """What the end of the host's process is to it: its browser lives on."""
    browser._flushing.stop()
    browser.leaving._pipe.close()
    browser._forwarder.close()
    browser._tree._let_go()


@asynccontextmanager
async def next_host(left: Kept) -> AsyncIterator[Host]:
    assert left.host is not None
    vanish(left.host)
    async with host(left.called_again(), left) as following:
        yield following
        await end(following.browser)


async def asked(left: Kept, gateway: Gateway, number: int) -> None:
    """A call of the client's is Chrome's."""
    await gateway.ask(number)
    await until(lambda: number in left.heard)


def clients(left: Kept) -> Any:
    """What a next host would be told of them."""
    return left.notes()[-1].clients


async def test_a_client_goes_on_with_what_was_under_way_and_hears_everything_once(left: Kept) -> None:
    async with host(left.called(), left) as first:
        path = f"cdp/{first.issue().secret}"
        async with first.connected(path) as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await asked(left, gateway, 2)
            base = next(each["sessionId"] for each in left.calls if each["params"].get("number") == 1)
            left.answers(1, base, value="one")
            left.says("Page.before", base)
            await until(lambda: len(gateway.said) == 2)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        code, ticket = gateway.closed
        assert code == HANDED_OVER
        assert len(ticket) >= 43
        # Nobody reads it.
        left.says("Page.between", base)
        left.answers(2, base, value="two")
        left.says("Target.attachedToTarget", "", sessionId="OLD", targetInfo=PAGE, waitingForDebugger=False)
        said = len(left.calls)
        async with next_host(left) as second:
            # What it and the host before said of downloads stands.
            second.browser.begin_files(41)
            await second.browser.answers()
            assert "Browser.setDownloadBehavior" not in [each["method"] for each in left.calls[said:]]
            assert base not in [
                each["params"]["sessionId"]
                for each in left.calls
                if each["method"] == "Target.detachFromTarget"
            ]
            assert [page.session for page in second.browser._pages.all] == ["OWN"]
            assert await second.status(f"resumed/{ticket}") == 503
            second.issue()
            async with second.connected(f"resumed/{ticket}") as again:
                hearing = asyncio.create_task(again.run())
                await asked(left, again, 3)
                left.answers(3, base, value="three")
                await until(lambda: len(again.said) == 3)
                assert await second.status(f"resumed/{ticket}") == 404
                await again.socket.close()
                await hearing
    assert [each.get("id", each.get("method")) for each in gateway.said] == [1, "Page.before"]
    assert [each.get("id", each.get("method")) for each in again.said] == ["Page.between", 2, 3]
    assert left.heard == [1, 2, 3]


async def test_whoever_comes_after_the_next_host_is_told_of_no_client_that_was_left_to_that(
    left: Kept,
) -> None:
    """Or it would go on from where another has read further."""
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        assert set(clients(left)["clients"]) == {gateway.closed[1]}
        said = len(left.notes())
        async with next_host(left):
            after = left.notes()[said:]
            assert after
            assert [each.clients for each in after] == [None] * len(after)
            assert {each.turn for each in after} == {2}


@pytest.mark.parametrize("what", ["quiet", "end"])
async def test_a_client_of_which_it_is_not_known_what_it_heard_is_not_left_to_the_next_host(
    left: Kept, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(client_module, "QUIET_S", 1.0)
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            gateway.answers_pings, gateway.answers_closes = what != "quiet", what != "end"
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        assert gateway.closed == STOPPING or what == "end"
        assert clients(left) is None
        assert "S2" in left.notes()[-1].sessions or what == "quiet"
        await end(first.browser)


async def test_no_client_is_left_where_chrome_is_in_the_middle_of_a_message(
    left: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "REST_S", 0.2)
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            os.write(left._answers, b'{"method":"Page.half"')
            await until(lambda: bool(first.browser.leaving._pipe._partial))
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        assert gateway.closed == STOPPING
        assert clients(left) is None
        await end(first.browser)


async def test_no_client_is_left_of_which_there_is_too_much_to_say(
    left: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "MOST", 10)
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        assert clients(left) is None
        async with next_host(left) as second:
            second.issue()
            assert await second.status(f"resumed/{gateway.closed[1]}") == 404


async def test_who_comes_while_a_host_parts_is_not_told_that_there_is_no_such_session(left: Kept) -> None:
    async with host(left.called(), left) as first:
        path = f"cdp/{first.issue().secret}"
        async with first.connected(path) as gateway:
            gateway.answers_pings = False
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            parting = asyncio.create_task(first.endpoint.hand_over("HOST_STOPPING"))
            await asyncio.sleep(0)
            assert [await first.status(each) for each in (path, "resumed/t")] == [503, 503]
            gateway.answers_pings = True
            await gateway.socket.pong(b"unasked")
            await asked(left, gateway, 2)
            assert gateway.closed == (0, "")
            await gateway.socket.pong(QUIET)
            await parting
            await running
        assert gateway.closed[0] == HANDED_OVER
        # As long as it is there: whoever was left waits for the next host then, and not for nobody.
        assert await first.status(f"resumed/{gateway.closed[1]}") == 503
        await end(first.browser)


async def test_who_did_not_ask_to_come_back_is_cut_off(left: Kept) -> None:
    async with host(left.called(), left) as first:
        path = f"cdp/{first.issue().secret}"
        async with first.connected(path, returns=False) as direct:
            running = asyncio.create_task(direct.run())
            await asked(left, direct, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        assert direct.closed == STOPPING
        assert clients(left) is None
        await end(first.browser)


async def test_a_client_of_a_hold_that_ended_is_told_why_and_its_sessions_end(left: Kept) -> None:
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        base, ticket = left.calls[-1]["sessionId"], gateway.closed[1]
        async with next_host(left) as second:
            assert await second.status(f"resumed/{ticket}") == 503
            left.silent.clear()
            await second.browser.put_out("TOKEN_SUPERSEDED")
            ended = [
                each["params"]["sessionId"]
                for each in left.calls
                if each["method"] == "Target.detachFromTarget"
            ]
            assert base in ended
            async with second.connected(f"resumed/{ticket}") as again:
                await again.run()
            assert again.closed == (4002, "TOKEN_SUPERSEDED")
            assert left.heard == [1]


async def test_a_client_that_may_act_no_more_by_the_time_it_is_back_is_cut_off(left: Kept) -> None:
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        base = left.calls[-1]["sessionId"]
        left.says("Page.secret", base)
        async with next_host(left) as second:
            second.issue()
            second.gate.append(TokenSuperseded(token=41))
            async with second.connected(f"resumed/{gateway.closed[1]}") as again:
                await again.run()
            assert (again.said, again.closed) == ([], (4002, "TOKEN_SUPERSEDED"))


async def test_a_cut_ends_those_too_that_are_not_back_yet(left: Kept) -> None:
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        async with next_host(left) as second:
            grant = second.issue()
            await second.endpoint.cut(grant.secret, "PROFILE_QUARANTINED")
            async with second.connected(f"resumed/{gateway.closed[1]}") as again:
                await again.run()
            assert again.closed == (4007, "PROFILE_QUARANTINED")


@pytest.mark.parametrize("bound", ["time", "bytes"])
async def test_a_client_that_is_not_back_in_time_is_waited_for_no_longer(
    left: Kept, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        base = left.calls[-1]["sessionId"]
        monkeypatch.setattr(parked, "PARKED_S", 0.1 if bound == "time" else 600.0)
        monkeypatch.setattr(parked, "MOST", 1000 if bound == "bytes" else 1 << 20)
        async with next_host(left) as second:
            left.says("Page.much", base, text="x" * 1000)
            await until(lambda: not second.browser.mux.roster.waiting)
            second.issue()
            async with second.connected(f"resumed/{gateway.closed[1]}") as again:
                await again.run()
            assert (again.said, again.closed) == ([], STOPPING)


async def test_what_another_version_wrote_of_clients_ends_them(left: Kept) -> None:
    left.note = replace(left.note, clients={"clients": {"t": {"what": 1}}}, sessions=("OLD",))
    async with host(left.called(), left) as only:
        assert only.browser.mux.roster.parked == {}
        ended = [each["params"] for each in left.calls if each["method"] == "Target.detachFromTarget"]
        assert {"sessionId": "OLD"} in ended
        await end(only.browser)


async def test_a_client_that_is_gone_has_nothing_more_to_say(left: Kept) -> None:
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            (issued,) = first.endpoint._issued.values()
            (guest,) = issued.clients
            assert isinstance(guest, client_module.Client)
            # Its end was heard, and its own task has not come to it yet.
            guest._socket._protocol.receive_eof()
            guest._socket.lost()
            assert not await guest.quiet()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await guest._socket.ping(QUIET)
            await running
        await end(first.browser)


async def test_a_browser_whose_clients_cannot_be_left_costs_those_of_others_nothing(
    left: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def part(browser: Browser, guests: frozenset[client_module.Guest], reason: str) -> None:
        if browser is not first.browser:
            raise RuntimeError("broken")
        await parting.part(browser, guests, reason)

    monkeypatch.setattr(endpoint_module, "part", part)
    async with host(left.called(), left) as first:
        broken = cast(Browser, SimpleNamespace(mux=first.browser.mux))
        first.endpoint.issue(broken, lambda: None, lambda: None, lambda _: None)
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        assert gateway.closed[0] == HANDED_OVER
        await end(first.browser)


async def test_a_client_whose_time_is_over_while_it_comes_in_is_told_why(left: Kept) -> None:
    async with host(left.called(), left) as first:
        async with first.connected(f"cdp/{first.issue().secret}") as gateway:
            running = asyncio.create_task(gateway.run())
            await asked(left, gateway, 1)
            await first.endpoint.hand_over("HOST_STOPPING")
            await running
        async with next_host(left) as second:
            waiting = second.browser.mux.roster.parked[gateway.closed[1]]
            waiting.end(parked.NOT_BACK)
            told: list[str] = []
            waiting.take(lambda _: None, told.append)
            assert told == [parked.NOT_BACK]


async def test_who_is_put_out_is_done_in_a_busy_page_too(left: Kept) -> None:
    async with host(left.called(), left) as first:
        putting_out = asyncio.create_task(first.browser.put_out("TOKEN_SUPERSEDED"))
        await until(lambda: "Runtime.evaluate" in [each["method"] for each in left.calls])
        assert not putting_out.done()
        (busy,) = [each for each in left.calls if each["method"] == "Runtime.evaluate"]
        left._say({"id": busy["id"], "result": {}, "sessionId": busy["sessionId"]})
        await asyncio.wait_for(putting_out, 30)
        await end(first.browser)


async def test_a_page_that_stays_busy_is_not_waited_for_longer_than_allowed(
    left: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_module, "REST_S", 0.05)
    async with host(left.called(), left) as first:
        await asyncio.wait_for(first.browser.put_out("TOKEN_SUPERSEDED"), 30)
        await end(first.browser)
