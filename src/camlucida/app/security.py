"""Who may ask, and how much they may send. Pure ASGI, in front of everything else.

A page on this machine is open to every other page in the same browser, so it looks at what browsers cannot be made to
leave out or to forge:

Host      A stranger's page whose name was pointed at this machine (DNS rebinding) comes with its own name. So without a
          token only known names are served, as Starlette's `TrustedHostMiddleware` compares them. With one the names do
          not matter: cookies belong to a name, and under a stranger's there is none.
Origin    Sent with whatever another page asks in the background or posts; it has to be this page's own, port included:
          localhost:3000 is somebody else. Where a browser sends none, Sec-Fetch-Site says the same. A link to "/" may
          stand anywhere, for it only opens the page.
Token     Shown as a bearer header, or once as ?token= in the address of the page, from where it goes into a cookie and
          out of the address, which people copy and which stands in histories. Compared in constant time.

Bodies are counted as they come in, since a chunked one says no length beforehand, each by itself and all together, and
have to arrive in time. Connections that never get so far are looked after in `connections`.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import ipaddress
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 1 << 20
"""Bytes of a question."""
MAX_UPLOAD = 25 << 20
"""Bytes of a picture's file."""
MAX_ENCODED = MAX_UPLOAD // 3 * 4 + (64 << 10)
"""The same in base64, within a question."""
MAX_BODIES = 256 << 20
"""Bytes of all bodies that are being received or worked on."""
PATIENCE = 20.0
"""Seconds between two pieces of a body."""
WHOLE = 120.0
"""Seconds for all of a body: 25 MB at 2 megabits a second."""
COOKIE = "camlucida_token"

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
"""On every answer: no script but ours, nothing from elsewhere, nobody frames us."""

HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_][a-z0-9_.-]{0,252})(?::([0-9]{1,5}))?", re.IGNORECASE)

log = logging.getLogger("camlucida.app")


class Refused(HTTPException):
    """A request that is not served. Its connection is closed: what else it may send is not waited for."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(status, detail, {"connection": "close", **headers})


class SecurityMiddleware:
    """Checks the Host and Origin headers, the token where there is one, and counts the body as it comes in.

    hosts     names under which this page is reached, without the port; an empty set for any, which needs a token
    token     what must be shown, as a cookie, a bearer header or once as ?token=; empty for none
    max_body  bytes of a request, or of those to a path by `larger`; at most `max_bodies` of all at once
    """

    def __init__(
        self,
        app: App,
        hosts: frozenset[str],
        token: str = "",
        *,
        max_body: int = MAX_BODY,
        larger: Mapping[str, int] | None = None,
        max_bodies: int = MAX_BODIES,
        patience: float = PATIENCE,
        whole: float = WHOLE,
    ) -> None:
        if not hosts and not token:
            raise ValueError("a page that is served under any name needs a token.")
        self.app, self.token = app, token
        names = sorted(_in_header(host) for host in hosts)
        self.named = TrustedHostMiddleware(self._http, allowed_hosts=names or ["*"], www_redirect=False)
        self.max_body, self.larger, self.max_bodies = max_body, dict(larger or {}), max_bodies
        self.patience, self.whole = patience, whole
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self.named(scope, receive, HeaderSender(send))
        elif scope["type"] == "websocket":  # there are none here
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, dressed: Send) -> None:
        assert isinstance(dressed, HeaderSender)
        headers = Headers(scope)
        body: Body | None = None
        try:
            host = self._check_host(scope, headers)
            self._check_origin(scope, headers, host)
            if self.token and (where := self._check_token(scope, headers, host)):
                await _redirect(dressed, where, f"{_cookie_name(host)}={self.token}; HttpOnly; SameSite=Strict; Path=/")
                return
            body = Body(self, self._check_length(scope, headers), receive)
            await self.app(scope, body, dressed)
        except ClientDisconnect:  # who hung up needs no answer, and whoever reads the log no trace
            log.debug("the client hung up")
        except Refused as refused:
            if not dressed.begun:
                await _refuse(dressed, refused, "text/html" in (headers.last("accept") or ""))
        except Exception as error:  # where an answer has begun, the application has told the log already
            if not dressed.begun:
                log.error("a request failed", exc_info=error)
                await _refuse(dressed, HTTPException(500, "Something went wrong on our side."))
        finally:
            if body is not None:
                self.held -= body.seen

    def _check_host(self, scope: Scope, headers: Headers) -> str:
        """The Host header, which there is once."""
        host = headers.only("host")
        if host is None or not (read := HOST.fullmatch(host)) or int(read[2] or 0) > 65535:
            raise Refused(400, "A request needs one Host header, with a name and a port.")
        if not scope["path"].startswith("/"):
            raise Refused(400, "A request asks for a path that begins with /.")
        return host.lower()

    def _check_origin(self, scope: Scope, headers: Headers, host: str) -> None:
        origin, site = headers.only("origin"), headers.only("sec-fetch-site")
        if origin is not None:
            if origin.lower() not in (f"http://{host}", f"https://{host}"):
                raise Refused(403, "Requests from other sites are not served.")
        elif site not in (None, "none", "same-origin") and not _opens(scope, headers):
            raise Refused(403, "Requests from other sites are not served.")

    def _check_token(self, scope: Scope, headers: Headers, host: str) -> str | None:
        """None where the token was shown; where to go if it came in the address."""
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        if scope["path"] == "/" and scope["method"] in ("GET", "HEAD"):
            shown = [value for key, value in query if key == "token"]
            if shown and self._is(shown[0]):
                rest = urlencode([(key, value) for key, value in query if key != "token"])
                return f"/?{rest}" if rest else "/"
        kind, _, value = (headers.only("authorization") or "").partition(" ")
        if (kind.lower() == "bearer" and self._is(value.strip())) or self._is(_cookie(headers, host)):
            return None
        raise Refused(
            401,
            "This page needs its token: open the address that was printed when it was started.",
            **{"www-authenticate": "Bearer"},
        )

    def _is(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode(), self.token.encode())

    def _check_length(self, scope: Scope, headers: Headers) -> int:
        """The most bytes that this request's body may have."""
        most = self.larger.get(scope["path"], self.max_body)
        length = headers.only("content-length") or "0"
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise Refused(400, "Content-Length is no number.")
        if int(length) > most:
            raise _too_large(most)
        if (headers.only("content-encoding") or "identity").lower() != "identity":
            raise Refused(415, "Compressed requests are not read: send it as it is.")
        return most


