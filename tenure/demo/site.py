"""A small shop to sign in to: sign-in form, second factor, account page, checkout. The world outside, for
demo and tests.

It remembers who is signed in by a persistent cookie, as real sites do: the login is in
the browser's profile and nowhere else.
"""

from __future__ import annotations

import hmac
import html
import secrets
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

PASSWORD = "open sesame"
COOKIE = "shop_login"
_ASKED = "shop_asked"
TOTP_STEP_S = 30
_COOKIE_AGE_S = 30 * 24 * 3600
_STYLE = Path(__file__).with_name("style.css")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Juniper Supply</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header><a class="brand" href="/">Juniper Supply</a><nav>{nav}</nav></header>
<main>{body}</main>
</body>
</html>
"""

_SIGN_IN = """<h1>Sign in</h1>
<p>Your account, your orders, your address.</p>
{problem}
<form method="post" action="/sign-in">
<label>Name<input id="name" name="name" autocomplete="username" autofocus required></label>
<label>Password<input id="password" name="password" type="password" required></label>
<button id="sign-in">Sign in</button>
</form>"""

_TOTP = """<h1>One more step</h1>
<p>Enter the six digits that your authenticator shows.</p>
{problem}
<form method="post" action="/totp">
<label>Code<input id="code" name="code" autocomplete="one-time-code" autofocus required></label>
<button id="verify">Verify</button>
</form>"""

_ACCOUNT = """<h1>Hello, <span id="who">{name}</span></h1>
<p>You are signed in on this browser.</p>
<dl><dt>Orders so far</dt><dd id="orders">{orders}</dd><dt>Member since</dt><dd>March 2021</dd></dl>
<a class="button" href="/checkout">Go to checkout</a>"""

_CHECKOUT = """<h1>Checkout</h1>
<p>Check your order. Confirming it charges your card.</p>
<dl>
<dt>Juniper, 2 l pot</dt><dd>18.00</dd><dt>Delivery</dt><dd>4.50</dd>
<dt class="total">Total</dt><dd class="total">22.50</dd>
</dl>
<form method="post" action="/checkout"><button id="confirm">Confirm the order</button></form>"""

_DONE = """<h1>Thank you, {name}</h1>
<p>Your order <strong id="order">{number}</strong> is on its way.</p>
<a class="button" href="/account">Back to your account</a>"""


class DemoSite:
    """The site on a free port of this machine. Owned: `async with`. Its memory ends with it."""

    def __init__(self) -> None:
        self.url = ""
        self.orders: dict[str, int] = defaultdict(int)
        """How many orders each name has confirmed."""
        self.authenticators: dict[str, bytes] = {}
        """Names that need a second factor, a time-based code (RFC 6238), each with its shared secret."""
        self.visitors: Counter[str] = Counter()
        """How many requests came from each address."""
        self._logins: dict[str, str] = {}
        self._asked: dict[str, str] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.on_response_prepare.append(self._count)
        app.add_routes(
            [
                web.get("/", self._home),
                web.get("/style.css", self._style),
                web.get("/sign-in", self._sign_in_form),
                web.post("/sign-in", self._sign_in),
                web.get("/totp", self._totp_form),
                web.post("/totp", self._totp),
                web.post("/sign-out", self._sign_out),
                web.get("/account", self._account),
                web.get("/checkout", self._checkout),
                web.post("/checkout", self._confirm),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _count(self, request: web.Request, response: web.StreamResponse) -> None:
        self.visitors[str(request.remote)] += 1

    def _who(self, request: web.Request) -> str | None:
        return self._logins.get(request.cookies.get(COOKIE, ""))

    async def _home(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPSeeOther("/account" if self._who(request) else "/sign-in")

    async def _style(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(_STYLE)

    async def _sign_in_form(self, request: web.Request) -> web.StreamResponse:
        return _page("Sign in", _SIGN_IN.format(problem=""))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        name, password = str(form.get("name", "")).strip(), form.get("password")
        if not name or password != PASSWORD:
            problem = '<p class="problem" id="problem">Name and password do not match.</p>'
            return _page("Sign in", _SIGN_IN.format(problem=problem), status=403)
        if name in self.authenticators:
            asked = secrets.token_urlsafe(24)
            self._asked[asked] = name
            answer = web.HTTPSeeOther("/totp")
            answer.set_cookie(_ASKED, asked, httponly=True, samesite="Lax")
            raise answer
        raise self._signed_in_as(name)

    async def _totp_form(self, request: web.Request) -> web.StreamResponse:
        return _page("One more step", _TOTP.format(problem=""))

    async def _totp(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        name = self._asked.get(request.cookies.get(_ASKED, ""), "")
        now = time.time()
        # Whoever types takes a moment: the code before is good too.
        good = {totp(self.authenticators[name], now - late) for late in (0, TOTP_STEP_S)} if name else set()
        if str(form.get("code", "")).strip() not in good:
            problem = '<p class="problem" id="problem">That is not the code.</p>'
            return _page("One more step", _TOTP.format(problem=problem), status=403)
        del self._asked[request.cookies[_ASKED]]
        raise self._signed_in_as(name)

    def _signed_in_as(self, name: str) -> web.HTTPSeeOther:
        login = secrets.token_urlsafe(24)
        self._logins[login] = name
        answer = web.HTTPSeeOther("/account")
        answer.set_cookie(COOKIE, login, max_age=_COOKIE_AGE_S, httponly=True, samesite="Lax")
        return answer

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        self._logins.pop(request.cookies.get(COOKIE, ""), None)
        answer = web.HTTPSeeOther("/sign-in")
        answer.del_cookie(COOKIE)
        raise answer

    async def _account(self, request: web.Request) -> web.StreamResponse:
        name = self._signed_in(request)
        return _page("Account", _ACCOUNT.format(name=html.escape(name), orders=self.orders[name]), name)

    async def _checkout(self, request: web.Request) -> web.StreamResponse:
        return _page("Checkout", _CHECKOUT, self._signed_in(request))

    async def _confirm(self, request: web.Request) -> web.StreamResponse:
        name = self._signed_in(request)
        self.orders[name] += 1
        number = f"J-{sum(self.orders.values()):04d}"
        return _page("Thank you", _DONE.format(name=html.escape(name), number=number), name)

    def _signed_in(self, request: web.Request) -> str:
        """Who is signed in; sends everybody else to the form."""
        name = self._who(request)
        if name is None:
            raise web.HTTPSeeOther("/sign-in")
        return name


def totp(secret: bytes, now: float) -> str:
    """The six digits of a time-based one-time password (RFC 6238) at `now`, in seconds since 1970."""
    step = int(now // TOTP_STEP_S).to_bytes(8, "big")
    digest = hmac.digest(secret, step, "sha1")
    start = digest[-1] & 0xF
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def _page(title: str, body: str, name: str | None = None, status: int = 200) -> web.Response:
    links = '<a href="/sign-in">Sign in</a>'
    if name is not None:
        links = f'<a href="/account">{html.escape(name)}</a><a href="/checkout">Checkout</a>'
    text = _PAGE.format(title=title, nav=links, body=body)
    return web.Response(
        text=text, content_type="text/html", status=status, headers={"Cache-Control": "no-store"}
    )
