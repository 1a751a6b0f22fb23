"""Routing between one pipe and many clients, without Chrome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from browserhost.frames import Piece
from browserhost.mux import CdpMux, MuxClient
from tenure.cdp import CdpClosed


class Chrome:
    """The pipe's other end: keeps what is written, answers attaches and detaches by itself."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self.silent = False
        self.paused: set[object] = set()
        self.full = False
        self.mux = CdpMux(self)
        self._sessions = 0

    def say(self, **message: Any) -> None:
        self.mux.received(json.dumps(message, separators=(",", ":")).encode())

    def answer(self, call: dict[str, Any], **result: Any) -> None:
        session = {"sessionId": call["sessionId"]} if "sessionId" in call else {}
        self.say(id=call["id"], result=result, **session)

    def write(self, *pieces: Piece) -> None:
        call = json.loads(b"".join(pieces))
        self.written.append(call)
        if self.silent:
            return
        if call["method"] == "Target.attachToBrowserTarget" and "sessionId" not in call:
            self._sessions += 1
            self.answer(call, sessionId=f"S{self._sessions}")
        elif call["method"] == "Target.detachFromTarget":
            self.answer(call)

    def when_room(self, tell: Callable[[], None]) -> None:
        tell()

    def pause(self, who: object) -> None:
        self.paused.add(who)

    def resume(self, who: object) -> None:
        self.paused.discard(who)


class Client:
    """A client and what it was told."""

    def __init__(self, mux: CdpMux) -> None:
        self.heard: list[dict[str, Any]] = []
        self.lost: list[str] = []
        self._mux = mux
        self.member: MuxClient | None = None

    async def join(self) -> Client:
        self.member = await self._mux.join(
            lambda message: self.heard.append(json.loads(message)), self.lost.append
        )
        return self

    def send(self, **message: Any) -> None:
        assert self.member is not None
        self._mux.send(self.member, {"params": {}, "sessionId": "", **message})

    async def leave(self) -> None:
        assert self.member is not None
        await self._mux.leave(self.member)


@pytest.fixture
async def chrome() -> Chrome:
    return Chrome()


async def test_each_client_gets_its_own_browser_session_and_its_own_ids(chrome: Chrome) -> None:
    one, two = await Client(chrome.mux).join(), await Client(chrome.mux).join()
    one.send(id=1, method="Browser.getVersion")
    two.send(id=1, method="Browser.getVersion")
    first, second = chrome.written[-2:]
    assert (first["sessionId"], second["sessionId"]) == ("S1", "S2")
    assert first["id"] != second["id"]
    chrome.answer(second, who="two")
    chrome.answer(first, who="one")
    assert one.heard == [{"id": 1, "result": {"who": "one"}}]
    assert two.heard == [{"id": 1, "result": {"who": "two"}}]


async def test_events_of_a_child_session_go_to_the_client_that_attached_it(chrome: Chrome) -> None:
    one, two = await Client(chrome.mux).join(), await Client(chrome.mux).join()
    one.send(id=5, method="Target.attachToTarget")
    chrome.answer(chrome.written[-1], sessionId="CHILD")
    chrome.say(method="Page.loaded", params={}, sessionId="CHILD")
    assert one.heard[-1] == {"method": "Page.loaded", "params": {}, "sessionId": "CHILD"}
    assert two.heard == []


async def test_children_of_children_are_learnt_from_what_chrome_tells(chrome: Chrome) -> None:
    client = await Client(chrome.mux).join()
    for parent, child in (("S1", "PAGE"), ("PAGE", "FRAME")):
        attach(chrome, "https://a.example/", child, parent)
    client.send(id=1, method="Runtime.enable", sessionId="FRAME")
    assert chrome.written[-1]["sessionId"] == "FRAME"
    chrome.say(method="Target.detachedFromTarget", params={"sessionId": "FRAME"}, sessionId="PAGE")
    written = len(chrome.written)
    client.send(id=2, method="Runtime.enable", sessionId="FRAME")
    assert len(chrome.written) == written
    assert client.heard[-1]["error"]["code"] == -32001


