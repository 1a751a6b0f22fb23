"""What tools are told that ask by HTTP before they connect, as Chrome's own port tells it. Pure.

https://chromedevtools.github.io/devtools-protocol/#endpoints
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

JSON = "application/json; charset=UTF-8"


def version(answer: Mapping[str, Any], address: str) -> bytes:
    """`/json/version`, from Browser.getVersion's answer. `address` is the session's WebSocket."""
    return _text(
        {
            "Browser": answer.get("product", ""),
            "Protocol-Version": answer.get("protocolVersion", ""),
            "User-Agent": answer.get("userAgent", ""),
            "V8-Version": answer.get("jsVersion", ""),
            "WebKit-Version": f"537.36 ({answer.get('revision', '')})",
            "webSocketDebuggerUrl": address,
        }
    )


def pages(targets: Iterable[Mapping[str, Any]], address: str) -> bytes:
    """`/json/list`, from TargetInfos."""
    return _text([_page(each, address) for each in targets])


def _page(info: Mapping[str, Any], address: str) -> dict[str, str]:
    told = {
        "description": "",
        "id": str(info["targetId"]),
        "title": str(info.get("title", "")),
        "type": str(info.get("type", "")),
        "url": str(info.get("url", "")),
        "webSocketDebuggerUrl": f"{address}/page/{info['targetId']}",
    }
    if parent := info.get("parentFrameId") or info.get("openerId"):
        told["parentId"] = str(parent)
    return told


def _text(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
