"""Clients that one host wrote down and the next goes on with: whose what Chrome says next is."""

from __future__ import annotations

import json
from typing import Any

from browserhost.mux import CdpMux
from tests.browserhost.test_mux import Chrome, Client
from tests.fixtures.chrome import until

PAGE = {"targetId": "T", "type": "page", "url": "https://a.test/", "browserContextId": "C"}
OWN_PAGE = {"targetId": "X", "type": "page", "url": "chrome://settings/", "browserContextId": "C"}


async def watched(chrome: Chrome, *infos: dict[str, Any]) -> None:
    """A browser whose targets are followed, on the session S1."""
    chrome.mux.watch()
    await until(lambda: chrome.mux.roster.watch)
    for info in infos:
        chrome.say(method="Target.targetCreated", params={"targetInfo": info}, sessionId="S1")


async def client_of(chrome: Chrome) -> Client:
    client = Client(chrome.mux)
    await client.join()
    return client


class Next:
    """The next host, with what it goes on with, by way of JSON. `heard` is what it keeps for the client."""

    def __init__(self, chrome: Chrome, client: Client) -> None:
        assert client.member is not None
        state = json.loads(json.dumps(chrome.mux.roster.state({"ticket": client.member})))
        self.chrome = Chrome()
        self.mux = self.chrome.mux = CdpMux(self.chrome, 1000)
        self.mux.roster.restore(state, self.mux.dismiss)
        self.heard: list[dict[str, Any]] = []
        self.own: list[str] = []
        """What the host itself hears."""
        self.mux.root.listen(lambda method, params, session: self.own.append(method))

    def says(self, **message: Any) -> None:
        """While it is not in step yet."""
        self.mux.overhear(json.dumps(message, separators=(",", ":")).encode())

    def back(self) -> None:
        self.mux.roster.parked["ticket"].take(
            lambda pieces: self.heard.append(json.loads(b"".join(pieces))), lambda reason: None
        )


async def test_answers_and_events_of_a_clients_sessions_are_its_own_and_no_others() -> None:
    chrome = Chrome()
    await watched(chrome, PAGE)
    client = await client_of(chrome)
    chrome.silent = True
    client.send(id=7, method="Target.attachToTarget", params={"targetId": "T", "flatten": True})
    attach = chrome.written[-1]
    client.send(id=8, method="Target.getTargets")
    targets = chrome.written[-1]
    client.send(id=9, method="Page.enable")
    enable = chrome.written[-1]
    following = Next(chrome, client)
    attached = {"sessionId": "P", "targetInfo": PAGE, "waitingForDebugger": False}
    following.says(method="Target.attachedToTarget", params=attached, sessionId="S2")
    following.says(id=attach["id"], result={"sessionId": "P"}, sessionId="S2")
    following.says(method="Page.loaded", params={}, sessionId="P")
    following.says(id=targets["id"], result={"targetInfos": [PAGE, OWN_PAGE]}, sessionId="S2")
    following.says(id=enable["id"], error={"code": -32001})
    # The host before asked, or heard, these.
    following.says(id=3, result={})
    following.says(method="Target.targetCreated", params={"targetInfo": PAGE})
    following.says(method="Page.loaded", params={}, sessionId="OF-THE-HOST")
    following.back()
    following.says(method="Page.loaded", params={"last": 1}, sessionId="P")
    assert following.heard == [
        {"method": "Target.attachedToTarget", "params": attached},
        {"id": 7, "result": {"sessionId": "P"}},
        {"method": "Page.loaded", "params": {}, "sessionId": "P"},
        {"id": 8, "result": {"targetInfos": [PAGE]}},
        {"id": 9, "error": {"code": -32001}},
        {"method": "Page.loaded", "params": {"last": 1}, "sessionId": "P"},
    ]
    assert (following.chrome.written, following.own) == ([], [])


async def test_what_left_the_web_is_known_to_have_left_it() -> None:
    """From the very first event on, and so that the client is put off what leaves it only now."""
    chrome = Chrome()
    await watched(chrome, PAGE, OWN_PAGE)
    client = await client_of(chrome)
    attached = {"sessionId": "P", "targetInfo": PAGE, "waitingForDebugger": False}
    chrome.say(method="Target.attachedToTarget", params=attached, sessionId="S2")
    following = Next(chrome, client)
    following.back()
    assert following.mux.is_hidden(following.mux.roster.parked["ticket"].member, "X")
    left = {**PAGE, "url": "chrome://settings/"}
    following.says(method="Target.targetInfoChanged", params={"targetInfo": left}, sessionId="S1")
    following.says(method="Page.secret", params={}, sessionId="P")
    assert [each["method"] for each in following.heard] == ["Target.detachedFromTarget"]
    following.mux.watch()
    asked = [each["method"] for each in following.chrome.written]
    assert "Target.attachToBrowserTarget" not in asked  # what was followed is followed still


async def test_what_a_client_was_told_of_targets_it_is_not_told_again() -> None:
    chrome = Chrome()
    await watched(chrome, PAGE)
    client = await client_of(chrome)
    chrome.say(method="Target.targetCreated", params={"targetInfo": PAGE}, sessionId="S2")
    following = Next(chrome, client)
    following.back()
    changed = {**PAGE, "url": "https://b.test/"}
    following.says(method="Target.targetInfoChanged", params={"targetInfo": changed}, sessionId="S2")
    following.says(method="Target.targetDestroyed", params={"targetId": "T"}, sessionId="S2")
    assert [each["method"] for each in following.heard] == [
        "Target.targetInfoChanged",
        "Target.targetDestroyed",
    ]


async def test_a_client_that_is_told_to_leave_before_it_is_back_leaves() -> None:
    chrome = Chrome()
    await watched(chrome, PAGE)
    following = Next(chrome, await client_of(chrome))
    following.mux.drop_all("SESSION_ENDED")
    parked = following.mux.roster.parked["ticket"]
    assert (parked.reason, parked.waits) == ("SESSION_ENDED", False)
    assert following.chrome.written[-1]["params"] == {"sessionId": "S2"}
    await until(lambda: following.mux.sessions == ("S1",))
    following.says(method="Page.loaded", params={}, sessionId="S2")
    assert following.heard == []
