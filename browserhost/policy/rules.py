"""What a session's DevTools clients may not do, whoever they are. Pure.

The fencing token says who acts; this says what. Refused: addresses that reach into the machine,
what clears a login, files and ports of the machine, ways round the forwarder and round this package.
A client that ends the browser ends its session. Made from the protocol of Chrome 156, all 674 commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from browserhost import calls
from browserhost.policy import clearing, files, keys, urls
from browserhost.policy.verdict import PASS, Effect, Room, Verdict, refuse

_ENDS_BROWSER = frozenset({"Browser.close", "Browser.crash"})
_DOMAINS = frozenset(
    re.findall(
        r"\w+",
        """Accessibility Ads Animation Audits Autofill BackgroundService BluetoothEmulation Browser CSS
    CacheStorage Console CrashReportContext DOM DOMDebugger DOMSnapshot DOMStorage Debugger DeviceOrientation
    DigitalCredentials Emulation EventBreakpoints FedCm Fetch FileSystem FindInPage HeadlessExperimental
    HeapProfiler IO IndexedDB Input Inspector LayerTree Log Media Memory Network Overlay Page Performance
    PerformanceTimeline Preload Profiler Runtime Schema Security ServiceWorker SmartCardEmulation Storage
    SystemInfo Target Tracing WebAudio WebAuthn WebMCP""",
    )
)
"""What a later Chrome adds is refused until somebody has looked at it."""
_DENIED_DOMAINS = {
    "Cast": refuse("it sends the screen to other machines", "take screenshots"),
    "DeviceAccess": refuse("the machine's devices are not the session's", "emulate the device"),
    "Extensions": refuse(
        "what it installs would go on acting in the sessions after this one", "use Page scripts"
    ),
    "PWA": refuse("what it installs would go on acting in the sessions after this one", "use a tab"),
    "Tethering": refuse("it opens ports of the machine", "connect to the session's address"),
}
_UNKNOWN = refuse("it is of a domain that this version of Tenure does not know", "use another method")
_ROUND_POLICY = "what it opens could do what this policy refuses"
_DENIED = {
    "Browser.crashGpuProcess": refuse(
        "it breaks the browser for the sessions after this one", "close the tab"
    ),
    "BackgroundService.setRecording": refuse(
        "it would go on recording in the sessions after this one", "listen to the events of the page"
    ),
    "Browser.executeBrowserCommand": refuse("it acts on Chrome's own windows", "act on the page"),
    "Target.exposeDevToolsProtocol": refuse(_ROUND_POLICY, "send DevTools messages yourself"),
    "Target.getDevToolsTarget": refuse(_ROUND_POLICY, "send DevTools messages yourself"),
    "Target.openDevTools": refuse(_ROUND_POLICY, "send DevTools messages yourself"),
    "Target.setRemoteLocations": refuse(
        "it connects the browser to other machines", "connect to those yourself"
    ),
}
_HIDDEN = refuse("that target is no page of the web", "attach to one that Target.getTargets lists")


def judge(method: str, params: Mapping[str, Any], room: Room) -> Verdict:
    """Decide on one message of a client."""
    verdict = by_name(method)
    if verdict is not None:
        return verdict
    if _domain(method) == "Target" and any(
        room.hidden(str(params.get(name, ""))) for name in ("targetId", "sessionId")
    ):
        return _HIDDEN
    special = _SPECIAL.get(method)
    return special(params, room) if special else PASS


def by_name(method: str) -> Verdict | None:
    """The verdict on every message of that method; None where it depends on what the message says."""
    if method in _ENDS_BROWSER:
        return Verdict(Effect.END_SESSION)
    if method.startswith(clearing.CLEARS):
        return clearing.REFUSAL
    domain = _domain(method)
    if domain in _DENIED_DOMAINS or domain not in _DOMAINS:
        return _DENIED_DOMAINS.get(domain, _UNKNOWN)
    if method in _DENIED:
        return _DENIED[method]
    return None if domain == "Target" or method in _SPECIAL else PASS


def reads(method: str) -> bool:
    """Whether `judge` looks into such a call's parameters: then they are to be sent as it read them."""
    return method in _SPECIAL or method.startswith("Target.")


def _domain(method: str) -> str:
    return method.partition(".")[0]


def _judge_url(params: Mapping[str, Any], _: Room) -> Verdict:
    return urls.judge(params.get("url"))


def _judge_context(params: Mapping[str, Any], _: Room) -> Verdict:
    """A context with a proxy of its own would go round the forwarder."""
    if params.get("proxyServer") or params.get("proxyBypassList"):
        return refuse("a session's traffic goes through its own proxy only", "name the proxy in OpenSession")
    if params.get("originsWithUniversalNetworkAccess"):
        return refuse("it takes down the borders between sites", "fetch from a page of the site itself")
    return PASS


def _judge_trace(params: Mapping[str, Any], _: Room) -> Verdict:
    """Such a configuration may name a file to write."""
    if params.get("perfettoConfig"):
        return refuse("a configuration of that kind may write the machine's files", "send a traceConfig")
    return PASS


def _judge_nested(params: Mapping[str, Any], room: Room) -> Verdict:
    """A message in a message, as older clients send to their sessions: it is judged as its inner one.

    One that would end the browser is refused: there is nobody to answer it in the inner session's name.
    """
    # As those read it who are told of it: a call that they did not see would be nobody's.
    inner = calls.parse(str(params.get("message", "")))
    if inner is None:
        return refuse("its inner message cannot be read", "send a call: an integer id, method, params")
    verdict = judge(inner.method, inner.params, room)
    if verdict.effect is Effect.END_SESSION:
        return refuse("the browser is not the session's to end", "close the connection")
    if verdict.effect is not Effect.PASS:
        return verdict
    # Written anew: what was judged is what Chrome reads, however it reads what two parsers may differ on.
    sent: dict[str, Any] = {"id": inner.id, "method": inner.method}
    sent["params"] = inner.params if verdict.params is None else verdict.params
    if inner.session:
        sent["sessionId"] = inner.session
    return Verdict(Effect.PASS, params={**params, "message": json.dumps(sent)})


_SPECIAL: Mapping[str, Callable[[Mapping[str, Any], Room], Verdict]] = {
    "Browser.setDownloadBehavior": files.judge_downloads,
    "DOM.setFileInputFiles": files.judge_input,
    "Fetch.continueRequest": _judge_url,
    "Fetch.continueResponse": clearing.judge_response,
    "Fetch.fulfillRequest": clearing.judge_response,
    "Input.dispatchDragEvent": files.judge_drag,
    "Input.dispatchKeyEvent": keys.judge,
    "Network.loadNetworkResource": _judge_url,
    "Network.setCookie": clearing.judge_cookie,
    "Network.setCookies": clearing.judge_cookies,
    "Page.navigate": _judge_url,
    "Page.setDownloadBehavior": files.judge_downloads,
    "Storage.setCookies": clearing.judge_cookies,
    "Target.createBrowserContext": _judge_context,
    "Target.createTarget": _judge_url,
    "Target.sendMessageToTarget": _judge_nested,
    "Tracing.start": _judge_trace,
}
