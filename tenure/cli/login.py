"""`tenure login`: a person signs a profile in, over the live view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from tenure.cli.output import DEFAULT_ADDRESS, Address, Json, Output, run
from tenure.cli.view import OPEN_S, for_people, listening

if TYPE_CHECKING:
    from tenure.session import Session
    from tenure.v1.session_pb2 import Proxy


def login(
    profile: Annotated[str, typer.Argument(help="The profile, for example alice:linkedin.")],
    url: Annotated[str, typer.Argument(help="Where its site is signed in to.")],
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to queue when it is busy; 0 fails at once.")
    ] = 0,
    proxy_city: Annotated[str, typer.Option(help="City of the proxy, for example miami.")] = "",
    proxy_state: Annotated[str, typer.Option(help="State of the proxy, for example fl.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Hold the profile while you sign in to a site in its browser, second factor and all.

    Prints an address to open in any browser of yours that reaches the gateway; what you type there goes to
    the profile's Chrome and is kept nowhere else. Says how many cookies there are before and after. What was
    signed in is on disk when the command ends.

    Example:

    tenure login alice:linkedin https://www.linkedin.com/login
    """
    from tenure.v1.session_pb2 import Proxy

    proxy = Proxy(city=proxy_city, state=proxy_state) if proxy_city or proxy_state else None
    output = Output(as_json)
    run(output, _login(output, address, profile, url, wait, proxy))


async def _login(
    output: Output, address: str, profile: str, start_url: str, wait: float, proxy: Proxy | None
) -> None:
    from tenure.client import connect
    from tenure.hold import Result

    async with connect(address) as client:
        opening = client.open(
            profile, start_url=start_url, wait=wait, proxy=proxy, run_id="login", max_runtime=OPEN_S
        )
        async with opening as session:
            # A person who ends it here is content with it.
            session.result = Result.SUCCEEDED
            before = await _cookies(session)
            url = await session.view_url(control=True, ttl=OPEN_S)
            facts = {"event": "login", "profile": session.profile, "url": url, "cookies": before}
            async with listening(url) as over:
                output.show(facts, *for_people(url))
                await over.wait()
            after = await _cookies(session)
    facts = {"event": "closed", "profile": session.profile, "cookies_before": before, "cookies_after": after}
    if before is None or after is None:
        output.show(facts, Text("On disk, uncounted: the browser did not tell its cookies. It stays warm."))
        return
    said = f"{before} cookies before, {after} now, on disk. The browser stays warm."
    if after <= before:
        said += " There are no more than before: was the sign-in finished?"
    output.show(facts, Text(said))


async def _cookies(session: Session) -> int | None:
    """How many there are; None when the browser does not tell, which is no reason to fail."""
    from tenure.cdp import CdpClosed, CdpError

    try:
        return len((await (await session.cdp()).send("Storage.getCookies"))["cookies"])
    except (CdpError, CdpClosed, OSError, TimeoutError):
        return None
