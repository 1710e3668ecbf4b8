"""Responses of jobs: the result as JSON, or a stream of events with progress, for clients that accept one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from camlucida.app.failures import Cancelled, failed
from camlucida.app.jobs import Job, JobEntry, JobQueue, QueueName, Task, encoded_body

STREAM, JSON = "text/event-stream", "application/json"
KEEP_ALIVE_S = 10.0
"""Seconds between two keep-alive comments of a stream without events."""
MAX_UNREAD = 256
"""Maximum number of unread events of a client; beyond it the job waits."""


async def answer(request: Request, task: Task, queue: QueueName = "quick", media: str = JSON) -> Response:
    """Run a task in a queue and return its response: JSON, or a stream of events if the client accepts one.

    The events are `progress` {done, total}, those that the task sends, and at the end `result` or `error`. When the
    client disconnects, a waiting job is removed and a running one stops at its next report.

    Args:
        request: The request.
        task: The work.
        queue: The queue.
        media: The media type of the bytes that the task returns; other types than JSON are not streamed.

    Raises:
        QueueFull: Before anything is sent.
    """
    chosen: JobQueue = request.app.state.page.queues.by_name[queue]
    if media == JSON and STREAM in request.headers.get("accept", ""):
        stream = EventStream(asyncio.get_running_loop())
        return Events(chosen.enter(task, Job(stream.add)), stream)
    entry = chosen.enter(task, Job())
    try:
        return Response(await _awaited(entry, request), media_type=media)
    finally:
        entry.cancel()


async def _awaited(entry: JobEntry, request: Request) -> bytes:
    """Return the response of a job.

    Raises:
        Cancelled: If the client has disconnected.
    """
    result = asyncio.wrap_future(entry.result)
    disconnected = asyncio.create_task(_disconnected(request))
    try:
        both: set[asyncio.Future[Any]] = {result, disconnected}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            disconnected.result()  # raises the errors of `security` about an unread body
            raise Cancelled
        return result.result()
    finally:
        result.cancel()
        if not disconnected.cancel() and not disconnected.cancelled():
            disconnected.exception()


async def _disconnected(request: Request) -> None:
    """Wait until the client disconnects; the rest of a body is received and discarded."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream:
    """A queue of events from a worker thread to a client.

    For a client that reads slowly, only the last progress event is kept; other events block the job if too many wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.available = asyncio.Event()
        self._loop = loop
        self._events: deque[tuple[str, bytes]] = deque()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def add(self, event: str, content: Any) -> None:
        """Add an event, from any thread.

        Raises:
            Cancelled: If the client has disconnected.
        """
        event_and_body = (event, encoded_body(content))
        with self._lock:
            if event == "progress" and self._events and self._events[-1][0] == event:
                self._events[-1] = event_and_body
            else:
                self._events.append(event_and_body)
        self.wake()
        while len(self._events) >= MAX_UNREAD and not self._closed.wait(0.02):
            pass
        if self._closed.is_set():
            raise Cancelled

    def wake(self) -> None:
        """Notify the reader that events are available."""
        with contextlib.suppress(RuntimeError):  # the server has stopped
            self._loop.call_soon_threadsafe(self.available.set)

    def take(self) -> list[tuple[str, bytes]]:
        """Return and remove all waiting events."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
        return events

    def close(self) -> None:
        """Stop accepting events, because the client has disconnected."""
        self._closed.set()


class Events(StreamingResponse):
    """The events and the result of a job as server-sent events. When the client disconnects, the job is cancelled."""

    def __init__(self, entry: JobEntry, stream: EventStream) -> None:
        super().__init__(_events(entry, stream), media_type=STREAM, headers={"cache-control": "no-store"})
        self._entry, self._stream = entry, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()
            self._entry.cancel()


async def _events(entry: JobEntry, stream: EventStream) -> AsyncIterator[bytes]:
    entry.result.add_done_callback(lambda _: stream.wake())
    complete = False
    while not complete:
        try:
            await asyncio.wait_for(stream.available.wait(), KEEP_ALIVE_S)
        except TimeoutError:
            yield b": keep-alive\n\n"
            continue
        stream.available.clear()
        complete = entry.result.done()  # checked before the events are fetched, since none follows it
        for event, content in stream.take():
            yield _event(event, content)
    error = entry.result.exception()
    if error is None:
        yield _event("result", entry.result.result())
    else:
        yield _event("error", encoded_body(failed(error)[1]))


def _event(name: str, content: bytes) -> bytes:
    return f"event: {name}\ndata: ".encode() + content + b"\n\n"
