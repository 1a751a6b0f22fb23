"""Workers at a hand-over: what a client left in them is gone, a site's registrations are not."""

from __future__ import annotations

import pytest

from browserhost.browser import Browser
from tenure.errors import BrowserCrashed
from tests.fixtures.chrome import Site, until
from tests.fixtures.handed import Client, evaluate, front, hits, meanwhile, wait_for_slow_ones
from tests.fixtures.shared_browser import Shared, browser, shared, site

__all__ = ["browser", "shared", "site"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

STARTS = {
    "service_worker": "const to = await navigator.serviceWorker.register('/worker.js')"
    ".then(() => navigator.serviceWorker.ready).then(found => found.active);"
    " const from = navigator.serviceWorker; from.startMessages();",
    "shared_worker": "window.kept = new SharedWorker('/worker.js', {name: '$name'});"
    " const to = kept.port; const from = kept.port; from.start();",
    "shared_worker that outlives its pages": "window.kept = new SharedWorker('/worker.js',"
    " {name: '$name', extendedLifetime: true}); const to = kept.port; const from = kept.port; from.start();",
}
LEAVES = """self.left = 'left';
setInterval(() => fetch('/hit?timer', {method: 'POST'}), 20);
(async () => { for (;;) { await fetch('/hit?chain', {method: 'POST'}) } })(); 0"""
LOOPS = """for (;;) {
  const sent = new XMLHttpRequest();
  sent.open('POST', `${self.origin}/hit?loop`, false);
  sent.send();
}"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_slow_ones(monkeypatch)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of the shared worker, one a test: Chrome takes its time over those of pages that are gone."""
    return str(request.node.name)


async def asked(browser: Browser, kind: str, name: str) -> object:
    """What the worker says was left in it; it is started where it does not run."""
    answers = "new Promise(told => { from.onmessage = event => told(event.data); to.postMessage(0) })"
    params = {
        "expression": f"(async () => {{ {STARTS[kind].replace('$name', name)} return await {answers} }})()",
        "awaitPromise": True,
        "returnByValue": True,
    }
    answer = await browser.mux.root.call("Runtime.evaluate", params, front(browser).session)
    return answer["result"].get("value")


async def targets(browser: Browser, kind: str, name: str) -> list[str]:
    """The workers of the kind that run, shared ones of that name."""
    wish = {"filter": [{"type": kind.partition(" ")[0]}, {"exclude": True}]}
    found = await browser.mux.root.call("Target.getTargets", wish)
    infos = found["targetInfos"]
    return [each["targetId"] for each in infos if name == each["title"] or kind == "service_worker"]


async def written_to(browser: Browser, kind: str, name: str, script: str) -> Client:
    """A client that left something in a worker."""
    client = await Client(browser).join(browser)
    browser.taint()
    assert await asked(browser, kind, name) == ""
    (worker,) = await targets(browser, kind, name)
    session = await client.on(worker)
    await client.call("Network.enable", {}, session)
    await client.call("Network.setExtraHTTPHeaders", {"headers": {"X-Left": "1"}}, session)
    await client.call("Runtime.evaluate", {"expression": script}, session)
    return client


async def none_runs(site: Site) -> None:
    await meanwhile(site)  # what was on its way has come
    site.requests.clear()
    await meanwhile(site)
    assert hits(site) == set()


@pytest.mark.parametrize("kind", STARTS)
async def test_what_a_client_left_in_a_worker_of_no_page_ends_with_its_session(
    browser: Browser, site: Site, kind: str, name: str
) -> None:
    client = await written_to(browser, kind, name, LEAVES)
    await until(lambda: hits(site) == {"timer", "chain"})
    await client.leave()
    await browser.still(for_good=True)
    await none_runs(site)
    await browser.hand_over(f"{site.url}/next")
    assert await asked(browser, kind, name) == ""
    await none_runs(site)


@pytest.mark.parametrize("kind", STARTS)
async def test_a_browser_that_was_not_stilled_is_handed_on_without_such_a_worker(
    browser: Browser, site: Site, kind: str, name: str
) -> None:
    client = await written_to(browser, kind, name, LEAVES)
    await until(lambda: hits(site) == {"timer", "chain"})
    await client.leave()
    await browser.hand_over(f"{site.url}/next")
    await none_runs(site)
    assert await asked(browser, kind, name) == ""


@pytest.mark.parametrize("kind", STARTS)
async def test_such_a_worker_waits_while_its_token_is_not_proven(
    browser: Browser, site: Site, kind: str, name: str
) -> None:
    client = await written_to(browser, kind, name, LEAVES)
    await until(lambda: hits(site) == {"timer", "chain"})
    await client.leave()
    await browser.still(for_good=False)
    await none_runs(site)
    browser.wake()
    await until(lambda: hits(site) == {"timer", "chain"})
    assert await asked(browser, kind, name) == "left"


async def test_a_service_worker_that_nobody_wrote_to_goes_on(browser: Browser, site: Site) -> None:
    await asked(browser, "service_worker", "")
    (before,) = await targets(browser, "service_worker", "")
    await browser.still(for_good=True)
    await browser.hand_over(f"{site.url}/next")
    assert await targets(browser, "service_worker", "") == [before]


@pytest.mark.parametrize("kind", ["service_worker", "shared_worker"])
async def test_a_browser_with_a_worker_that_never_comes_to_rest_is_not_handed_on(
    shared: Shared, site: Site, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.setattr("browserhost.handing.ANSWER_S", 1.0)
    monkeypatch.setattr("browserhost.stilling.STILL_S", 1.0)
    alone = await shared.launch()
    client = await written_to(alone, kind, name, "setTimeout(() => { for (;;); }, 0)")
    await client.leave()
    await alone.still(for_good=True)
    with pytest.raises(BrowserCrashed, match="does not answer"):
        await alone.prepare()
    with pytest.raises(BrowserCrashed, match="does not answer"):
        await alone.hand_over(f"{site.url}/next")
    await alone.close()


async def test_a_pages_worker_that_never_comes_to_rest_ends_with_its_page(
    browser: Browser, site: Site
) -> None:
    # Where Chrome runs it too, the page's process goes on without the page.
    await asked(browser, "service_worker", "")
    browser.taint()
    source = f"new Worker(URL.createObjectURL(new Blob([{LOOPS!r}.replaceAll('${{self.origin}}', origin)])))"
    await evaluate(browser, f"window.kept = {source}; 0")
    await until(lambda: hits(site) == {"loop"})
    await browser.still(for_good=True)
    await browser.hand_over(f"{site.url}/next")
    await none_runs(site)
