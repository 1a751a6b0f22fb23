"""What a DevTools client set for a page or for the browser: each has its effect, and none after a hand-over.

A version of Chrome that keeps one of them beyond its client shows here by name.
"""

from __future__ import annotations

import pytest

from browserhost.browser import Browser
from tenure.cdp import Params
from tests.fixtures.chrome import Site
from tests.fixtures.handed import Client, front, wait_for_slow_ones
from tests.fixtures.shared_browser import browser, shared, site

__all__ = ["browser", "shared", "site"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

FEATURES = {
    "prefers-color-scheme": "dark",
    "prefers-reduced-motion": "reduce",
    "prefers-contrast": "more",
    "forced-colors": "active",
    "color-gamut": "rec2020",
}
ON_PAGE: dict[str, Params] = {
    "Emulation.setDeviceMetricsOverride": {
        "width": 320,
        "height": 240,
        "deviceScaleFactor": 3,
        "mobile": True,
    },
    "Emulation.setTouchEmulationEnabled": {"enabled": True, "maxTouchPoints": 5},
    "Emulation.setTimezoneOverride": {"timezoneId": "Asia/Tokyo"},
    "Emulation.setLocaleOverride": {"locale": "ja-JP"},
    "Emulation.setUserAgentOverride": {
        "userAgent": "somebody else",
        "platform": "Plan9",
        "acceptLanguage": "ja",
    },
    "Emulation.setHardwareConcurrencyOverride": {"hardwareConcurrency": 77},
    "Emulation.setDocumentCookieDisabled": {"disabled": True},
    "Emulation.setDataSaverOverride": {"dataSaverEnabled": True},
    "Emulation.setEmulatedMedia": {
        "media": "print",
        "features": [{"name": name, "value": value} for name, value in FEATURES.items()],
    },
    "Emulation.setGeolocationOverride": {"latitude": 12, "longitude": 34, "accuracy": 5},
    "Page.enable": {},
    "Page.setFontFamilies": {"fontFamilies": {"standard": "Courier"}},
    "Page.setFontSizes": {"fontSizes": {"standard": 33}},
    "Page.addScriptToEvaluateOnNewDocument": {"source": "window.left = 1"},
    "Runtime.enable": {},
    "Runtime.addBinding": {"name": "bound"},
    "Network.enable": {},
    "Network.setExtraHTTPHeaders": {"headers": {"X-Left": "1"}},
    "Network.setBlockedURLs": {"urls": ["*blocked*"]},
    "WebAuthn.enable": {},
    "WebAuthn.addVirtualAuthenticator": {
        "options": {
            "protocol": "ctap2",
            "transport": "internal",
            "hasUserVerification": True,
            "hasResidentKey": True,
            "isUserVerified": True,
        }
    },
}
ON_BROWSER: dict[str, Params] = {
    "Browser.grantPermissions": {"permissions": ["geolocation"]},
    "Browser.setPermission": {"permission": {"name": "notifications"}, "setting": "denied"},
    "Browser.addMockCamera": {"deviceId": "mock", "label": "a mock camera"},
}
# By what a page can tell that one of them is there.
SEEN = {
    "window": "innerWidth",
    "pixels": "devicePixelRatio",
    "screen": "screen.width",
    "touch": "navigator.maxTouchPoints",
    "touch events": "'ontouchstart' in window",
    "time zone": "Intl.DateTimeFormat().resolvedOptions().timeZone",
    "locale": "Intl.NumberFormat().resolvedOptions().locale",
    "user agent": "navigator.userAgent",
    "platform": "navigator.platform",
    "languages": "String(navigator.languages)",
    "cores": "navigator.hardwareConcurrency",
    "cookies": "navigator.cookieEnabled",
    "data saver": "navigator.connection.saveData",
    "print": "matchMedia('print').matches",
    **{name: f"matchMedia('({name}: {value})').matches" for name, value in FEATURES.items()},
    # The host's own tab is asked for leave, or the machine looked for: neither comes to an end.
    "place": "within(new Promise(to =>"
    " navigator.geolocation.getCurrentPosition(at => to(at.coords.latitude))))",
    "font": "getComputedStyle(document.body).fontFamily",
    "font size": "getComputedStyle(document.body).fontSize",
    "script": "typeof window.left",
    "binding": "typeof window.bound",
    "sent user agent": "(await sent)['user-agent']",
    "sent languages": "(await sent)['accept-language']",
    "sent header": "(await sent)['x-left']",
    "blocked": "fetch('/blocked').then(() => false, () => true)",
    "authenticator": "PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable()",
    "granted": "navigator.permissions.query({name: 'geolocation'}).then(found => found.state)",
    "denied": "navigator.permissions.query({name: 'notifications'}).then(found => found.state)",
    "camera": "navigator.mediaDevices.enumerateDevices().then(all => all.length)",
}
LOOK = f"""(async () => {{
const sent = fetch('/headers').then(answer => answer.json());
const within = told => Promise.race([told, new Promise(to => setTimeout(() => to('none'), $patience))]);
return {{{", ".join(f"'{name}': await ({how})" for name, how in SEEN.items())}}};
}})()"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_slow_ones(monkeypatch)


async def look(browser: Browser, patience: int) -> dict[str, object]:
    """What a page sees; `patience`: how long something that may never come is waited for, in ms."""
    wish = {
        "expression": LOOK.replace("$patience", str(patience)),
        "awaitPromise": True,
        "returnByValue": True,
    }
    answer = await browser.mux.root.call("Runtime.evaluate", wish, front(browser).session)
    assert "exceptionDetails" not in answer, answer
    found: dict[str, object] = answer["result"]["value"]
    return found


@pytest.mark.parametrize("in_tab", [True, False], ids=["in its tab", "in a new one"])
async def test_what_a_client_set_has_no_effect_in_the_next_session(
    browser: Browser, site: Site, in_tab: bool
) -> None:
    before = await look(browser, 500)
    client = await Client(browser).join(browser)
    for method, params in ON_PAGE.items():
        await client.on_page(method, params)
    for method, params in ON_BROWSER.items():
        await client.on_browser(method, params)
    await browser.open(f"{site.url}/another")
    overridden = await look(browser, 20_000)
    unseen = {name for name, value in before.items() if overridden.get(name) == value}
    assert unseen == set(), "what has no effect cannot be seen to end"
    await client.leave()
    if not in_tab:
        browser.taint()
    target = front(browser).target
    await browser.hand_over(f"{site.url}/next")
    assert (front(browser).target == target) is in_tab
    assert await look(browser, 500) == before
