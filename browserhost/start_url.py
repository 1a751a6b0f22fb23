"""Where a session may start. The gateway has checked already; the host trusts nobody with this."""

from __future__ import annotations

from browserhost import policy
from browserhost.egress.addresses import destination
from browserhost.egress.forwarder import Egress
from tenure.errors import InvalidField


def check(url: str, egress: Egress) -> None:
    """Raises InvalidField for what is no web page, and for addresses that no browser here may reach.

    A name that leads to such an address is found out when it is resolved: then the page does not load.
    """
    problem = policy.start_url_problem(url)
    remedy = "send an http or https address, or about:blank"
    to = destination(url)
    if problem is None and to is not None:
        problem = egress.literal_problem(*to)
        remedy = "no browser of this host may go there: send another address"
    if problem is not None:
        raise InvalidField(field="start_url", value=url, problem=problem, remedy=remedy)
