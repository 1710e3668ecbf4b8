"""Job queues for requests that run the network: bounded, with progress, and cancelled when the client disconnects.

Quick jobs (one map) and long jobs (a verdict, an analysis of a data set) have separate queues and do not wait for
each other. A job that does not fit into its queue is rejected at once with status 503.

A slot in a queue is taken before the response begins. It is released by the worker that ran the job, or by a client
that disconnects while the job is still waiting. A running job cannot be interrupted, only asked to stop; its slot is
free when it has stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any, Literal, TypeAlias

import torch
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from camlucida.app.schemas import Failure
from camlucida.errors import CamlucidaError

LaneName: TypeAlias = Literal["quick", "long"]
STREAM, JSON = "text/event-stream", "application/json"
BEAT = 10.0
"""Seconds between two keep-alive comments of a stream without events."""
UNREAD = 256
"""Maximum number of unread events of a client; beyond it the job waits."""
IDLE = 10.0
"""Seconds after which an idle worker thread ends."""

log = logging.getLogger("camlucida.app")


class QueueFull(Exception):
    """The queue is full."""


class Cancelled(Exception):
    """The client has disconnected, so that the result is no longer needed."""


class NotFound(Exception):
    """A requested object does not exist (any more), such as an evicted image or an unknown run."""


class TooLong(CamlucidaError):
    """A job took longer than its queue allows."""


class Job:
    """The interface of a running job to its client. Each report stops the job if it was cancelled or timed out."""

    def __init__(self, say: Callable[[str, Any], None] | None = None) -> None:
        self._say = say
        self._cancelled = threading.Event()
        self._seconds = self._until = float("inf")

    def tick(self, done: int, total: int) -> None:
        """Report that `done` of `total` steps are complete; can be passed as a `progress` callback."""
        self.send("progress", {"done": done, "total": total})

    def send(self, event: str, content: BaseModel | dict[str, Any]) -> None:
        """Send a part of the result before the job is complete.

        Raises:
            Cancelled: If the client has disconnected.
            TooLong: If the job has exceeded its time limit.
        """
        self.check()
        if self._say:
            self._say(event, content)

    def check(self) -> None:
        """Raise `Cancelled` if the client has disconnected, and `TooLong` if the time limit is exceeded."""
        if self._cancelled.is_set():
            raise Cancelled
        if time.monotonic() > self._until:
            raise TooLong(
                f"this took longer than {self._seconds:g} seconds and was stopped. Ask for less at once, or use the "
                "command line, which takes all the time it needs."
            )

    def within(self, seconds: float) -> None:
        """Start the time limit of the job."""
        self._seconds, self._until = seconds, time.monotonic() + seconds

    def cancel(self) -> None:
        """Stop the job at its next report."""
        self._cancelled.set()


Task: TypeAlias = Callable[[Job], BaseModel | bytes]
"""The work of a job; returns the response as a model, or as bytes that are already encoded."""


class JobEntry:
    """A task with its slot in a queue. `answer` resolves to the encoded response, or to `Cancelled`."""

    def __init__(self, lane: JobQueue, task: Task, job: Job) -> None:
        self.job = job
        self.answer: Future[bytes] = Future()
        self.answer.set_running_or_notify_cancel()  # only this object resolves the future
        self._lane = lane
        self._task: Task | None = task
        self._settling = threading.Lock()

    def run(self, seconds: float) -> None:
        """Run the task in this thread, and release the reference to the request."""
        task, self._task = self._task, None
        try:
            self.job.check()
            self.job.within(seconds)
            assert task is not None
            self._settle(_body(task(self.job)))
        except BaseException as error:  # the client waits for a result, whatever the error
            self._settle(error)

    def cancel(self) -> None:
        """Cancel the job: a waiting job never starts, a running one stops at its next report."""
        self.job.cancel()
        self._lane.leave(self)
        self._settle(Cancelled())

    def _settle(self, found: bytes | BaseException) -> None:
        with self._settling:
            if self.answer.done():
                return
            if isinstance(found, bytes):
                self.answer.set_result(found)
            else:
                self.answer.set_exception(found)


class JobQueue:
    """A thread-safe queue with a fixed number of workers.

    Args:
        workers: Maximum number of running jobs.
        waiting: Maximum number of waiting jobs.
        seconds: Time limit of each job.
    """

    def __init__(self, workers: int, waiting: int, seconds: float) -> None:
        self.room, self.seconds = workers + waiting, seconds
        self._workers = workers
        self._threads = 0
        self._waiting: deque[JobEntry] = deque()
        self._running: set[JobEntry] = set()
        self._changed = threading.Condition()

    @property
    def inside(self) -> int:
        """The number of running and waiting jobs."""
        return len(self._waiting) + len(self._running)

    def enter(self, task: Task, job: Job) -> JobEntry:
        """Add a job to the queue.

        Raises:
            QueueFull: If there is no free slot.
        """
        entry = JobEntry(self, task, job)
        with self._changed:
            if self.inside >= self.room:
                raise QueueFull
            if self._threads < self._workers and self._threads <= self.inside:
                threading.Thread(target=self._work, name="camlucida", daemon=True).start()
                self._threads += 1
            self._waiting.append(entry)
            self._changed.notify()
        return entry

    def leave(self, entry: JobEntry) -> None:
        """Release the slot of a job that has not started."""
        with self._changed, contextlib.suppress(ValueError):
            self._waiting.remove(entry)

    def stop(self) -> None:
        """Cancel all running and waiting jobs."""
        with self._changed:
            inside = [*self._waiting, *self._running]
        for entry in inside:
            entry.cancel()

    def empty(self, seconds: float) -> bool:
        """Wait for all jobs to end, at most `seconds`; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.inside, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._waiting, IDLE):
                    self._threads -= 1
                    return
                entry = self._waiting.popleft()
                self._running.add(entry)
            entry.run(self.seconds)
            with self._changed:
                self._running.discard(entry)
                self._changed.notify_all()
            del entry  # keep no reference to the request until the next job


