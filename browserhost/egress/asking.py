"""What an upstream wants to hear before it connects somewhere: HTTP's CONNECT, or SOCKS, and who asks."""

from __future__ import annotations

from browserhost.egress import socks
from browserhost.egress.credentials import Credentials
from browserhost.egress.end import End
from browserhost.egress.socks import Destination

_HEAD_ENDS = b"\r\n\r\n"
_AUTHENTICATE = 407


class Unwilling(Exception):
    """The upstream did not connect us there. Its text is a clause."""


class Unusable(Exception):
    """The upstream connects us nowhere as things are. Its text is a clause."""


class NotTaken(Unusable):
    """The upstream refused the credentials. `again_s`: they are not shown again for so long; 0: unknown.
    `under_way`: somebody shows them at this moment.
    """

    def __init__(self, again_s: int = 0, *, under_way: bool = False) -> None:
        later = f", and is not shown them again for {again_s} s" if again_s else ""
        if under_way:
            later = ", and an attempt with them is under way"
        super().__init__(f"the proxy refused the credentials{later}")


class Challenged(Unusable):
    """The upstream wants credentials by HTTP's Basic scheme, and was shown none."""

    def __init__(self) -> None:
        super().__init__("the proxy wants credentials, and none are configured")


async def ask(scheme: str, end: End, to: Destination, credentials: Credentials | None) -> None:
    """Have it connect to `to`: then `end` is that connection.

    Raises Challenged, NotTaken, Unwilling, Unusable, Ended, Malformed; `end` is of no use then.
    """
    if scheme == "socks5":
        await _socks5(end, to, credentials)
    elif scheme == "socks4":
        end.send(socks.call4(to))
        _check(await end.take(socks.answer4))
    else:
        await _connect(end, to, credentials)


async def _connect(end: End, to: Destination, credentials: Credentials | None) -> None:
    head = f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"
    if credentials is not None:
        if ":" in credentials.user:
            raise Unusable("HTTP takes no user with a colon in it")
        head += f"Proxy-Authorization: Basic {credentials.basic}\r\n"
    end.send(f"{head}\r\n".encode("ascii"))
    status, schemes = await end.take(_answer)
    if status == _AUTHENTICATE:
        if credentials is not None:
            raise NotTaken
        if "basic" not in schemes:
            raise Unusable(f"the proxy wants credentials by {' or '.join(schemes) or 'no scheme'}, not Basic")
        raise Challenged
    if not 200 <= status < 300:
        raise Unwilling(f"the proxy answered {status}")


async def _socks5(end: End, to: Destination, credentials: Credentials | None) -> None:
    end.send(socks.GREETING if credentials is None else socks.GREETING_SIGNED)
    method = await end.take(socks.method)
    if method == socks.SIGNED and credentials is not None:
        try:
            end.send(socks.sign_in(credentials.user, credentials.password))
        except ValueError:
            raise Unusable("SOCKS takes 1 to 255 bytes of user and password each") from None
        if await end.take(socks.signed_in) != socks.SUCCEEDED:
            raise NotTaken
    elif method != socks.PLAIN:
        raise Unusable(
            "the proxy wants credentials, and none are configured"
            if credentials is None
            else "the proxy takes no user and password"
        )
    end.send(socks.call5(to))
    _check(await end.take(socks.answer5))


def _check(code: int) -> None:
    if code != socks.SUCCEEDED:
        raise Unwilling(f"the proxy answered {code}")


def _answer(data: bytes) -> tuple[tuple[int, list[str]], int] | None:
    """Status and the schemes that it challenges by, in lower case. Raises Malformed."""
    head, end, _ = data.partition(_HEAD_ENDS)
    if not end:
        return None
    first, *headers = head.split(b"\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise socks.Malformed
    schemes = []
    for header in headers:
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"proxy-authenticate" and (words_of := value.split()):
            schemes.append(words_of[0].decode("latin-1").lower()[:20])
    return (int(words[1]), schemes), len(head) + len(end)
