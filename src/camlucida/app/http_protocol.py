"""Connections that wait for nobody for ever: uvicorn's HTTP/1.1, with an end to everything that a client can draw out.

uvicorn closes a connection that is idle between two requests, and nothing else. Here the head of a request has to be
whole in time (slow-loris), a body that nobody reads any more ends its connection, and so does an answer that is not
fetched. A connection that is closed while the client still sends is read to its end for a moment: were it just closed,
the client's next piece would be answered with a reset, and the answer that says why would be lost with it.

Where all places are taken, who has waited longest without asking for anything has to go, so that people who only hold
connections open cannot keep others out; only where all of them are at work is the answer 503.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from camlucida.app.security import HEADERS, Refused, refusing

SWALLOWED = 64 << 20
"""Bytes that are read and dropped of a client that goes on sending after its answer."""


@dataclass(frozen=True)
class Limits:
    """How long is waited, in seconds, and for how many at once.

    head         for the first line and the headers of a request
    unread       for a client to fetch what is ready
    linger       for a client to stop sending after its answer
    connections  open at once
    """

    head: float = 10.0
    unread: float = 30.0
    linger: float = 5.0
    connections: int = 256


class Connection(H11Protocol):
    """One client."""

    limits = Limits()

    transport: Any
    _since = 0.0
    _heard = False
    _head: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        closing = LingeringTransport(
            transport, self.limits, lambda: self.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        )
        super().connection_made(cast(asyncio.Transport, closing))
        self._since = self.loop.time()
        self._head = self.loop.call_later(self.limits.head, self._no_head)
        if len(self._living()) > self.limits.connections and not self._make_room():
            self.app = refusing(
                Refused(503, "Too many connections. Try again in a few seconds.", **{"retry-after": "5"})
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_whole()
        self.resume_writing()
        self.transport.lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.lingers(len(data)):
            return
        self._heard = True
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_is_whole()
        elif self._head is None:
            self._since = self.loop.time()
            self._head = self.loop.call_later(self.limits.head, self._no_head)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(self.limits.unread, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def shutdown(self) -> None:
        """The server stops: nobody lingers."""
        if self.transport.is_closing():
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._answer(400, "That is no request that this page understands.")

    def _head_is_whole(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _no_head(self) -> None:
        self._head = None
        if not self._heard:  # a browser that opened it in advance
            self.transport.close()
        else:
            self._answer(408, "The request took too long to arrive.")

    def _answer(self, status: int, detail: str) -> None:
        """Without asking the application, and for the last time."""
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
        except h11.LocalProtocolError:  # an answer has begun already: it is cut off
            self.transport.abort()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close(lingering=True)

    def _living(self) -> list[Connection]:
        """The connections that were not aborted.

        An aborted connection stays in `connections` until the event loop's next turn, and many may be accepted in one.
        """
        of_ours = [connection for connection in self.connections if isinstance(connection, Connection)]
        return [connection for connection in of_ours if not cast(LingeringTransport, connection.transport).aborted]

    def _make_room(self) -> bool:
        """Close the connection that has been waited for longest: between requests, or with one that does not arrive."""
        now = self.loop.time()
        others = [one for one in self._living() if one is not self]
        idle = [one for one in others if one.conn.their_state is h11.IDLE]
        slow = [one for one in others if one.conn.their_state is h11.SEND_BODY and now - one._since > self.limits.head]
        if not (idle or slow):
            return False
        min(idle or slow, key=lambda one: one._since).transport.abort()
        return True


class LingeringTransport:
    """A transport whose `close` first lets the client finish, where it is still sending, but not for ever."""

    def __init__(self, transport: asyncio.Transport, limits: Limits, sending: Callable[[], bool]) -> None:
        self._transport, self._limits, self._sending = transport, limits, sending
        self._end: asyncio.TimerHandle | None = None
        self._lingering = False
        self._swallowed = 0
        self.aborted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._lingering or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if not self._lingering:
            self._transport.write(data)

    def abort(self) -> None:
        """Drop the connection without sending what is left."""
        self.aborted = True
        self._transport.abort()

    def close(self, lingering: bool = False) -> None:
        """Send what there is, and no more."""
        if self.is_closing():
            return
        loop = asyncio.get_running_loop()
        if lingering or self._sending():
            self._lingering = True
            try:
                self._transport.write_eof()
            except OSError:  # the client has reset the connection, and the event loop does not know it yet
                self.abort()
                return
            self._transport.resume_reading()
            self._end = loop.call_later(self._limits.linger, self.abort)
        else:
            self._transport.close()
            self._end = loop.call_later(self._limits.unread, self.abort)

    def lingers(self, size: int) -> bool:
        """Whether what comes in is only dropped."""
        self._swallowed += size
        if self._lingering and self._swallowed > SWALLOWED:
            self.abort()
        return self._lingering

    def lost(self) -> None:
        """The connection is no more."""
        if self._end is not None:
            self._end.cancel()


def connections(limits: Limits) -> type[Connection]:
    """The protocol with these limits, for uvicorn's `http`."""
    return type("Connection", (Connection,), {"limits": limits})
