"""Request authentication and size limits, as pure ASGI middleware in front of the application.

A server on this machine is reachable from every web page in the same browser, so requests are checked by headers that
a browser neither omits nor lets a page forge:

Host      In DNS rebinding, a foreign page whose name resolves to this machine sends its own name. Without a token only
          known names are accepted, as by Starlette's `TrustedHostMiddleware`. With a token names do not matter:
          cookies belong to a name, and the foreign name has none.
Origin    Sent with all background and POST requests of a page; it must equal this app's origin including the port:
          localhost:3000 is a different origin. If it is missing, Sec-Fetch-Site is checked instead. Links to
          `PAGES` are accepted from anywhere, because they only open the app.
Token     Sent as a bearer header, or once as ?token= in the URL, from where it is moved into a cookie and removed from
          the URL, which users copy and browsers store. Compared in constant time.

The size of bodies is counted as they arrive, because a chunked body has no declared length: each body separately, and
all of them together. They also have to arrive in time. Connections that never complete a request are handled in
`http_protocol`.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from camlucida.app.http_messages import (
    App,
    Headers,
    HeaderSender,
    Receive,
    Refused,
    Scope,
    Send,
    send_error,
    send_redirect,
)
from camlucida.app.request_body import MAX_BODIES, MAX_BODY, MAX_DURATION_S, MAX_PAUSE_S, Body, too_large

COOKIE = "camlucida_token"
PAGES = frozenset({"/", "/audit", "/docs"})
"""Paths of pages that links on other sites and printed addresses may open."""

HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_][a-z0-9_.-]{0,252})(?::([0-9]{1,5}))?", re.IGNORECASE)

log = logging.getLogger("camlucida.app")


class SecurityMiddleware:
    """Middleware that checks the Host and Origin headers and the token, and limits the size of bodies.

    Args:
        app: The application.
        hosts: Accepted host names without the port; an empty set accepts any and requires a token.
        token: The token to present as a cookie, a bearer header or once as ?token=; empty for none.
        max_body: Maximum size of a body, in bytes.
        larger: Maximum sizes for specific paths, in bytes.
        max_bodies: Maximum size of all bodies at once, in bytes.
        max_pause_s: Maximum seconds between two parts of a body.
        max_duration_s: Maximum seconds for a whole body.

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
        max_pause_s: float = MAX_PAUSE_S,
        max_duration_s: float = MAX_DURATION_S,
    ) -> None:
        if not hosts and not token:
            raise ValueError("an app that accepts any host name needs a token.")
        self.app, self.token = app, token
        names = sorted(_in_header(host) for host in hosts)
        self._host_check = TrustedHostMiddleware(self._http, allowed_hosts=names or ["*"], www_redirect=False)
        self.max_body, self.larger, self.max_bodies = max_body, dict(larger or {}), max_bodies
        self.max_pause_s, self.max_duration_s = max_pause_s, max_duration_s
        self.n_bytes_held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._host_check(scope, receive, HeaderSender(send))
        elif scope["type"] == "websocket":  # the app has no websockets
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, sender: Send) -> None:
        assert isinstance(sender, HeaderSender)
        headers = Headers(scope)
        body: Body | None = None
        try:
            host = self._check_host(scope, headers)
            self._check_origin(scope, headers, host)
            if self.token and (location := self._check_token(scope, headers, host)):
                await send_redirect(
                    sender, location, f"{_cookie_name(host)}={self.token}; HttpOnly; SameSite=Strict; Path=/"
                )
                return
            body = Body(self, self._check_length(scope, headers), receive)
            await self.app(scope, body, sender)
        except ClientDisconnect:  # a disconnected client needs no response, and the log no traceback
            log.debug("the client has disconnected")
        except Refused as refused:
            if not sender.started:
                await send_error(sender, refused, "text/html" in (headers.last("accept") or ""))
        except Exception as error:  # if the response has begun, the application has already logged the error
            if not sender.started:
                log.error("a request failed", exc_info=error)
                await send_error(
                    sender,
                    HTTPException(500, "The server failed; the details are in the terminal where it was started."),
                )
        finally:
            if body is not None:
                self.n_bytes_held -= body.n_bytes

    def _check_host(self, scope: Scope, headers: Headers) -> str:
        """Return the value of the Host header, which must occur exactly once."""
        host = headers.only("host")
        if host is None or not (match := HOST.fullmatch(host)) or int(match[2] or 0) > 65535:
            raise Refused(400, "A request needs exactly one valid Host header.")
        if not scope["path"].startswith("/"):
            raise Refused(400, "The path of a request must begin with /.")
        return host.lower()

    def _check_origin(self, scope: Scope, headers: Headers, host: str) -> None:
        origin, site = headers.only("origin"), headers.only("sec-fetch-site")
        if origin is not None:
            if origin.lower() not in (f"http://{host}", f"https://{host}"):
                raise Refused(403, "Requests from other sites are rejected.")
        elif site not in (None, "none", "same-origin") and not _opens(scope, headers):
            raise Refused(403, "Requests from other sites are rejected.")

    def _check_token(self, scope: Scope, headers: Headers, host: str) -> str | None:
        """Return None if the token is valid, or the URL to redirect to if it was given in the query."""
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        if scope["path"] in PAGES and scope["method"] in ("GET", "HEAD"):
            tokens = [value for key, value in query if key == "token"]
            if tokens and self._is_token(tokens[0]):
                query_string = urlencode([(key, value) for key, value in query if key != "token"])
                return f"{scope['path']}?{query_string}" if query_string else str(scope["path"])
        kind, _, value = (headers.only("authorization") or "").partition(" ")
        if (kind.lower() == "bearer" and self._is_token(value.strip())) or self._is_token(_cookie(headers, host)):
            return None
        raise Refused(
            401,
            "The token is missing: open the URL that was printed when the app was started.",
            **{"www-authenticate": "Bearer"},
        )

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    def _check_length(self, scope: Scope, headers: Headers) -> int:
        """Return the maximum body size of this request, in bytes."""
        max_bytes = self.larger.get(scope["path"], self.max_body)
        length = headers.only("content-length") or "0"
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise Refused(400, "Content-Length is not a number.")
        if int(length) > max_bytes:
            raise too_large(max_bytes)
        if (headers.only("content-encoding") or "identity").lower() != "identity":
            raise Refused(415, "Compressed requests are not supported; send the body uncompressed.")
        return max_bytes


def _in_header(host: str) -> str:
    """Return a host name as browsers send it: lower case, addresses in their shortest form, IPv6 in brackets.

    Raises:
        ValueError: If the name is a pattern, which would accept every name with the same ending.
    """
    if "*" in host:
        raise ValueError(f"the host name {host!r} is a pattern; only complete names are accepted.")
    name = host.lower().strip("[]")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    return f"[{address}]" if address.version == 6 else str(address)


def _opens(scope: Scope, headers: Headers) -> bool:
    """Return whether a browser opens the app itself in a tab."""
    return (
        scope["method"] in ("GET", "HEAD")
        and scope["path"] in PAGES
        and headers.last("sec-fetch-mode") == "navigate"
        and headers.last("sec-fetch-dest") == "document"
    )


def _cookie_name(host: str) -> str:
    """Return the cookie name, which includes the port: cookies ignore ports, and two apps must not share one."""
    port = HOST.fullmatch(host)
    return f"{COOKIE}_{port[2]}" if port and port[2] else COOKIE


def _cookie(headers: Headers, host: str) -> str:
    """Return the token in the cookie. Cookies of other programs on this host may have any form."""
    for cookie in headers.joined("cookie").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == _cookie_name(host):
            return value
    return ""
