"""`make bench SUITE=browser`: what the browser host costs beside the same browser driven by hand, in one run.

cold_open_vs_bare        a profile's first open, against Xvfb + Chrome + navigate by hand on a fresh directory
warm_open_vs_navigate    an open on a warm browser, against navigating a bare browser's own tab
warm_open_after_client_vs_navigate  the same where a client connects and evaluates in each session
warm_open_p95_ms         the slow end of the warm opens, against its goal
prewarmed_open_vs_warm   the first open of a browser that was launched ahead, against a warm one
parallel10_open_p95_ms   ten new profiles at once, the slow end, against ten browsers by hand at once;
                         `parallel10_false_hang_alarms`: how many the host took for hung meanwhile
cdp_rtt_vs_port          Browser.getVersion through a session's address, against the port of the very same
                         Chrome, which has one for this part alone, and the same client: the medians of short
                         turns; `cdp_rtt_gateway_vs_port`: through the gateway too
screenshots_vs_bare      pictures a second, against the same port
act_settled_p50_ms       a click that changes the page, answered once the page has settled
host_rss_mb              memory of the host's process with 20 warm browsers
open_vs_playwright       an open and Playwright's connect_over_cdp, against its launchServer, connect and a
                         new page; `_over_cdp`: against connect_over_cdp to a warm Chrome and goto
seed_two_steps_on_vs_off open, two clicks with pictures, close: with reuse, against without

Run by root, both kinds of browser are without Chrome's sandbox: ours because the data lies in a folder
that is closed to others. Every part takes its baseline in turns with ours. `ARGS='--only WORD'` measures
only the parts that have a figure with WORD in its name, `--set NAME=VALUE` with a setting of the services
(`--set chrome_reuse=disabled`).
A part that fails is named in the report, with the reason, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from tests.bench import driving, memory, opens, playwright
from tests.bench.browser_rig import Bench, browser_rig, site
from tests.bench.parts import Measured, measured


class Part(NamedTuple):
    """`port`: the browsers that it measures have a port of their own too."""

    measure: Callable[[Bench], Awaitable[Measured]]
    figures: tuple[str, ...]
    port: bool = False


PARTS = {
    "cold opens": Part(opens.cold, ("cold_open_vs_bare",)),
    "warm opens": Part(opens.warm, ("warm_open_vs_navigate", "warm_open_p95_ms")),
    "warm opens after a client": Part(opens.after_client, ("warm_open_after_client_vs_navigate",)),
    "prewarmed opens": Part(opens.prewarmed, ("prewarmed_open_vs_warm",)),
    "ten at once": Part(opens.at_once, ("parallel10_open_p95_ms", "parallel10_false_hang_alarms")),
    "round trips": Part(driving.round_trips, ("cdp_rtt_vs_port", "cdp_rtt_gateway_vs_port"), port=True),
    "pictures": Part(driving.pictures, ("screenshots_vs_bare",)),
    "clicks": Part(driving.clicks, ("act_settled_p50_ms",)),
    "two steps": Part(opens.two_steps, ("seed_two_steps_on_vs_off",)),
    "playwright": Part(playwright.opens, ("open_vs_playwright", "open_vs_playwright_over_cdp")),
    "memory": Part(memory.with_warm_browsers, ("host_rss_mb",)),
}


async def main(asked: argparse.Namespace) -> bool:
    """Returns whether all parts could be measured."""
    settings = dict(each.split("=", 1) for each in asked.set)
    async with site() as url:

        async def fresh(part: Part) -> Measured:
            async with browser_rig(url, settings, port=part.port) as bench:
                return await part.measure(bench)

        parts = {
            name: partial(fresh, part)
            for name, part in PARTS.items()
            if any(asked.only in figure for figure in part.figures)
        }
        return await measured("browser", parts)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.browser", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--only", default="", help="measure the parts with a figure that has this in its name"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the services"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(arguments())) else 1)