class JobQueues:
    """The two queues of the app.

    Args:
        quick: Maximum number of running jobs, of waiting jobs, and the time limit in seconds, for quick jobs.
        long: The same for long jobs.
    """

    def __init__(
        self, quick: tuple[int, int, float] = (2, 32, 300.0), long: tuple[int, int, float] = (1, 8, 3600.0)
    ) -> None:
        self.lanes: dict[str, JobQueue] = {"quick": JobQueue(*quick), "long": JobQueue(*long)}

    def stop(self) -> None:
        """Cancel all jobs."""
        for lane in self.lanes.values():
            lane.stop()

    def empty(self, seconds: float) -> bool:
        """Wait for all jobs to end, at most `seconds`; return whether they have."""
        until = time.monotonic() + seconds
        return all(lane.empty(max(0.0, until - time.monotonic())) for lane in self.lanes.values())


async def answer(request: Request, task: Task, lane: LaneName = "quick", media: str = JSON) -> Response:
    """Run a task in a queue and return its response: JSON, or a stream of events if the client accepts one.

    The events are `progress` {done, total}, those that the task sends, and at the end `result` or `error`. When the
    client disconnects, a waiting job is removed and a running one stops at its next report.

    Args:
        request: The request.
        task: The work.
        lane: The queue.
        media: The media type of the bytes that the task returns; other types than JSON are not streamed.

    Raises:
        QueueFull: Before anything is sent.
    """
    chosen: JobQueue = request.app.state.page.work.lanes[lane]
    if media == JSON and STREAM in request.headers.get("accept", ""):
        feed = EventStream(asyncio.get_running_loop())
        return Events(chosen.enter(task, Job(feed.say)), feed)
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
    answer_future = asyncio.wrap_future(entry.answer)
    gone = asyncio.create_task(_gone(request))
    try:
        either: set[asyncio.Future[Any]] = {answer_future, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answer_future.done():
            gone.result()  # raises the errors of `security` about an unread body
            raise Cancelled
        return answer_future.result()
    finally:
        answer_future.cancel()
        if not gone.cancel() and not gone.cancelled():
            gone.exception()


async def _gone(request: Request) -> None:
    """Wait until the client disconnects; the rest of a body is received and discarded."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream:
    """A queue of events from a worker thread to a client.

    For a client that reads slowly, only the last progress event is kept; other events block the job if too many wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.news = asyncio.Event()
        self._loop = loop
        self._said: deque[tuple[str, bytes]] = deque()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def say(self, event: str, content: Any) -> None:
        """Add an event, from any thread.

        Raises:
            Cancelled: If the client has disconnected.
        """
        event_and_body = (event, _body(content))
        with self._lock:
            if event == "progress" and self._said and self._said[-1][0] == event:
                self._said[-1] = event_and_body
            else:
                self._said.append(event_and_body)
        self.wake()
        while len(self._said) >= UNREAD and not self._closed.wait(0.02):
            pass
        if self._closed.is_set():
            raise Cancelled

    def wake(self) -> None:
        """Notify the reader that events are available."""
        with contextlib.suppress(RuntimeError):  # the server has stopped
            self._loop.call_soon_threadsafe(self.news.set)

    def take(self) -> list[tuple[str, bytes]]:
        """Return and remove all waiting events."""
        with self._lock:
            said = list(self._said)
            self._said.clear()
        return said

    def close(self) -> None:
        """Stop accepting events, because the client has disconnected."""
        self._closed.set()


class Events(StreamingResponse):
    """The events and the result of a job as server-sent events. When the client disconnects, the job is cancelled."""

    def __init__(self, entry: JobEntry, feed: EventStream) -> None:
        super().__init__(_events(entry, feed), media_type=STREAM, headers={"cache-control": "no-store"})
        self._errand, self._feed = entry, feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.close()
            self._errand.cancel()


async def _events(entry: JobEntry, feed: EventStream) -> AsyncIterator[bytes]:
    entry.answer.add_done_callback(lambda _: feed.wake())
    over = False
    while not over:
        try:
            await asyncio.wait_for(feed.news.wait(), BEAT)
        except TimeoutError:
            yield b": still at it\n\n"
            continue
        feed.news.clear()
        over = entry.answer.done()  # checked before the events are fetched, since none follows it
        for event, content in feed.take():
            yield _event(event, content)
    error = entry.answer.exception()
    if error is None:
        yield _event("result", entry.answer.result())
    else:
        yield _event("error", _body(failed(error)[1]))


def _event(name: str, content: bytes) -> bytes:
    return f"event: {name}\ndata: ".encode() + content + b"\n\n"


def _body(content: BaseModel | bytes | dict[str, Any]) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, BaseModel):
        return content.model_dump_json().encode()
    return json.dumps(content, allow_nan=False).encode()