async def test_a_client_cannot_use_anothers_session(chrome: Chrome) -> None:
    one, two = await Client(chrome.mux).join(), await Client(chrome.mux).join()
    attach(chrome, "https://a.example/", parent="S1")
    written = len(chrome.written)
    for session in ("CHILD", "S1", "made up"):
        two.send(id=3, method="Runtime.enable", sessionId=session)
        assert two.heard[-1]["id"] == 3
        assert "error" in two.heard[-1]
    assert len(chrome.written) == written
    assert len(one.heard) == 1


async def test_the_hosts_own_calls_and_events_stay_the_hosts(chrome: Chrome) -> None:
    client, heard = await Client(chrome.mux).join(), []
    chrome.mux.root.listen(lambda method, params, session: heard.append((method, session)))
    call = chrome.mux.root.post("Target.getTargets")
    chrome.answer(chrome.written[-1], targetInfos=[])
    assert await call == {"targetInfos": []}
    chrome.say(method="Page.loaded", params={}, sessionId="HOSTS")
    assert heard == [("Page.loaded", "HOSTS")]
    assert client.heard == []


async def test_who_left_hears_nothing_more_and_is_detached_once(chrome: Chrome) -> None:
    client = await Client(chrome.mux).join()
    client.send(id=1, method="Runtime.enable")
    late = chrome.written[-1]
    await client.leave()
    await client.leave()
    assert [call["method"] for call in chrome.written].count("Target.detachFromTarget") == 1
    chrome.answer(late)
    chrome.say(method="Page.loaded", params={}, sessionId="S1")
    assert client.heard == []


