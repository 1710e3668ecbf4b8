"""Work for the network: a bounded queue in two lanes, progress on the way, and an end when nobody waits any more.

Quick questions (one map) and long ones (a verdict, a data set) do not wait for each other. What does not fit into a
lane is refused at once with 503, which a client understands better than a minute of silence.

A place in a lane is taken before anything is answered, and given back by whoever did the work, or by the client that
went away while it still waited: so none is lost. Work that is going on cannot be broken off, only asked to end; its
place is free when it has.
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
"""Seconds after which a stream that has nothing to say says so."""
UNREAD = 256
"""Events that a client has not fetched yet, above which the work waits for it."""
IDLE = 10.0
"""Seconds after which a thread without work ends."""

log = logging.getLogger("camlucida.app")


class QueueFull(Exception):
    """The queue is full."""


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


class NotFound(Exception):
    """What was asked for is not there: a picture that was forgotten, a run that was not given."""


class TooLong(CamlucidaError):
    """Work that took longer than its lane allows."""


class Job:
    """What work says while it goes on. Every word of it ends the work if nobody listens, or if it took too long."""

    def __init__(self, say: Callable[[str, Any], None] | None = None) -> None:
        self._say = say
        self._cancelled = threading.Event()
        self._seconds = self._until = float("inf")

    def tick(self, done: int, total: int) -> None:
        """How many of how many steps are done: what all of Camlucida calls `progress`."""
        self.send("progress", {"done": done, "total": total})

    def send(self, event: str, content: BaseModel | dict[str, Any]) -> None:
        """A part of the answer before the whole. Raises `Cancelled`, and `TooLong`."""
        self.check()
        if self._say:
            self._say(event, content)

    def check(self) -> None:
        """Says nothing. Raises `Cancelled` where nobody listens, and `TooLong`."""
        if self._cancelled.is_set():
            raise Cancelled
        if time.monotonic() > self._until:
            raise TooLong(
                f"this took longer than {self._seconds:g} seconds and was stopped. Ask for less at once, or use the "
                "command line, which takes all the time it needs."
            )

    def within(self, seconds: float) -> None:
        """It begins now, and may take so long."""
        self._seconds, self._until = seconds, time.monotonic() + seconds

    def cancel(self) -> None:
        """The next word ends the work."""
        self._cancelled.set()


Task: TypeAlias = Callable[[Job], BaseModel | bytes]
"""Work: an answer as a value, or as JSON that was made before."""


class JobEntry:
    """A task with its place in a lane. `answer` is JSON when it is done, or `Cancelled` when nobody waits any more."""

    def __init__(self, lane: JobQueue, task: Task, job: Job) -> None:
        self.job = job
        self.answer: Future[bytes] = Future()
        self.answer.set_running_or_notify_cancel()  # it is settled here, and by nobody else
        self._lane = lane
        self._task: Task | None = task
        self._settling = threading.Lock()

    def run(self, seconds: float) -> None:
        """Do it in this thread, and keep nothing of the question."""
        task, self._task = self._task, None
        try:
            self.job.check()
            self.job.within(seconds)
            assert task is not None
            self._settle(_body(task(self.job)))
        except BaseException as error:  # whatever it is, somebody waits for it
            self._settle(error)

    def cancel(self) -> None:
        """Nobody waits any more: never begin it, or end it at its next word. What is done already stays done."""
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
    """So many at work, so many waiting, each at work for at most so many `seconds`. Safe for threads."""

    def __init__(self, workers: int, waiting: int, seconds: float) -> None:
        self.room, self.seconds = workers + waiting, seconds
        self._workers = workers
        self._threads = 0
        self._waiting: deque[JobEntry] = deque()
        self._running: set[JobEntry] = set()
        self._changed = threading.Condition()

    @property
    def inside(self) -> int:
        """How many places are taken."""
        return len(self._waiting) + len(self._running)

    def enter(self, task: Task, job: Job) -> JobEntry:
        """Take a place in the queue. Raises `Busy`."""
        errand = JobEntry(self, task, job)
        with self._changed:
            if self.inside >= self.room:
                raise QueueFull
            if self._threads < self._workers and self._threads <= self.inside:
                threading.Thread(target=self._work, name="camlucida", daemon=True).start()
                self._threads += 1
            self._waiting.append(errand)
            self._changed.notify()
        return errand

    def leave(self, errand: JobEntry) -> None:
        """Give the place back, if it has not begun."""
        with self._changed, contextlib.suppress(ValueError):
            self._waiting.remove(errand)

    def stop(self) -> None:
        """Cancel all that is inside."""
        with self._changed:
            inside = [*self._waiting, *self._running]
        for errand in inside:
            errand.cancel()

    def empty(self, seconds: float) -> bool:
        """Whether all have left after that time at most."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.inside, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._waiting, IDLE):
                    self._threads -= 1
                    return
                errand = self._waiting.popleft()
                self._running.add(errand)
            errand.run(self.seconds)
            with self._changed:
                self._running.discard(errand)
                self._changed.notify_all()
            del errand  # what was asked is not kept until the next question


