"""From a page to a running server on this machine."""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket
import webbrowser
from collections.abc import Callable

import uvicorn

from camlucida.app.app import LOOPBACK, create_app
from camlucida.app.app_state import Page
from camlucida.app.http_protocol import Limits, connections
from camlucida.errors import CamlucidaError

KEEP_ALIVE = 5
"""Seconds that a connection may be idle between two requests."""
FAREWELL = 1
"""Seconds for answers that are on their way when the server is stopped."""


class Server(uvicorn.Server):
    """uvicorn, which ends the work that is going on when it is stopped."""

    def __init__(self, config: uvicorn.Config, page: Page) -> None:
        super().__init__(config)
        self._page = page

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._page.work.stop()
        await super().shutdown(sockets)


def server(page: Page, *, host: str = "127.0.0.1", token: str = "", limits: Limits | None = None) -> Server:
    """A server of the page, reached under that host, which listens to nothing yet: `run(sockets=[listen(…)])`."""
    hosts = frozenset() if token else LOOPBACK | {host}
    config = uvicorn.Config(
        create_app(page, hosts=hosts, token=token),
        http=connections(limits or Limits()),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=FAREWELL,
    )
    return Server(config, page)


def serve(
    page: Page, listening: socket.socket, *, host: str, browser: bool = False, say: Callable[[str], None] = print
) -> None:
    """Serve the page until it is interrupted.

    listening  where `listen` said: people who come before the page is ready wait
    host       that was given to it. On any but the loopback a token is needed, which is part of what is said
    say        told the address, once
    """
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    address = address_of(host, listening.getsockname()[1], token)
    say(address)
    if browser:
        webbrowser.open(address)
    server(page, host=host, token=token).run(sockets=[listening])


def address_of(host: str, port: int, token: str = "") -> str:
    """Where a browser finds it. Of "every address of this machine", its name."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `CamlucidaError` where that cannot be."""
    if not 0 <= port <= 65535:
        raise CamlucidaError(f"--port {port} is none: they go from 0 (any free one) to 65535.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise CamlucidaError(f"no address {host!r} is known. Give one of this machine with --host.") from None
    # asyncio turns Nagle's algorithm off only where the socket says that it is TCP. With it every answer on an open
    # connection waits 40 ms, for the client's delayed acknowledgement of its head.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise CamlucidaError(_why_not(error, host, port)) from None
    return listening


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use, perhaps by another page. Choose another with --port (0 takes any)."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Leave --host out to serve this machine only."
    if error.errno == errno.EACCES:
        return f"port {port} is not for everybody. Choose one above 1023 with --port."
    return f"cannot listen on {host}, port {port}: {error.strerror or error}."