async def test_whoever_has_a_client_put_out_waits_until_it_is_out(chrome: Chrome) -> None:
    client = await Client(chrome.mux).join()
    chrome.silent = True
    leaving = [asyncio.create_task(client.leave()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.pop(0).cancel()  # who asked first has gone away
    await asyncio.sleep(0)
    assert not leaving[0].done()
    detach = chrome.written[-1]
    assert detach["method"] == "Target.detachFromTarget"
    chrome.answer(detach)
    await leaving[0]


async def test_a_lost_pipe_tells_everybody_and_fails_what_waits(chrome: Chrome) -> None:
    client = await Client(chrome.mux).join()
    waiting = chrome.mux.root.post("Browser.getVersion")
    chrome.mux.lost("BROWSER_CRASHED")
    assert client.lost == ["BROWSER_CRASHED"]
    with pytest.raises(CdpClosed, match="BROWSER_CRASHED"):
        await waiting
    await client.leave()
    with pytest.raises(CdpClosed):
        await Client(chrome.mux).join()


async def test_a_chrome_that_does_not_answer_a_detach_is_not_waited_for_without_end(
    chrome: Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserhost.mux.DETACH_S", 0.01)
    client = await Client(chrome.mux).join()
    chrome.silent = True
    with pytest.raises(asyncio.TimeoutError):
        await client.leave()


def target(url: str, name: str = "T", kind: str = "page") -> dict[str, str]:
    return {"targetId": name, "type": kind, "url": url, "browserContextId": "C"}


async def watching(chrome: Chrome) -> Client:
    """A client of a browser whose targets are followed; that session is S1, the client's S2."""
    chrome.mux.watch()
    await asyncio.sleep(0)
    assert chrome.written[-1]["method"] == "Target.setDiscoverTargets"
    return await Client(chrome.mux).join()


def attach(chrome: Chrome, url: str, session: str = "CHILD", parent: str = "S2", name: str = "T") -> None:
    params = {"sessionId": session, "targetInfo": target(url, name), "waitingForDebugger": False}
    chrome.say(method="Target.attachedToTarget", params=params, sessionId=parent)


async def test_who_is_attached_to_a_page_that_leaves_the_web_is_put_off_at_once(chrome: Chrome) -> None:
    client = await watching(chrome)
    attach(chrome, "https://a.example/")
    chrome.say(method="Target.targetInfoChanged", params={"targetInfo": target("file:///x")}, sessionId="S1")
    detached = {"sessionId": "CHILD", "targetId": "T"}
    assert client.heard[-1] == {"method": "Target.detachedFromTarget", "params": detached}
    calls = [(call["method"], call.get("sessionId"), call["params"]) for call in chrome.written[-3:]]
    assert calls == [
        ("Target.detachFromTarget", "S2", {"sessionId": "CHILD"}),
        ("Target.createTarget", None, {"url": "about:blank"}),
        ("Target.closeTarget", None, {"targetId": "T"}),
    ]
    heard, written = len(client.heard), len(chrome.written)
    chrome.say(method="Page.loaded", params={}, sessionId="CHILD")
    chrome.say(method="Target.detachedFromTarget", params=detached, sessionId="S2")
    assert len(client.heard) == heard
    client.send(id=9, method="Runtime.evaluate", sessionId="CHILD")
    assert client.heard[-1]["error"]["code"] == -32001
    assert len(chrome.written) == written


async def test_a_session_on_what_is_not_of_the_web_is_never_the_clients(chrome: Chrome) -> None:
    client = await watching(chrome)
    client.send(id=4, method="Target.attachToTarget", params={"targetId": "T"})
    call = chrome.written[-1]
    attach(chrome, "chrome://settings")
    assert chrome.written[-1]["params"] == {"sessionId": "CHILD"}
    chrome.answer(call, sessionId="CHILD")
    assert [message.get("error", {}).get("code") for message in client.heard] == [-32602]
    assert client.member is not None
    assert chrome.mux.is_hidden(client.member, "CHILD")
    assert not chrome.mux.is_hidden(client.member, "S2")


async def test_a_session_inside_a_session_of_the_old_manner_is_looked_at_too(chrome: Chrome) -> None:
    client = await watching(chrome)
    attach(chrome, "https://a.example/", "PAGE")
    inner = {"sessionId": "FRAME", "targetInfo": target("chrome-extension://x/", "F", "iframe")}
    for text in (
        json.dumps({"method": "Target.attachedToTarget", "params": inner}),
        json.dumps(
            {"method": "Target.attachedToTarget", "params": {**inner, "targetInfo": target("https://b")}}
        ),
    ):
        params = {"sessionId": "PAGE", "message": text}
        chrome.say(method="Target.receivedMessageFromTarget", params=params, sessionId="S2")
    assert client.member is not None
    assert chrome.mux.is_hidden(client.member, "FRAME")
    assert len(client.heard) == 2


async def test_what_is_not_of_the_web_is_not_listed_and_not_told_of(chrome: Chrome) -> None:
    client = await watching(chrome)
    infos = [target("https://a"), target("chrome://x", "X"), target("chrome://y", "Y", "browser_ui")]
    client.send(id=1, method="Target.getTargets")
    chrome.answer(chrome.written[-1], targetInfos=infos)
    assert client.heard[-1] == {"id": 1, "result": {"targetInfos": infos[:1]}}
    for each in infos:
        chrome.say(method="Target.targetCreated", params={"targetInfo": each}, sessionId="S2")
    chrome.say(method="Target.targetDestroyed", params={"targetId": "X"}, sessionId="S2")
    assert [message["method"] for message in client.heard[1:]] == ["Target.targetCreated"]


async def test_another_tab_of_the_web_is_enough_of_a_window(chrome: Chrome) -> None:
    await watching(chrome)
    for each in (target("https://a", "A"), target("chrome://newtab/", "N")):
        chrome.say(method="Target.targetCreated", params={"targetInfo": each}, sessionId="S1")
    assert chrome.written[-1]["method"] == "Target.closeTarget"
    assert "Target.createTarget" not in [call["method"] for call in chrome.written]


@pytest.mark.parametrize("of_a_session", [False, True])
async def test_chromes_word_on_a_call_that_it_could_not_read_is_nobodys(of_a_session: bool) -> None:
    chrome = Chrome()
    client = await Client(chrome.mux).join()
    assert client.member is not None
    session = {"sessionId": client.member.base} if of_a_session else {}
    chrome.say(error={"code": -32700, "message": "JSON: invalid token at position 52"}, **session)
    assert (client.heard, client.lost) == ([], [])