def failed(error: BaseException) -> tuple[int, Failure]:
    """Return the status and the body for an error: a sentence for user errors, no details for internal ones.

    Args:
        error: The exception.
    """
    if isinstance(error, QueueFull):
        return 503, Failure(kind="Busy", detail="Too many are asking at once. Try again in a few seconds.")
    if isinstance(error, NotFound):
        return 404, Failure(kind="Missing", detail=_plain(error))
    if isinstance(error, Cancelled | ClientDisconnect):  # there is no reader, and nothing to log
        return 499, Failure(kind="Cancelled", detail="Stopped.")
    if _out_of_memory(error):
        log.error("out of memory", exc_info=error)
        return 500, Failure(kind="Fault", detail="There was not enough memory for this. Ask for less at once.")
    if isinstance(error, CamlucidaError):
        return 422, Failure(kind=type(error).__name__, detail=_plain(error))
    log.error("a request failed", exc_info=error)
    return 500, Failure(kind="Fault", detail="Something went wrong on our side; the terminal has the details.")


def _plain(error: BaseException) -> str:
    """Return the message of an error with unencodable characters replaced; it may contain text from the client."""
    return str(error).encode(errors="replace").decode()


def _out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error or its cause is an out-of-memory error, which PyTorch on CPU reports as text only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    ):
        return True
    return isinstance(error, CamlucidaError) and _out_of_memory(error.__cause__)
