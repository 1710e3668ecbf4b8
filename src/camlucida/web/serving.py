"""From a page to a running server on this machine."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import webbrowser
from collections.abc import Callable

import uvicorn

from camlucida.errors import CamlucidaError
from camlucida.web.app import LOOPBACK, create_app
from camlucida.web.page import Page

KEEP_ALIVE = 5
CONNECTIONS = 256


def serve(
    page: Page, *, host: str = "127.0.0.1", port: int = 8790, browser: bool = False, say: Callable[[str], None] = print
) -> None:
    """Serve the page until it is interrupted.

    host   an address of this machine. On any but the loopback a token is needed, which is printed once
    port   0 for any free one
    say    told the address, once the socket listens
    """
    local = is_loopback(host)
    token = "" if local else secrets.token_urlsafe(24)
    listening = listen(host, port)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    app = create_app(page, hosts=LOOPBACK | {host} if local else frozenset(), token=token)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE,
        limit_concurrency=CONNECTIONS,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    say(address)
    if browser:
        webbrowser.open(address)
    uvicorn.Server(config).run(sockets=[listening])


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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise CamlucidaError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Choose another --port (0 takes any free one)."
        ) from None
    listening.listen(CONNECTIONS)
    return listening
