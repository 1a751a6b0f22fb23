"""`tenure config`: how a profile's browser looks to sites, wherever it is at home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tenure.cli.layout import grid
from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run

if TYPE_CHECKING:
    from tenure.v1.profile_pb2 import BrowserConfig, Profile


def config(
    profile: Annotated[str, typer.Argument(help="The profile, for example alice:linkedin.")] = "",
    viewport: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the window, or 0x0.")] = "",
    locale: Annotated[str | None, typer.Option(help="Such as de-CH; '' for the proxy's or host's.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Such as Europe/Zurich; '' likewise.")] = None,
    languages: Annotated[
        str | None, typer.Option(help="What sites are told, best first: de-CH,de,en; '' follows the locale.")
    ] = None,
    extension: Annotated[
        list[str] | None,
        typer.Option(help="NAME=SHA256, in this order, instead of those before; '' for none; repeatable."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, or NAME= to drop it; repeatable.")
    ] = None,
    digest: Annotated[
        Path | None, typer.Option(help="An unpacked extension's folder: print its digest, and no more.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show how a profile's browser looks and its labels, or change them. For administrators.

    What is not named stays. A live browser that looks otherwise is exchanged when it is opened next; a
    hold goes on.

    Example: tenure config alice:linkedin --locale de-CH --time-zone Europe/Zurich --viewport 1366x768
    """
    output = Output(as_json)
    if digest is not None:
        _show_digest(output, digest)
        return
    if not profile:
        raise typer.BadParameter("say which, or --digest FOLDER", param_hint="PROFILE")
    size = _size(viewport)
    said = {"locale": locale, "time_zone": time_zone, "accept_languages": languages}
    wanted = {name: value for name, value in said.items() if value is not None} | size
    installed = _extensions(extension) if extension is not None else {}
    run(output, _config(output, address, profile, wanted | installed, _labels(label or [])))


async def _config(
    output: Output, address: str, profile: str, wanted: dict[str, Any], labels: dict[str, str]
) -> None:
    from tenure.client import connect
    from tenure.v1.profile_pb2 import BrowserConfig

    async with connect(address) as client:
        found = (await client.explain(profile)).profile
        if wanted or labels:
            browser = None
            if wanted:
                browser = BrowserConfig()
                browser.CopyFrom(found.browser_config)
                if "extensions" in wanted:
                    del browser.extensions[:]
                    browser.extensions.extend(wanted.pop("extensions"))
                for name, value in wanted.items():
                    setattr(browser, name, value)
            kept = {name: value for name, value in ({**found.labels} | labels).items() if value}
            found = await client.configure(found, browser=browser, labels=kept if labels else None)
    output.show(_facts(found), grid(_rows(found), output.console))


def _size(text: str) -> dict[str, int]:
    """Raises BadParameter."""
    if not text:
        return {}
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise typer.BadParameter("is no size such as 1366x768", param_hint="--viewport")
    return {"viewport_width": int(width), "viewport_height": int(height)}


def _extensions(pairs: list[str]) -> dict[str, Any]:
    """Raises BadParameter."""
    from tenure.v1.profile_pb2 import BrowserExtension

    found = []
    for pair in filter(None, pairs):
        name, equals, sha256 = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{pair!r} is no NAME=SHA256", param_hint="--extension")
        found.append(BrowserExtension(name=name, sha256=sha256))
    return {"extensions": found}


def _show_digest(output: Output, folder: Path) -> None:
    """Raises BadParameter."""
    from tenure.userdata import unpacked

    try:
        found = unpacked.read(folder)
    except (OSError, unpacked.Unfit) as error:
        raise typer.BadParameter(str(error), param_hint="--digest") from None
    facts = {"name": folder.resolve().name, "sha256": found.digest, "id": found.id}
    output.show(facts, grid(list(facts.items()), output.console))


def _labels(pairs: list[str]) -> dict[str, str]:
    """Raises BadParameter."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{pair!r} is no NAME=VALUE", param_hint="--label")
        found[name] = value
    return found


def _facts(found: Profile) -> dict[str, Any]:
    browser = found.browser_config
    return {
        "profile": found.name,
        "viewport_width": browser.viewport_width,
        "viewport_height": browser.viewport_height,
        "locale": browser.locale,
        "time_zone": browser.time_zone,
        "accept_languages": browser.accept_languages,
        "extensions": {each.name: each.sha256 for each in browser.extensions},
        "labels": dict(found.labels),
    }


def _rows(found: Profile) -> list[tuple[str, str | Text]]:
    browser = found.browser_config
    return [
        ("name", found.name),
        ("viewport", _viewport(browser)),
        ("locale", browser.locale or "the proxy's, or the host's"),
        ("time zone", browser.time_zone or "the proxy's, or the host's"),
        (
            "languages",
            browser.accept_languages or ("of the locale" if browser.locale else "the proxy's, or the host's"),
        ),
        ("extensions", ", ".join(f"{each.name}={each.sha256}" for each in browser.extensions)),
        ("labels", ", ".join(f"{name}={value}" for name, value in sorted(found.labels.items()))),
    ]


def _viewport(browser: BrowserConfig) -> str:
    if not (browser.viewport_width or browser.viewport_height):
        return "the host's"
    return f"{browser.viewport_width or 'the host’s'}x{browser.viewport_height or 'the host’s'}"
