"""Which addresses lead into the machine rather than to the web. Pure."""

from __future__ import annotations

from browserhost.policy.verdict import PASS, Verdict, refuse

_WEB = frozenset({"http", "https"})
_PAGES_OWN = frozenset({"data", "javascript"})
_BLANK = ("about:blank", "about:srcdoc")
# https://url.spec.whatwg.org/#concept-basic-url-parser
_IGNORED_IN_URLS = str.maketrans("", "", "\t\n\r")
_TRIMMED_FROM_URLS = "".join(map(chr, range(0x21)))
# Chrome's own page for what did not load.
_ERROR_PAGE = "chrome-error"


def start_url_problem(url: str) -> str | None:
    """Why a session may not start at `url`, as a clause; None when it may."""
    if scheme(url) in _WEB or is_blank(url):
        return None
    return f"has the scheme '{scheme(url)}'" if scheme(url) else "is not an address"


def leads_inside(url: str) -> bool:
    """Whether a page that is sent there would leave the web."""
    found = scheme(url)
    if found == "blob":  # of a page of the web, or of one without an origin
        return scheme(clean(url).removeprefix("blob:")) not in {*_WEB, ""}
    return bool(url) and not is_blank(url) and found not in _WEB | _PAGES_OWN


def is_of_the_web(url: str) -> bool:
    """Whether a target that is at `url` may be seen by clients; a new one is at "" still."""
    return not leads_inside(url) or scheme(url) == _ERROR_PAGE


def judge(url: object) -> Verdict:
    """An address that a browser is sent to."""
    text = "" if url is None else str(url)
    if not leads_inside(text):
        return PASS
    return refuse(f"addresses of the scheme '{scheme(text)}' reach into the machine", "use http or https")


def judge_redirect(url: str) -> Verdict:
    """An address as a response's header has it: a relative one stays where it is."""
    return judge(url) if scheme(url) else PASS


def clean(url: str) -> str:
    """As browsers read a URL: spaces and controls around it are cut, tabs and line ends inside left out."""
    return url.strip(_TRIMMED_FROM_URLS).translate(_IGNORED_IN_URLS).lower()


def scheme(url: str) -> str:
    """In lower case; "" when there is none."""
    found, colon, _ = clean(url).partition(":")
    return found if colon else ""


def is_blank(url: str) -> bool:
    """`about:` alone would not do: Chrome reads `about:settings` as `chrome://settings`."""
    cleaned = clean(url)
    return cleaned in _BLANK or cleaned.startswith(("about:blank#", "about:blank?"))
