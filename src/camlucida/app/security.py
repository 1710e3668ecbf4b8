"""Request authentication and size limits, as pure ASGI middleware in front of the application.

A server on this machine is reachable from every web page in the same browser, so requests are checked by headers that
a browser neither omits nor lets a page forge:

Host      In DNS rebinding, a foreign page whose name resolves to this machine sends its own name. Without a token only
          known names are accepted, as by Starlette's `TrustedHostMiddleware`. With a token names do not matter:
          cookies belong to a name, and the foreign name has none.
Origin    Sent with all background and POST requests of a page; it must equal this app's origin including the port:
          localhost:3000 is a different origin. If it is missing, Sec-Fetch-Site is checked instead. Links to "/" are
          accepted from anywhere, because they only open the app.
Token     Sent as a bearer header, or once as ?token= in the URL, from where it is moved into a cookie and removed from
          the URL, which users copy and browsers store. Compared in constant time.

The size of bodies is counted as they arrive, because a chunked body has no declared length: each body separately, and
all of them together. They also have to arrive in time. Connections that never complete a request are handled in
`http_protocol`.
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
"""Maximum size of a request body, in bytes."""
MAX_UPLOAD = 25 << 20
"""Maximum size of an image file, in bytes."""
MAX_ENCODED = MAX_UPLOAD // 3 * 4 + (64 << 10)
"""The same in base64, including the rest of the request."""
MAX_BODIES = 256 << 20
"""Maximum size, in bytes, of all bodies that are being received or processed."""
PATIENCE = 20.0
"""Maximum seconds between two parts of a body."""
WHOLE = 120.0
"""Maximum seconds for a whole body: 25 MB at 2 Mbit/s."""
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
"""Headers of every response: no foreign scripts or resources, no embedding in frames."""

HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_][a-z0-9_.-]{0,252})(?::([0-9]{1,5}))?", re.IGNORECASE)

log = logging.getLogger("camlucida.app")


class Refused(HTTPException):
    """A rejected request. Its connection is closed without waiting for the rest of the request."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(status, detail, {"connection": "close", **headers})


class SecurityMiddleware:
    """Middleware that checks the Host and Origin headers and the token, and limits the size of bodies.

    Args:
        app: The application.
        hosts: Accepted host names without the port; an empty set accepts any and requires a token.
        token: The token to present as a cookie, a bearer header or once as ?token=; empty for none.
        max_body: Maximum size of a body, in bytes.
        larger: Maximum sizes for specific paths, in bytes.
        max_bodies: Maximum size of all bodies at once, in bytes.
        patience: Maximum seconds between two parts of a body.
        whole: Maximum seconds for a whole body.

    Raises:
        ValueError: If `hosts` and `token` are both empty.
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
        elif scope["type"] == "websocket":  # the app has no websockets
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
        except ClientDisconnect:  # a disconnected client needs no response, and the log no traceback
            log.debug("the client hung up")
        except Refused as refused:
            if not dressed.begun:
                await _refuse(dressed, refused, "text/html" in (headers.last("accept") or ""))
        except Exception as error:  # if the response has begun, the application has already logged the error
            if not dressed.begun:
                log.error("a request failed", exc_info=error)
                await _refuse(dressed, HTTPException(500, "Something went wrong on our side."))
        finally:
            if body is not None:
                self.held -= body.seen

    def _check_host(self, scope: Scope, headers: Headers) -> str:
        """Return the value of the Host header, which must occur exactly once."""
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
        """Return None if the token is valid, or the URL to redirect to if it was given in the query."""
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
        """Return the maximum body size of this request, in bytes."""
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
    """The headers of a request by lower-case name."""

    def __init__(self, scope: Scope) -> None:
        self._all: dict[str, list[str]] = {}
        for key, value in scope["headers"]:
            self._all.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def only(self, name: str) -> str | None:
        """Return the value of a header, or None.

        Raises:
            Refused: If it occurs several times, which two parsers may interpret differently.
        """
        header_values = self._all.get(name, [])
        if len(header_values) > 1:
            raise Refused(400, f"A request has one {name} header at most.")
        return header_values[0] if header_values else None

    def last(self, name: str) -> str | None:
        """Return the last value of a header, or None."""
        return self._all.get(name, [None])[-1]

    def joined(self, name: str) -> str:
        """Return all values of a header, joined with semicolons as for cookies."""
        return "; ".join(self._all.get(name, []))


class HeaderSender:
    """A wrapper of `send` that adds the headers of every response; a response with status 400 closes the connection."""

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
    """The body of a request as it arrives, with limits on its size and duration. Raises `Refused`."""

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
    """Return a host name as browsers send it: lower case, addresses in their shortest form, IPv6 in brackets.

    Raises:
        ValueError: If the name is a pattern, which would accept every name with the same ending.
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
    """Return whether a browser opens the app itself in a tab."""
    return (
        scope["method"] in ("GET", "HEAD")
        and scope["path"] == "/"
        and headers.last("sec-fetch-mode") == "navigate"
        and headers.last("sec-fetch-dest") == "document"
    )


def _cookie_name(host: str) -> str:
    """Return the cookie name, which includes the port: cookies ignore ports, and two apps must not share one."""
    port = HOST.fullmatch(host)
    return f"{COOKIE}_{port[2]}" if port and port[2] else COOKIE


def _cookie(headers: Headers, host: str) -> str:
    """Return the token in the cookie. Cookies of other programs on this host may have any form."""
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
"""A link on another site sends no cookie; one on this page does."""


async def _refuse(send: Send, refused: HTTPException, as_page: bool = False) -> None:
    """Send an error as a sentence: as JSON, or for browsers as a small HTML page without scripts."""
    kind = "application/json"
    text = json.dumps({"kind": "Refused" if refused.status_code < 500 else "Fault", "detail": refused.detail})
    if as_page:
        kind = "text/html; charset=utf-8"
        text = PAPER.format(detail=html.escape(refused.detail), more=COME_IN if refused.status_code == 401 else "")
    headers = {"content-type": kind, "cache-control": "no-store", **(refused.headers or {})}
    await _send(send, refused.status_code, headers, text.encode())


def refusing(refused: Refused) -> App:
    """Return an application that only sends this error."""

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
