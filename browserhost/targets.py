"""Which of a browser's targets clients may see: those of the web. Pure.

Chrome's own pages (`chrome:`, DevTools, extensions, its address bar's) and the machine's files are
targets too. To a client none of them exists: one that it never saw stays unseen, and one that leaves
the web is gone, as if closed, until it returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from browserhost.policy.urls import is_of_the_web

# With an empty type comes what Chrome could not name yet.
_OWN_TYPES = frozenset({"browser_ui"})
_NO_PAGES = frozenset({"browser", "tab"})
CREATED, CHANGED, DESTROYED = "Target.targetCreated", "Target.targetInfoChanged", "Target.targetDestroyed"

Info = Mapping[str, Any]


def is_shown(info: Info) -> bool:
    """Whether a target of this TargetInfo is one of the web; the browser itself counts as one."""
    if info.get("type") == "browser":
        return True
    return info.get("type") not in _OWN_TYPES and is_of_the_web(str(info.get("url", "")))


def shown_pages(infos: Iterable[Info]) -> list[Info]:
    """Those that clients may see, less the browser and the tabs that pages are in."""
    return [each for each in infos if is_shown(each) and each.get("type") not in _NO_PAGES]


def shown_only(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer of Target.getTargets less what does not exist for clients; an error as it is."""
    if "result" not in answer:
        return answer
    shown = [info for info in answer["result"]["targetInfos"] if is_shown(info)]
    return {**answer, "result": {**answer["result"], "targetInfos": shown}}


class Targets:
    """What the host knows of a browser's targets, from Chrome's discovery events."""

    def __init__(self, known: Mapping[str, Info] | None = None) -> None:
        self._known: dict[str, Info] = dict(known or {})

    @property
    def known(self) -> Mapping[str, Info]:
        """By id, in the order in which they came."""
        return self._known

    def hear(self, method: str, params: Mapping[str, Any]) -> Info | None:
        """Take an event; the target that it left out of the web, if it did."""
        if method == DESTROYED:
            self._known.pop(str(params.get("targetId")), None)
        elif method in (CREATED, CHANGED):
            info: Info = params["targetInfo"]
            self._known[str(info["targetId"])] = info
            return None if is_shown(info) else info
        return None

    def is_hidden(self, target: str) -> bool:
        """Whether clients may not see it. One that was not heard of is left to Chrome."""
        return target in self._known and not is_shown(self._known[target])

    def shown(self) -> list[Info]:
        """Those that clients may see, less the browser and the tabs that pages are in."""
        return shown_pages(self._known.values())

    def others(self, info: Info) -> list[str]:
        """Tabs of the web beside it, in its context."""
        context = info.get("browserContextId")
        return [
            target
            for target, each in self._known.items()
            if each.get("type") == "page" and each.get("browserContextId") == context and is_shown(each)
        ]


class View:
    """What one session of a client has been told of targets."""

    def __init__(self, told: Iterable[str] = ()) -> None:
        self.told = set(told)

    def event(self, method: str, params: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
        """The event as the client is to hear it; None when it is not to."""
        if method == DESTROYED:
            target = str(params.get("targetId"))
            if target not in self.told:
                return None
            self.told.discard(target)
            return method, params
        info = params["targetInfo"]
        target = str(info["targetId"])
        if is_shown(info):
            known = target in self.told
            self.told.add(target)
            return (method if known else CREATED), params
        if target in self.told:
            self.told.discard(target)
            return DESTROYED, {"targetId": target}
        return None
