"""The HTTP server of the app."""

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

KEEP_ALIVE_S = 5
"""Seconds that a connection may be idle between two requests."""
SHUTDOWN_S = 1
"""Seconds for responses in progress when the server is stopped."""


class Server(uvicorn.Server):
    """A uvicorn server that cancels running jobs when it is stopped."""

    def __init__(self, config: uvicorn.Config, page: Page) -> None:
        super().__init__(config)
        self._page = page

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cancel running jobs, then shut down."""
        self._page.queues.stop()
        await super().shutdown(sockets)


def server(page: Page, *, host: str = "127.0.0.1", token: str = "", limits: Limits | None = None) -> Server:
    """Return a server of the app that is not listening yet; start it with `run(sockets=[listen(…)])`.

    Args:
        page: The state that is served.
        host: The host name under which clients connect.
        token: The token that clients must present; empty for none.
        limits: Limits of connections; the defaults if None.
    """
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
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return Server(config, page)


def serve(
    page: Page, listening: socket.socket, *, host: str, browser: bool = False, report: Callable[[str], None] = print
) -> None:
    """Serve the app until it is interrupted.

    Args:
        page: The state that is served.
        listening: The socket from `listen`; clients that connect before the app is ready wait.
        host: The host that was passed to `listen`. If it is not a loopback address, a token is created.
        browser: Whether to open the app in a browser.
        report: Called once with the URL, which includes the token.
    """
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    address = address_of(host, listening.getsockname()[1], token)
    report(address)
    if browser:
        webbrowser.open(address)
    server(page, host=host, token=token).run(sockets=[listening])


def address_of(host: str, port: int, token: str = "") -> str:
    """Return the URL of the app; for an address that stands for all interfaces, with the name of this machine."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    displayed = f"[{host}]" if ":" in host else host
    return f"http://{displayed}:{port}/" + (f"?token={token}" if token else "")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port; port 0 selects a free one.

    Raises:
        CamlucidaError: If the socket cannot be opened.
    """
    if not 0 <= port <= 65535:
        raise CamlucidaError(f"--port {port} is not a port: pass a number from 0 (any free port) to 65535.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise CamlucidaError(
            f"the host {host!r} cannot be resolved. Pass an address of this machine as --host."
        ) from None
    # asyncio disables Nagle's algorithm only if the socket's protocol is TCP. With the algorithm, every response on an
    # open connection waits 40 ms for the client's delayed acknowledgement of its head.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise CamlucidaError(_bind_message(error, host, port)) from None
    return listening


def _bind_message(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use. Pass another --port, or 0 for any free port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine. Omit --host to serve this machine only."
    if error.errno == errno.EACCES:
        return f"port {port} requires administrator rights. Pass a --port above 1023."
    return f"cannot listen on {host}, port {port}: {error.strerror or error}."
