"""Which calls of DevTools clients only look: every other one may have touched the account. Pure.

Listed are calls that neither act on a page, nor run script in it, nor send anything to a site.
Protocol: https://chromedevtools.github.io/devtools-protocol/tot/
"""

from __future__ import annotations

_OBSERVES = frozenset(
    {
        "Accessibility.disable", "Accessibility.enable", "Accessibility.getFullAXTree",
        "Accessibility.getPartialAXTree", "Accessibility.getRootAXNode", "Accessibility.queryAXTree",
        "Browser.getVersion", "Browser.getWindowBounds", "Browser.getWindowForTarget",
        "CSS.disable", "CSS.enable", "CSS.getComputedStyleForNode", "CSS.getMatchedStylesForNode",
        "DOM.describeNode", "DOM.disable", "DOM.enable", "DOM.getAttributes", "DOM.getBoxModel",
        "DOM.getContentQuads", "DOM.getDocument", "DOM.getFlattenedDocument", "DOM.getFrameOwner",
        "DOM.getNodeForLocation", "DOM.getOuterHTML", "DOM.getSearchResults", "DOM.performSearch",
        "DOM.querySelector", "DOM.querySelectorAll", "DOM.requestChildNodes", "DOM.requestNode",
        "DOM.resolveNode",
        "DOMSnapshot.captureSnapshot", "DOMSnapshot.disable", "DOMSnapshot.enable",
        "Inspector.disable", "Inspector.enable",
        "Log.clear", "Log.disable", "Log.enable",
        "Network.disable", "Network.enable", "Network.getAllCookies", "Network.getCookies",
        "Network.getRequestPostData", "Network.getResponseBody",
        "Page.captureScreenshot", "Page.captureSnapshot", "Page.createIsolatedWorld", "Page.disable",
        "Page.enable", "Page.getFrameTree", "Page.getLayoutMetrics", "Page.getNavigationHistory",
        "Page.screencastFrameAck", "Page.setLifecycleEventsEnabled",
        "Page.startScreencast", "Page.stopScreencast",
        "Performance.disable", "Performance.enable", "Performance.getMetrics",
        "Runtime.disable", "Runtime.discardConsoleEntries", "Runtime.enable",
        "Runtime.releaseObject", "Runtime.releaseObjectGroup", "Runtime.runIfWaitingForDebugger",
        "Schema.getDomains",
        "Security.disable", "Security.enable",
        "Storage.getCookies",
        "Target.attachToBrowserTarget", "Target.attachToTarget", "Target.detachFromTarget",
        "Target.getBrowserContexts", "Target.getTargetInfo", "Target.getTargets", "Target.setAutoAttach",
        "Target.setDiscoverTargets",
    }
)  # fmt: skip


def observes(method: str) -> bool:
    """Whether a call only looks. What is not known does not."""
    return method in _OBSERVES
