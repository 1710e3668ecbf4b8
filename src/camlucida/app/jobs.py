"""Job queues for requests that run the network: bounded, with progress, and cancelled when the client disconnects.

Quick jobs (one map) and long jobs (a verdict, an analysis of a data set) have separate queues and do not wait for
each other. A job that does not fit into its queue is rejected at once with status 503.

A slot in a queue is taken before the response begins. It is released by the worker that ran the job, or by a client
that disconnects while the job is still waiting. A running job cannot be interrupted, only asked to stop; its slot is
free when it has stopped.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from camlucida.app.failures import Cancelled, QueueFull, TooLong

QueueName: TypeAlias = Literal["quick", "long"]
IDLE_S = 10.0
"""Seconds after which an idle worker thread ends."""


class Job:
    """The interface of a running job to its client. Each report stops the job if it was cancelled or timed out."""

    def __init__(self, send: Callable[[str, Any], None] | None = None) -> None:
        self._send = send
        self._cancelled = threading.Event()
        self._seconds = self._until = float("inf")

    def progress(self, done: int, total: int) -> None:
        """Report that `done` of `total` steps are complete; can be passed as a `progress` callback."""
        self.send("progress", {"done": done, "total": total})

    def send(self, event: str, content: BaseModel | dict[str, Any]) -> None:
        """Send a part of the result before the job is complete.

        Raises:
            Cancelled: If the client has disconnected.
            TooLong: If the job has exceeded its time limit.
        """
        self.check()
        if self._send:
            self._send(event, content)

    def check(self) -> None:
        """Raise `Cancelled` if the client has disconnected, and `TooLong` if the time limit is exceeded."""
        if self._cancelled.is_set():
            raise Cancelled
        if time.monotonic() > self._until:
            raise TooLong(
                f"the computation was stopped after its limit of {self._seconds:g} seconds. Reduce the request, or use "
                "the command line, which has no time limit."
            )

    def limit_time(self, seconds: float) -> None:
        """Start the time limit of the job."""
        self._seconds, self._until = seconds, time.monotonic() + seconds

    def cancel(self) -> None:
        """Stop the job at its next report."""
        self._cancelled.set()


Task: TypeAlias = Callable[[Job], BaseModel | bytes]
"""The work of a job; returns the response as a model, or as bytes that are already encoded."""


class JobEntry:
    """A task with its slot in a queue. `result` resolves to the encoded response, or to `Cancelled`."""

    def __init__(self, queue: JobQueue, task: Task, job: Job) -> None:
        self.job = job
        self.result: Future[bytes] = Future()
        self.result.set_running_or_notify_cancel()  # only this object resolves the future
        self._queue = queue
        self._task: Task | None = task
        self._settle_lock = threading.Lock()

    def run(self, seconds: float) -> None:
        """Run the task in this thread, and release the reference to the request."""
        task, self._task = self._task, None
        try:
            self.job.check()
            self.job.limit_time(seconds)
            assert task is not None
            self._settle(encoded_body(task(self.job)))
        except BaseException as error:  # the client waits for a result, whatever the error
            self._settle(error)

    def cancel(self) -> None:
        """Cancel the job: a waiting job never starts, a running one stops at its next report."""
        self.job.cancel()
        self._queue.leave(self)
        self._settle(Cancelled())

    def _settle(self, result: bytes | BaseException) -> None:
        with self._settle_lock:
            if self.result.done():
                return
            if isinstance(result, bytes):
                self.result.set_result(result)
            else:
                self.result.set_exception(result)


class JobQueue:
    """A thread-safe queue with a fixed number of workers.

    Args:
        workers: Maximum number of running jobs.
        waiting: Maximum number of waiting jobs.
        seconds: Time limit of each job.
    """

    def __init__(self, workers: int, waiting: int, seconds: float) -> None:
        self.capacity, self.seconds = workers + waiting, seconds
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
            if self.inside >= self.capacity:
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
            entries = [*self._waiting, *self._running]
        for entry in entries:
            entry.cancel()

    def empty(self, seconds: float) -> bool:
        """Wait for all jobs to end, at most `seconds`; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.inside, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._waiting, IDLE_S):
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
        self.by_name: dict[str, JobQueue] = {"quick": JobQueue(*quick), "long": JobQueue(*long)}

    def stop(self) -> None:
        """Cancel all jobs."""
        for queue in self.by_name.values():
            queue.stop()

    def empty(self, seconds: float) -> bool:
        """Wait for all jobs to end, at most `seconds`; return whether they have."""
        until = time.monotonic() + seconds
        return all(queue.empty(max(0.0, until - time.monotonic())) for queue in self.by_name.values())


def encoded_body(content: BaseModel | bytes | dict[str, Any]) -> bytes:
    """Return the content of a response or event as JSON."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, BaseModel):
        return content.model_dump_json().encode()
    return json.dumps(content, allow_nan=False).encode()
