"""Who may ask, and how much they may send. Pure ASGI, in front of everything else."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 25 << 20
"""Bytes of an upload."""
PATIENCE = 20.0
"""Seconds between two pieces of a body."""
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


class Refused(Exception):
    """A request that is not served."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail


class Guard:
    """Checks the Host and Origin headers, the token where there is one, and counts the body as it comes in.

    hosts   names under which this page is reached, without the port; an empty set for any, which needs a token
    token   what must be shown, as a cookie, a bearer header or once as ?token=; empty for none
    """

    def __init__(self, app: App, hosts: frozenset[str], token: str = "", max_body: int = MAX_BODY) -> None:
        self.app, self.hosts, self.token, self.max_body = app, hosts, token, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        begun = False

        async def dressed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                have = {key.lower() for key, _ in message["headers"]}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in have]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            self._check_host(headers)
            self._check_origin(headers)
            if self.token and (answer := self._check_token(scope, headers)):
                await _redirect(dressed, *answer)
                return
            await self.app(scope, self._counted(headers, receive), dressed)
        except Refused as refused:
            if not begun:
                await _refuse(dressed, refused)

    def _check_host(self, headers: dict[str, str]) -> None:
        """A page of a stranger whose name was pointed at this machine would come with its own name (rebinding)."""
        host = _name(headers.get("host", ""))
        if not host:
            raise Refused(400, "A request needs one Host header.")
        if self.hosts and host not in self.hosts:
            raise Refused(400, f"This page is not served as {host[:100]!r}.")
        if not self.hosts and not _is_address(host):
            pass  # any name: whoever comes needs the token

    def _check_origin(self, headers: dict[str, str]) -> None:
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
            raise Refused(403, "Requests from other sites are not served.")
        if origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "Requests from other sites are not served.")

    def _check_token(self, scope: Scope, headers: dict[str, str]) -> tuple[str, str] | None:
        """None where the token was shown; where to go and the cookie to take along, if it came in the address."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if self._is(query.get("token", [""])[0]):
            return scope["path"], f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        kind, _, value = headers.get("authorization", "").partition(" ")
        if (kind.lower() == "bearer" and self._is(value)) or self._is(_cookie(headers.get("cookie", ""))):
            return None
        raise Refused(401, "This page needs its token: open the address that was printed when it was started.")

    def _is(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode(), self.token.encode())

    def _counted(self, headers: dict[str, str], receive: Receive) -> Receive:
        """Bytes are counted as they come in: a chunked body says no length beforehand."""
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            raise Refused(400, "Content-Length is no number.") from None
        if length > self.max_body:
            raise Refused(413, self._too_large)
        seen = 0
        waiting = True

        async def counted() -> Message:
            nonlocal seen, waiting
            if not waiting:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), PATIENCE)
            except TimeoutError:
                raise Refused(408, "The request took too long to arrive.") from None
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                waiting = bool(message.get("more_body"))
                if seen > self.max_body:
                    raise Refused(413, self._too_large)
            return message

        return counted

    @property
    def _too_large(self) -> str:
        return f"That is more than {self.max_body >> 20} MB. Make the picture smaller."


def _name(host: str) -> str:
    """Of a Host header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


async def _refuse(send: Send, refused: Refused) -> None:
    body = json.dumps({"kind": "Refused", "detail": refused.detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send(
        {"type": "http.response.start", "status": refused.status, "headers": [*headers, (b"connection", b"close")]}
    )
    await send({"type": "http.response.body", "body": body})


async def _redirect(send: Send, where: str, cookie: str) -> None:
    headers = [(b"location", where.encode("latin-1")), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