class JobQueues:
    """The two lanes, each so many at work, so many waiting, and so many seconds for each."""

    def __init__(
        self, quick: tuple[int, int, float] = (2, 32, 300.0), long: tuple[int, int, float] = (1, 8, 3600.0)
    ) -> None:
        self.lanes: dict[str, JobQueue] = {"quick": JobQueue(*quick), "long": JobQueue(*long)}

    def stop(self) -> None:
        """Cancel all that is going on."""
        for lane in self.lanes.values():
            lane.stop()

    def empty(self, seconds: float) -> bool:
        """Whether nothing goes on any more after that time at most."""
        until = time.monotonic() + seconds
        return all(lane.empty(max(0.0, until - time.monotonic())) for lane in self.lanes.values())


async def answer(request: Request, task: Task, lane: LaneName = "quick", media: str = JSON) -> Response:
    """Do the work and answer: with JSON, or as a stream of events where the client accepts one.

    media   what the bytes are that the task makes, if they are no JSON: then there is no stream

    Events: `progress` {done, total}, whatever the task sends, and at the end `result` or `error`. A client that goes
    away gives its place in the queue back, or ends the work at its next word. Raises `Busy` before anything is sent.
    """
    chosen: JobQueue = request.app.state.page.work.lanes[lane]
    if media == JSON and STREAM in request.headers.get("accept", ""):
        feed = EventStream(asyncio.get_running_loop())
        return Events(chosen.enter(task, Job(feed.say)), feed)
    errand = chosen.enter(task, Job())
    try:
        return Response(await _awaited(errand, request), media_type=media)
    finally:
        errand.cancel()


async def _awaited(errand: JobEntry, request: Request) -> bytes:
    """Its answer. Raises `Cancelled` when the client has gone."""
    found = asyncio.wrap_future(errand.answer)
    gone = asyncio.create_task(_gone(request))
    try:
        either: set[asyncio.Future[Any]] = {found, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not found.done():
            gone.result()  # raises what the guard says of a body that nobody asked for
            raise Cancelled
        return found.result()
    finally:
        found.cancel()
        if not gone.cancel() and not gone.cancelled():
            gone.exception()


async def _gone(request: Request) -> None:
    """Until the client has gone. What is left of a body is received and dropped."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream:
    """Events on their way from a thread to a client.

    Of progress only the last is kept for a client that reads slowly; other events hold the work up when too many wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.news = asyncio.Event()
        self._loop = loop
        self._said: deque[tuple[str, bytes]] = deque()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def say(self, event: str, content: Any) -> None:
        """From any thread. Raises `Cancelled` where nobody reads any more."""
        told = (event, _body(content))
        with self._lock:
            if event == "progress" and self._said and self._said[-1][0] == event:
                self._said[-1] = told
            else:
                self._said.append(told)
        self.wake()
        while len(self._said) >= UNREAD and not self._closed.wait(0.02):
            pass
        if self._closed.is_set():
            raise Cancelled

    def wake(self) -> None:
        """There is something to fetch."""
        with contextlib.suppress(RuntimeError):  # the server has stopped
            self._loop.call_soon_threadsafe(self.news.set)

    def take(self) -> list[tuple[str, bytes]]:
        """All that was said since."""
        with self._lock:
            said = list(self._said)
            self._said.clear()
        return said

    def close(self) -> None:
        """Nobody reads any more."""
        self._closed.set()


class Events(StreamingResponse):
    """What an errand says, and its answer, as server-sent events. When the client goes, so does the errand."""

    def __init__(self, errand: JobEntry, feed: EventStream) -> None:
        super().__init__(_events(errand, feed), media_type=STREAM, headers={"cache-control": "no-store"})
        self._errand, self._feed = errand, feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.close()
            self._errand.cancel()


async def _events(errand: JobEntry, feed: EventStream) -> AsyncIterator[bytes]:
    errand.answer.add_done_callback(lambda _: feed.wake())
    over = False
    while not over:
        try:
            await asyncio.wait_for(feed.news.wait(), BEAT)
        except TimeoutError:
            yield b": still at it\n\n"
            continue
        feed.news.clear()
        over = errand.answer.done()  # before the events are fetched: none comes after it
        for event, content in feed.take():
            yield _event(event, content)
    error = errand.answer.exception()
    if error is None:
        yield _event("result", errand.answer.result())
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
    """What to tell a client about an error: a sentence for what people can mend, no traces for the rest."""
    if isinstance(error, QueueFull):
        return 503, Failure(kind="Busy", detail="Too many are asking at once. Try again in a few seconds.")
    if isinstance(error, NotFound):
        return 404, Failure(kind="Missing", detail=_plain(error))
    if isinstance(error, Cancelled | ClientDisconnect):  # nobody reads this: there is nothing to log
        return 499, Failure(kind="Cancelled", detail="Stopped.")
    if _out_of_memory(error):
        log.error("out of memory", exc_info=error)
        return 500, Failure(kind="Fault", detail="There was not enough memory for this. Ask for less at once.")
    if isinstance(error, CamlucidaError):
        return 422, Failure(kind=type(error).__name__, detail=_plain(error))
    log.error("a request failed", exc_info=error)
    return 500, Failure(kind="Fault", detail="Something went wrong on our side; the terminal has the details.")


def _plain(error: BaseException) -> str:
    """The sentence, of letters that can be sent: a client's own may come back in it."""
    return str(error).encode(errors="replace").decode()


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether it is that, or a sentence about it. On a processor PyTorch says so in words only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    ):
        return True
    return isinstance(error, CamlucidaError) and _out_of_memory(error.__cause__)
