"""Work for the network: a bounded queue in two lanes, progress on the way, and an end when nobody waits any more.

Quick questions (one map) and long ones (a verdict, a data set) do not wait for each other. What does not fit into a
lane is refused at once with 503, which a client understands better than a minute of silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from camlucida.errors import CamlucidaError
from camlucida.web.wire import Failure

LaneName: TypeAlias = Literal["quick", "long"]
STREAM = "text/event-stream"
BEAT = 10.0
"""Seconds after which a stream that has nothing to say says so."""

log = logging.getLogger("camlucida.web")


class Busy(Exception):
    """The queue is full."""


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


class Missing(Exception):
    """What was asked for is not there: a picture that was forgotten, a run that was not given."""


class Job:
    """What work says while it goes on. Every word of it ends the work if nobody listens."""

    def __init__(self, say: Callable[[str, Any], None] | None = None) -> None:
        self._say = say
        self._cancelled = threading.Event()

    def tick(self, done: int, total: int) -> None:
        """How many of how many steps are done: what all of Camlucida calls `progress`."""
        self.send("progress", {"done": done, "total": total})

    def send(self, event: str, content: BaseModel | dict[str, Any]) -> None:
        """A part of the answer before the whole. Raises `Cancelled`."""
        if self._cancelled.is_set():
            raise Cancelled
        if self._say:
            self._say(event, content)

    def cancel(self) -> None:
        """The next word ends the work."""
        self._cancelled.set()


Task: TypeAlias = Callable[[Job], BaseModel | bytes]
"""Work: an answer as a value, or as JSON that was made before."""


class Lane:
    """So many at work, so many waiting."""

    def __init__(self, workers: int, waiting: int) -> None:
        self.room = workers + waiting
        self.inside = 0
        self._limiter: CapacityLimiter | None = None
        self._workers = workers

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the queue. Raises `Busy`."""
        if self.inside >= self.room:
            raise Busy
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def run(self, task: Task, job: Job) -> BaseModel | bytes:
        """Do it in a thread, when it is its turn; cancelled from outside, it ends at its next word."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._workers)
        try:
            return await to_thread.run_sync(task, job, limiter=self._limiter)
        finally:
            job.cancel()


class Work:
    """The two lanes, each so many at work and so many waiting."""

    def __init__(self, quick: tuple[int, int] = (2, 32), long: tuple[int, int] = (1, 8)) -> None:
        self.lanes: dict[str, Lane] = {"quick": Lane(*quick), "long": Lane(*long)}


JSON = "application/json"


async def answer(request: Request, task: Task, lane: LaneName = "quick", media: str = JSON) -> Response:
    """Do the work and answer: with JSON, or as a stream of events where the client accepts one.

    media   what the bytes are that the task makes, if they are no JSON: then there is no stream

    Events: `progress` {done, total}, whatever the task sends, and at the end `result` or `error`. A client that goes
    away ends the work at its next word.
    """
    chosen: Lane = request.app.state.page.work.lanes[lane]
    if media == JSON and STREAM in request.headers.get("accept", ""):
        if chosen.inside >= chosen.room:
            raise Busy
        events = _events(chosen, task)
        return StreamingResponse(events, media_type=STREAM, headers={"cache-control": "no-store"})
    job = Job()
    async with chosen.place():
        watch = asyncio.create_task(_watch(request, job))
        try:
            return Response(_body(await chosen.run(task, job)), media_type=media)
        finally:
            watch.cancel()


async def _watch(request: Request, job: Job) -> None:
    """Cancel the job when the client has gone."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.25)
    job.cancel()


async def _events(lane: Lane, task: Task) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    said: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def say(event: str, content: Any) -> None:
        loop.call_soon_threadsafe(said.put_nowait, (event, content))

    job = Job(say)

    async def work() -> None:
        try:
            async with lane.place():
                said.put_nowait(("result", await lane.run(task, job)))
        except Exception as error:
            _, failure = failed(error)
            said.put_nowait(("error", failure))

    worker = asyncio.create_task(work())
    try:
        event = ""
        while event not in ("result", "error"):
            try:
                event, content = await asyncio.wait_for(said.get(), BEAT)
            except TimeoutError:
                yield b": still at it\n\n"
                continue
            yield f"event: {event}\ndata: ".encode() + _body(content) + b"\n\n"
    finally:
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError, RuntimeError):
            await asyncio.shield(worker)


def _body(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, BaseModel):
        return content.model_dump_json().encode()
    return JSONResponse(content).body  # type: ignore[return-value]


def failed(error: Exception) -> tuple[int, Failure]:
    """What to tell a client about an error: a sentence for what people can mend, no traces for the rest."""
    if isinstance(error, Busy):
        return 503, Failure(kind="Busy", detail="Too many are asking at once. Try again in a few seconds.")
    if isinstance(error, Missing):
        return 404, Failure(kind="Missing", detail=str(error))
    if isinstance(error, Cancelled):
        return 499, Failure(kind="Cancelled", detail="Stopped.")
    if isinstance(error, CamlucidaError):
        return 422, Failure(kind=type(error).__name__, detail=str(error))
    log.error("a request failed", exc_info=error)
    return 500, Failure(kind="Fault", detail="Something went wrong on our side; the terminal has the details.")
