"""Request headers, and responses that are sent without the application: errors and redirects."""

from __future__ import annotations

import html
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from starlette.exceptions import HTTPException

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

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


class Refused(HTTPException):
    """A rejected request. Its connection is closed without waiting for the rest of the request."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(status, detail, {"connection": "close", **headers})


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
            raise Refused(400, f"The request has several {name} headers; at most one is allowed.")
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
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            present = {key.lower() for key, _ in message["headers"]}
            required = {**HEADERS, "connection": "close"} if message["status"] == 400 else HEADERS
            missing = [(k.encode(), v.encode()) for k, v in required.items() if k.encode() not in present]
            message = {**message, "headers": [*message["headers"], *missing]}
        await self._send(message)


ERROR_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Camlucida</title>
<h1>Camlucida</h1>
<p>{detail}</p>
{more}</html>
"""
OPEN_LINK = '<p>If this browser has opened the app before: <a href="/">open the app</a>.</p>\n'
"""A link on another site sends no cookie; a link on this page does."""


async def send_error(send: Send, refused: HTTPException, as_page: bool = False) -> None:
    """Send an error as a sentence: as JSON, or for browsers as a small HTML page without scripts."""
    kind = "application/json"
    text = json.dumps({"kind": "Refused" if refused.status_code < 500 else "Fault", "detail": refused.detail})
    if as_page:
        kind = "text/html; charset=utf-8"
        text = ERROR_PAGE.format(
            detail=html.escape(refused.detail), more=OPEN_LINK if refused.status_code == 401 else ""
        )
    headers = {"content-type": kind, "cache-control": "no-store", **(refused.headers or {})}
    await _send(send, refused.status_code, headers, text.encode())


def refusing(refused: Refused) -> App:
    """Return an application that only sends this error."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_error(HeaderSender(send), refused)

    return app


async def send_redirect(send: Send, location: str, cookie: str) -> None:
    await _send(send, 303, {"location": location, "set-cookie": cookie, "cache-control": "no-store"}, b"")


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    all_headers = {**headers, "content-length": str(len(body))}
    raw = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
