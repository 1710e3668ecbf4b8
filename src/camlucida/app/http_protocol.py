"""HTTP/1.1 connections with time limits for everything that a client can delay.

uvicorn only closes a connection that is idle between two requests. Here the head of a request has to be complete in
time (slow-loris), and an unread body or an unread response ends the connection. If a connection is closed while the
client is still sending, its data is read and discarded for a short time: an immediate close would answer the client's
next packet with a reset, and the response that states the reason would be lost.

When the maximum number of connections is reached, the one that has been idle longest is closed, so that idle clients
cannot lock others out; only if all connections are active is the response 503.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from camlucida.app.http_messages import HEADERS, Refused, refusing

MAX_DISCARDED = 64 << 20
"""Maximum number of bytes to read and discard from a client that continues to send after its response."""


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds, and the maximum number of connections.

    Attributes:
        head: For the request line and the headers.
        unread: For a client to fetch a response that is ready.
        linger: For a client to stop sending after its response.
        connections: Maximum number of open connections.
    """

    head: float = 10.0
    unread: float = 30.0
    linger: float = 5.0
    connections: int = 256


class Connection(H11Protocol):
    """The protocol of one connection."""

    limits = Limits()

    transport: Any
    _since = 0.0
    _has_received = False
    _head: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the request head, and close an idle connection if there are too many."""
        lingering = LingeringTransport(
            transport, self.limits, lambda: self.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        )
        super().connection_made(cast(asyncio.Transport, lingering))
        self._since = self.loop.time()
        self._head = self.loop.call_later(self.limits.head, self._no_head)
        if len(self._open_connections()) > self.limits.connections and not self._close_one():
            self.app = refusing(
                Refused(503, "Too many connections. Try again in a few seconds.", **{"retry-after": "5"})
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all timeouts."""
        self._head_is_complete()
        self.resume_writing()
        self.transport.lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process data from the client, or discard it while the connection lingers."""
        if self.transport.lingers(len(data)):
            return
        self._has_received = True
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_is_complete()
        elif self._head is None:
            self._since = self.loop.time()
            self._head = self.loop.call_later(self.limits.head, self._no_head)

    def on_response_complete(self) -> None:
        """Close the connection if the client is still sending its body."""
        self._since = self.loop.time()
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the timeout for a client that does not read its response."""
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(self.limits.unread, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel that timeout."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def shutdown(self) -> None:
        """Close the connection when the server stops, without lingering."""
        if self.transport.is_closing():
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Respond to data that is not valid HTTP."""
        self._respond(400, "The request is not valid HTTP.")

    def _head_is_complete(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _no_head(self) -> None:
        self._head = None
        if not self._has_received:  # opened by a browser in advance
            self.transport.close()
        else:
            self._respond(408, "The request took too long to arrive.")

    def _respond(self, status: int, detail: str) -> None:
        """Send an error without calling the application, and close the connection."""
        if self.transport.is_closing():
            return
        body = json.dumps({"kind": "Refused", "detail": detail}).encode()
        headers = {
            **HEADERS,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
        }
        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        try:
            for event in (
                h11.Response(status_code=status, headers=raw, reason=STATUS_PHRASES[status]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        except h11.LocalProtocolError:  # a response has begun already and is truncated
            self.transport.abort()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close(lingering=True)

    def _open_connections(self) -> list[Connection]:
        """Return the connections that were not aborted.

        An aborted connection stays in `connections` until the next iteration of the event loop, and one iteration may
        accept many.
        """
        ours = [connection for connection in self.connections if isinstance(connection, Connection)]
        return [connection for connection in ours if not cast(LingeringTransport, connection.transport).aborted]

    def _close_one(self) -> bool:
        """Close the connection that has waited longest between requests, or whose request is too slow."""
        now = self.loop.time()
        others = [c for c in self._open_connections() if c is not self]
        idle = [c for c in others if c.conn.their_state is h11.IDLE]
        slow = [c for c in others if c.conn.their_state is h11.SEND_BODY and now - c._since > self.limits.head]
        if not (idle or slow):
            return False
        min(idle or slow, key=lambda c: c._since).transport.abort()
        return True


class LingeringTransport:
    """A transport whose `close` lets a client that is still sending finish first, within a time limit."""

    def __init__(self, transport: asyncio.Transport, limits: Limits, sending: Callable[[], bool]) -> None:
        self._transport, self._limits, self._sending = transport, limits, sending
        self._end: asyncio.TimerHandle | None = None
        self._lingering = False
        self._discarded = 0
        self.aborted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether the transport is closing or lingering."""
        return self._lingering or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write data, unless the connection lingers."""
        if not self._lingering:
            self._transport.write(data)

    def abort(self) -> None:
        """Drop the connection without sending buffered data."""
        self.aborted = True
        self._transport.abort()

    def close(self, lingering: bool = False) -> None:
        """Send the buffered data and close; `lingering` reads and discards incoming data for a while."""
        if self.is_closing():
            return
        loop = asyncio.get_running_loop()
        if lingering or self._sending():
            self._lingering = True
            try:
                self._transport.write_eof()
            except OSError:  # the client has reset the connection, and the event loop has not noticed yet
                self.abort()
                return
            self._transport.resume_reading()
            self._end = loop.call_later(self._limits.linger, self.abort)
        else:
            self._transport.close()
            self._end = loop.call_later(self._limits.unread, self.abort)

    def lingers(self, size: int) -> bool:
        """Return whether incoming data is to be discarded."""
        self._discarded += size
        if self._lingering and self._discarded > MAX_DISCARDED:
            self.abort()
        return self._lingering

    def lost(self) -> None:
        """Clean up after the connection is lost."""
        if self._end is not None:
            self._end.cancel()


def connections(limits: Limits) -> type[Connection]:
    """Return the protocol class with these limits, for uvicorn's `http` argument."""
    return type("Connection", (Connection,), {"limits": limits})