class Headers:
    """A request's headers by name, in lower case."""

    def __init__(self, scope: Scope) -> None:
        self._all: dict[str, list[str]] = {}
        for key, value in scope["headers"]:
            self._all.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def only(self, name: str) -> str | None:
        """The one of that name, or None. Raises `Refused` for several, which two readers may read differently."""
        found = self._all.get(name, [])
        if len(found) > 1:
            raise Refused(400, f"A request has one {name} header at most.")
        return found[0] if found else None

    def last(self, name: str) -> str | None:
        """The last of that name, or None."""
        return self._all.get(name, [None])[-1]

    def joined(self, name: str) -> str:
        """All of that name, as cookies may come."""
        return "; ".join(self._all.get(name, []))


class HeaderSender:
    """Sends answers with the headers that all of them have; what is no request (400) ends its connection."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            have = {key.lower() for key, _ in message["headers"]}
            always = {**HEADERS, "connection": "close"} if message["status"] == 400 else HEADERS
            more = [(k.encode(), v.encode()) for k, v in always.items() if k.encode() not in have]
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)


class Body:
    """A request's body as it comes in: counted, and in time. Raises `Refused`."""

    def __init__(self, guard: SecurityMiddleware, most: int, receive: Receive) -> None:
        self._guard, self._most, self._receive = guard, most, receive
        self._until = asyncio.get_running_loop().time() + guard.whole
        self._more = True
        self.seen = 0

    async def __call__(self) -> Message:
        if not self._more:
            return await self._receive()
        left = self._until - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, min(self._guard.patience, left)))
        except TimeoutError:
            raise Refused(408, "The request took too long to arrive.") from None
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._more = bool(message.get("more_body"))
        return message

    def _count(self, size: int) -> None:
        self.seen += size
        self._guard.held += size
        if self.seen > self._most:
            raise _too_large(self._most)
        if self._guard.held > self._guard.max_bodies:
            detail = "Too much is being sent at once. Try again in a few seconds."
            raise Refused(503, detail, **{"retry-after": "5"})


def _too_large(most: int) -> Refused:
    if most <= MAX_BODY:
        return Refused(413, f"A question has {most / (1 << 20):g} MB at most.")
    return Refused(413, f"That is more than {min(most, MAX_UPLOAD) >> 20} MB. Make the picture smaller.")


def _in_header(host: str) -> str:
    """A name as browsers write it into the Host header: lower case, addresses in their shortest form, IPv6 in brackets.

    Raises:
        ValueError: the name is a pattern, which would serve every name that ends like it.
    """
    if "*" in host:
        raise ValueError(f"{host!r} is a pattern; the page is served under whole names only.")
    bare = host.lower().strip("[]")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return bare
    return f"[{address}]" if address.version == 6 else str(address)


def _opens(scope: Scope, headers: Headers) -> bool:
    """Whether a browser opens the page itself, in a tab of its own."""
    return (
        scope["method"] in ("GET", "HEAD")
        and scope["path"] == "/"
        and headers.last("sec-fetch-mode") == "navigate"
        and headers.last("sec-fetch-dest") == "document"
    )


def _cookie_name(host: str) -> str:
    """Cookies know no ports: two pages on one machine must not take each other's."""
    port = HOST.fullmatch(host)
    return f"{COOKIE}_{port[2]}" if port and port[2] else COOKIE


def _cookie(headers: Headers, host: str) -> str:
    """The token that it holds. Other programs' cookies on this name may be of any form."""
    for one in headers.joined("cookie").split(";"):
        name, _, value = one.strip().partition("=")
        if name == _cookie_name(host):
            return value
    return ""


PAPER = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Camlucida</title>
<h1>Camlucida</h1>
<p>{detail}</p>
{more}</html>
"""
COME_IN = '<p>If this browser has opened it before: <a href="/">open the page</a>.</p>\n'
"""A link on another site brings no cookie; one on this page does."""


async def _refuse(send: Send, refused: HTTPException, as_page: bool = False) -> None:
    """With a sentence: for programs as JSON, for people who look at it in a browser as a small page without script."""
    kind = "application/json"
    text = json.dumps({"kind": "Refused" if refused.status_code < 500 else "Fault", "detail": refused.detail})
    if as_page:
        kind = "text/html; charset=utf-8"
        text = PAPER.format(detail=html.escape(refused.detail), more=COME_IN if refused.status_code == 401 else "")
    headers = {"content-type": kind, "cache-control": "no-store", **(refused.headers or {})}
    await _send(send, refused.status_code, headers, text.encode())


def refusing(refused: Refused) -> App:
    """An application that only says that."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _refuse(HeaderSender(send), refused)

    return app


async def _redirect(send: Send, where: str, cookie: str) -> None:
    await _send(send, 303, {"location": where, "set-cookie": cookie, "cache-control": "no-store"}, b"")


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    everything = {**headers, "content-length": str(len(body))}
    raw = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in everything.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
