"""Which of the machine's files a session may give to a page, and where it may put what it loads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import isabs
from typing import Any

from browserhost.policy import urls
from browserhost.policy.verdict import PASS, Effect, Room, Verdict, refuse

_LISTS_URLS = frozenset({"text/uri-list", "text/x-moz-url"})


def judge_files(files: object, room: Room) -> Verdict:
    """Files that are chosen for a page: those in the upload folder, wherever links lead."""
    if files is None:
        return PASS
    for each in files if isinstance(files, list) else [files]:
        path = str(each)
        if not _is_in(room.uploads, path, room):
            return refuse(
                f"'{path}' is not in the session's upload folder",
                f"put the file into {room.uploads} first, or send its content instead of its path",
            )
    return PASS


def judge_input(params: Mapping[str, Any], room: Room) -> Verdict:
    """DOM.setFileInputFiles."""
    return judge_files(params.get("files"), room)


def judge_drag(params: Mapping[str, Any], room: Room) -> Verdict:
    """What is dropped: a page that does not take an address is left for it."""
    data = params.get("data")
    if not isinstance(data, dict):
        return PASS
    verdict = judge_files(data.get("files"), room)
    items = data.get("items")
    for item in items if isinstance(items, list) else ():
        if verdict.effect is not Effect.PASS or not isinstance(item, dict):
            break
        lines = str(item.get("data", "")).split("\n") if _lists_urls(item) else []
        addresses = [str(item.get("baseURL", "")), *(line for line in lines if urls.scheme(line))]
        refused = [each for each in map(urls.judge, addresses) if each.effect is not Effect.PASS]
        verdict = refused[0] if refused else PASS
    return verdict


def judge_downloads(params: Mapping[str, Any], room: Room) -> Verdict:
    """Downloads may be refused, named, told of; but they go to the session's folder, whatever is asked for.

    Not refused, because clients that can do without their own folder ask for it all the same.
    """
    behavior = params.get("behavior")
    if behavior == "deny":
        return PASS
    kept = "allowAndName" if behavior == "allowAndName" else "allow"
    changed = {**params, "behavior": kept, "downloadPath": room.downloads}
    return Verdict(Effect.PASS, params=changed)


def _is_in(folder: str, path: str, room: Room) -> bool:
    try:
        return isabs(path) and room.real(path).startswith(f"{folder}/")
    except ValueError:  # such a name no file can have
        return False


def _lists_urls(item: Mapping[str, Any]) -> bool:
    return str(item.get("mimeType", "")).partition(";")[0].strip().lower() in _LISTS_URLS
