"""Covers the secret fields of one page, frames of other processes included, while a picture is taken.

Fields are found through DevTools' own search, which looks into closed shadow trees as well, and are
covered by an animation started in a world of the host's own: that changes no attribute, adds no node
and no style sheet, so a page's observers see nothing of it, and it ends by itself should the host die.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from browserhost.page import Page
from browserhost.picture import NoPicture
from browserhost.secret_fields import is_secret, may_be_typed_into, pairs
from tenure.cdp import CdpClient, CdpError

MOST_FIELDS = 1_000
"""Fields of one process's frames; a page with more is not searched, and gives no picture."""
_WORLD = "tenure"
# A box of one colour, whatever the field's text: brightness(0) blackens all of it, and an opaque
# background leaves no shape of it. Author rules that are !important outrank an animation, so it is
# looked at whether it holds. 5 s: longer than any picture is waited for.
_COVER = """function() {
  const cover = this.animate(
    {filter: ["brightness(0)", "brightness(0)"], backgroundColor: ["#000", "#000"],
     backgroundClip: ["border-box", "border-box"]}, {duration: 5000});
  (globalThis.covers ??= []).push(cover);
  const style = getComputedStyle(this);
  return style.filter === "brightness(0)" && style.backgroundColor.startsWith("rgb(")
    && style.backgroundClip !== "text";
}"""
_DISGUISE = "function() { return getComputedStyle(this).webkitTextSecurity }"
_UNCOVER = "(globalThis.covers ?? []).splice(0).forEach(cover => cover.cancel())"
# A frame of another process is drawn on its own time: two of its frames have the covers in them.
_DRAWN = """new Promise(drawn => {
  requestAnimationFrame(() => requestAnimationFrame(() => drawn()));
  setTimeout(drawn, 250);
})"""


@dataclass(slots=True)
class _Part:
    """The frames of a page that share a session. `worlds` are made once something is to be covered."""

    session: str
    covered: set[int] = field(default_factory=set)
    worlds: list[int] = field(default_factory=list)


class Mask:
    """On one page. `cover`, take the picture, `holds`, and in any case `lift`."""

    def __init__(self, root: CdpClient, page: Page) -> None:
        self._root = root
        self._page = page
        self._parts = [_Part(session) for session in (page.session, *page.frames)]

    async def cover(self) -> None:
        """Cover every secret field. Raises NoPicture where that is not sure, CdpError, CdpClosed."""
        await asyncio.gather(*map(self._cover, self._parts))
        if any(part.worlds for part in self._parts[1:]):
            await self._root.call(
                "Runtime.evaluate", {"expression": _DRAWN, "awaitPromise": True}, self._page.session
            )

    async def holds(self) -> bool:
        """Whether everything that is secret now was covered. Raises CdpError, CdpClosed."""
        if {part.session for part in self._parts[1:]} != self._page.frames:
            return False
        found = await asyncio.gather(*map(self._secrets, self._parts))
        return all(set(now) <= part.covered for part, now in zip(self._parts, found, strict=True))

    def lift(self) -> None:
        """Uncover, without waiting. Idempotent."""
        for part in self._parts:
            for world in part.worlds:
                self._root.post(
                    "Runtime.evaluate", {"expression": _UNCOVER, "contextId": world}, part.session
                )
            self._root.post("DOM.disable", {}, part.session)

    async def _cover(self, part: _Part) -> None:
        self._root.post("DOM.enable", {}, part.session)
        self._root.post("DOM.getDocument", {"depth": 0}, part.session)
        secrets = await self._secrets(part)
        if not secrets:
            return
        part.worlds = part.worlds or await self._worlds(part)
        for node in secrets:
            await self._cover_one(part, node)
            part.covered.add(node)
        drawn = {"expression": _DRAWN, "awaitPromise": True, "contextId": part.worlds[0]}
        await self._root.call("Runtime.evaluate", drawn, part.session)

    async def _secrets(self, part: _Part) -> list[int]:
        """The nodes of the secret fields in a part's documents and shadow trees."""
        post = self._root.post
        search = await post("DOM.performSearch", {"query": "<input>"}, part.session)
        count, name = search["resultCount"], {"searchId": search["searchId"]}
        if not count:
            return []
        if count > MOST_FIELDS:
            raise NoPicture(f"the page has {count} fields, too many to look for secrets in")
        found = await post("DOM.getSearchResults", {**name, "fromIndex": 0, "toIndex": count}, part.session)
        post("DOM.discardSearchResults", name, part.session)
        nodes = found["nodeIds"]
        described = [post("DOM.describeNode", {"nodeId": node}, part.session) for node in nodes]
        known = self._page.secrets
        secrets, others = dict[int, int](), dict[int, int]()
        for node, answer in zip(nodes, await asyncio.gather(*described), strict=True):
            field, lasting = pairs(answer["node"].get("attributes", ())), answer["node"]["backendNodeId"]
            if is_secret(field) or (part.session, lasting) in known:
                secrets[node] = lasting
            elif may_be_typed_into(field):
                others[node] = lasting
        secrets |= {node: others[node] for node in await self._disguised(part, list(others))}
        # One that shows its text by now is a secret as long as it is there.
        known.update((part.session, lasting) for lasting in secrets.values())
        return list(secrets)

    async def _disguised(self, part: _Part, nodes: list[int]) -> list[int]:
        """Those that look as a password does, whatever they are called."""
        if not nodes:
            return []
        part.worlds = part.worlds or await self._worlds(part)
        looks = await asyncio.gather(*(self._call(part, node, _DISGUISE) for node in nodes))
        return [node for node, look in zip(nodes, looks, strict=True) if look not in (None, "", "none")]

    async def _worlds(self, part: _Part) -> list[int]:
        """A world of the host's own in each of a part's frames."""
        tree = await self._root.post("Page.getFrameTree", {}, part.session)
        wishes = [{"frameId": frame, "worldName": _WORLD} for frame in _frames(tree["frameTree"])]
        made = await asyncio.gather(
            *(self._root.post("Page.createIsolatedWorld", wish, part.session) for wish in wishes)
        )
        return [each["executionContextId"] for each in made]

    async def _cover_one(self, part: _Part, node: int) -> None:
        covered = await self._call(part, node, _COVER)
        if covered is None:
            raise NoPicture("a secret field on the page could not be reached")
        if covered is not True:
            raise NoPicture("a secret field on the page could not be covered")

    async def _call(self, part: _Part, node: int, function: str) -> object:
        """What a function says that is called on a node, in the host's own world of the node's frame.

        None where no world is of its frame: that came since.
        """
        for world in part.worlds:
            try:
                wish = {"nodeId": node, "executionContextId": world, "objectGroup": _WORLD}
                found = await self._root.post("DOM.resolveNode", wish, part.session)
            except CdpError:
                continue  # a node of another frame
            call = {
                "functionDeclaration": function,
                "objectId": found["object"]["objectId"],
                "returnByValue": True,
            }
            answer = await self._root.post("Runtime.callFunctionOn", call, part.session)
            value: object = answer["result"].get("value", False)
            return value
        return None


def _frames(tree: dict[str, object]) -> list[str]:
    """Ids of the frames in a frame tree."""
    frame, children = tree["frame"], tree.get("childFrames", [])
    assert isinstance(frame, dict)
    assert isinstance(children, list)
    return [str(frame["id"]), *(each for child in children for each in _frames(child))]
