"""Job queues: slots are never lost, jobs of disconnected clients stop, and errors become failures."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from camlucida.app import job_responses, jobs
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.failures import Cancelled, NotFound, QueueFull, TooLong, failed
from camlucida.app.job_responses import EventStream, answer
from camlucida.app.jobs import Job, JobQueue, JobQueues
from camlucida.app.schemas import Failure
from camlucida.errors import ImageError, ModelError

PATIENCE = 300.0
"""Seconds after which a condition counts as never true; no test waits that long on any machine if all is well."""


class Gate:
    """A task that runs until `open` is set; `begun` and `ended` count its runs."""

    def __init__(self, report: bool = True) -> None:
        self.begun, self.ended = 0, 0
        self.open = threading.Event()
        self._report = report

    def __call__(self, job: Job) -> bytes:
        self.begun += 1
        try:
            while not self.open.wait(0.002):
                if self._report:
                    job.progress(0, 1)
            return b'"done"'
        finally:
            self.ended += 1


def until(true: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "the condition did not hold in time"
        time.sleep(0.002)


class Client:
    """A client of `answer` without a server; it can disconnect."""

    def __init__(self, page: Any, task: Any, *, stream: bool = False, queue: Any = "quick") -> None:
        self.left = asyncio.Event()
        self.sent: list[Any] = []
        self.page, self.task, self.queue = page, task, queue
        self.accept = b"text/event-stream" if stream else b"*/*"

    async def __call__(self) -> None:
        from fastapi import Request

        app = type("App", (), {"state": type("State", (), {"page": self.page})()})()
        scope = {
            "type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [(b"accept", self.accept)],
            "app": app, "asgi": {"spec_version": "2.3"},
        }  # fmt: skip
        response = await answer(Request(scope, self.receive), self.task, self.queue)
        await response(scope, self.receive, self.send)

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent)


class Fake:
    """An app state that has only job queues."""

    def __init__(self, *queue: Any) -> None:
        self.queues = JobQueues(quick=queue or (2, 3, 60.0))

    @property
    def queue(self) -> JobQueue:
        return self.queues.by_name["quick"]


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def test_queue_runs_waits_and_refuses(gate: Gate) -> None:
    queue = JobQueue(2, 3, 60)
    entries = [queue.enter(gate, Job()) for _ in range(5)]
    until(lambda: gate.begun == 2)
    with pytest.raises(QueueFull):
        queue.enter(gate, Job())
    assert (queue.inside, gate.begun) == (5, 2)
    gate.open.set()
    assert [entry.result.result(PATIENCE) for entry in entries] == [b'"done"'] * 5
    assert queue.empty(PATIENCE)


def test_jobs_run_in_order() -> None:
    queue, order = JobQueue(1, 20, 60), []
    entries = [queue.enter(lambda job, i=i: order.append(i) or b"", Job()) for i in range(20)]  # type: ignore[misc]
    for entry in entries:
        entry.result.result(PATIENCE)
    assert order == list(range(20))


def test_cancelled_waiting_job_never_runs_and_frees_its_slot(gate: Gate) -> None:
    queue = JobQueue(1, 1, 60)
    queue.enter(gate, Job())
    until(lambda: gate.begun == 1)
    waits = Gate()
    entry = queue.enter(waits, Job())
    entry.cancel()
    with pytest.raises(Cancelled):
        entry.result.result(0)
    other = queue.enter(lambda job: b"1", Job())
    gate.open.set()
    assert other.result.result(PATIENCE) == b"1"
    assert waits.begun == 0


def test_cancelled_request_is_released(gate: Gate) -> None:
    """Otherwise clients that upload, wait and disconnect would fill the memory."""
    import gc
    import weakref

    class Upload:
        def __call__(self, job: Job) -> bytes:
            return b""

    queue, upload = JobQueue(1, 1, 60), Upload()
    queue.enter(gate, Job())
    entry = queue.enter(upload, Job())
    entry.cancel()
    seen = weakref.ref(upload)
    del entry, upload
    gc.collect()
    assert seen() is None


def test_cancelled_running_job_keeps_its_slot_until_it_stops() -> None:
    queue, gate = JobQueue(1, 0, 60), Gate(report=False)
    entry = queue.enter(gate, Job())
    until(lambda: gate.begun == 1)
    entry.cancel()
    with pytest.raises(Cancelled):  # the client gets the result at once
        entry.result.result(0)
    assert queue.inside == 1  # but the network is still running
    with pytest.raises(QueueFull):
        queue.enter(gate, Job())
    assert not queue.empty(0.01)
    gate._report = True
    assert queue.empty(PATIENCE)


def test_job_over_its_time_limit_is_stopped() -> None:
    queue = JobQueue(1, 0, 0.05)
    entry = queue.enter(Gate(), Job())
    with pytest.raises(TooLong, match=r"limit of 0\.05 seconds"):
        entry.result.result(PATIENCE)
    assert failed(entry.result.exception(0) or Exception())[0] == 422


def test_waiting_time_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    queue, gate = JobQueue(1, 1, 60), Gate(report=False)
    queue.enter(gate, Job())
    until(lambda: gate.begun == 1)

    def quick(job: Job) -> bytes:
        job.progress(1, 1)
        return b"1"

    entry = queue.enter(quick, Job())
    now[0] = 1000.0
    gate.open.set()
    assert entry.result.result(PATIENCE) == b"1"


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "IDLE_S", 0.01)
    queue = JobQueue(2, 2, 60)
    for _ in range(3):
        assert queue.enter(lambda job: b"1", Job()).result.result(PATIENCE) == b"1"
        until(lambda: queue._threads == 0)


@pytest.mark.parametrize("seed", range(3))
def test_no_slot_is_lost_by_disconnecting_clients(seed: int) -> None:
    """Four hundred clients disconnect at random; in the end the queue is empty and still accepts jobs."""
    draw, page, inside, most = random.Random(seed), Fake(2, 6, 60.0), [0], [0]
    lock = threading.Lock()

    def task(job: Job) -> bytes:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        try:
            for step in range(draw.randint(0, 4)):
                time.sleep(0.0005)
                job.progress(step, 4)
            if draw.random() < 0.1:
                raise RuntimeError("a fault")
            return b"1"
        finally:
            with lock:
                inside[0] -= 1

    async def one() -> str:
        client = Client(page, task, stream=draw.random() < 0.5)
        await asyncio.sleep(draw.random() * 0.2)
        asking = asyncio.create_task(client())
        how = draw.random()
        if how < 0.3:
            await asyncio.sleep(draw.random() * 0.01)
            client.left.set()
        elif how < 0.5:
            await asyncio.sleep(draw.random() * 0.01)
            asking.cancel()
        try:
            await asyncio.wait_for(asking, PATIENCE)
        except (QueueFull, Cancelled, RuntimeError) as error:
            return type(error).__name__
        except asyncio.CancelledError:
            return "cancelled"
        return "answered"

    async def all_() -> list[str]:
        return await asyncio.gather(*(one() for _ in range(400)))

    ends = asyncio.run(all_())
    assert {"answered", "QueueFull", "cancelled"} <= set(ends)
    assert page.queue.empty(PATIENCE)
    assert (page.queue.inside, inside[0]) == (0, 0)
    assert most[0] == 2
    assert page.queue.enter(lambda job: b"1", Job()).result.result(PATIENCE) == b"1"


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_disconnects_while_waiting_or_running(stream: bool, gate: Gate) -> None:
    page, waits = Fake(1, 1, 60.0), Gate()

    async def go() -> None:
        first, second = Client(page, gate, stream=stream), Client(page, waits, stream=stream)
        one = asyncio.create_task(first())
        while gate.begun == 0:
            await asyncio.sleep(0.002)
        two = asyncio.create_task(second())
        while page.queue.inside < 2:
            await asyncio.sleep(0.002)
        second.left.set()
        await asyncio.wait([two])
        assert page.queue.inside == 1
        first.left.set()
        await asyncio.wait([one])
        while gate.ended == 0:
            await asyncio.sleep(0.002)

    asyncio.run(asyncio.wait_for(go(), PATIENCE))
    assert page.queue.empty(PATIENCE)
    assert (gate.begun, waits.begun) == (1, 0)


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_full_queue_is_503(accept: str, client: TestClient, page: Page, gate: Gate) -> None:
    queue = page.queues.by_name["quick"]
    entries = [queue.enter(gate, Job()) for _ in range(queue.capacity)]
    refused = client.post("/api/explain", json={"image": "s1"}, headers={"accept": accept})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["content-type"] == "application/json"
    assert refused.json() == {"kind": "Busy", "detail": "The queue is full. Try again in a few seconds."}
    gate.open.set()
    for entry in entries:
        entry.result.result(PATIENCE)
    assert client.post("/api/explain", json={"image": "s1"}).status_code == 200


def events(body: bytes) -> list[tuple[str, Any]]:
    found = []
    for block in body.decode().strip().split("\n\n"):
        if not block.startswith(":"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def streamed(task: Any, **how: Any) -> bytes:
    client = Client(Fake(1, 1, 60.0), task, stream=True)
    asyncio.run(asyncio.wait_for(client(), PATIENCE))
    return client.body


def test_stream_contains_all_events_then_the_result() -> None:
    def task(job: Job) -> bytes:
        job.progress(1, 2)
        job.send("part", {"n": 1})
        job.send("part", Failure(kind="a", detail="b"))
        job.progress(2, 2)
        return b'{"all": 3}'

    assert events(streamed(task)) == [
        ("progress", {"done": 1, "total": 2}),
        ("part", {"n": 1}),
        ("part", {"kind": "a", "detail": "b"}),
        ("progress", {"done": 2, "total": 2}),
        ("result", {"all": 3}),
    ]


def test_stream_ends_with_the_error_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def task(job: Job) -> bytes:
        raise KeyError("secret")

    ((name, failure),) = events(streamed(task))
    assert (name, failure["kind"]) == ("error", "Fault")
    assert "secret" not in json.dumps(failure)
    assert "secret" in caplog.text


def test_unencodable_event_is_an_error_event(caplog: pytest.LogCaptureFixture) -> None:
    def task(job: Job) -> bytes:
        job.send("part", {"n": float("nan")})
        return b"1"

    assert [name for name, _ in events(streamed(task))] == ["error"]


def test_idle_stream_sends_keep_alive(monkeypatch: pytest.MonkeyPatch, gate: Gate) -> None:
    monkeypatch.setattr(job_responses, "KEEP_ALIVE_S", 0.01)
    gate._report = False
    threading.Timer(0.1, gate.open.set).start()
    body = streamed(gate)
    assert body.startswith(b": keep-alive\n\n")
    assert body.endswith(b'event: result\ndata: "done"\n\n')


def test_slow_reader_gets_latest_progress_and_all_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_responses, "MAX_UNREAD", 4)
    loop = asyncio.new_event_loop()
    feed, sent = EventStream(loop), []
    for done in range(1000):
        feed.add("progress", {"done": done})
    assert [json.loads(content) for _, content in feed.take()] == [{"done": 999}]

    def speak() -> None:
        for n in range(6):
            feed.add("part", {"n": n})
            sent.append(n)

    speaker = threading.Thread(target=speak)
    speaker.start()
    until(lambda: len(sent) == 3)
    time.sleep(0.05)
    assert len(sent) == 3
    assert [json.loads(c)["n"] for _, c in feed.take()] == [0, 1, 2, 3]
    speaker.join(PATIENCE)
    assert sent == list(range(6))
    feed.close()
    with pytest.raises(Cancelled):
        feed.add("part", {})
    loop.close()


def test_stopping_server_cancels_all_jobs(gate: Gate) -> None:
    page = Fake(1, 2, 60.0)

    async def go() -> list[Any]:
        clients = [Client(page, gate), Client(page, gate), Client(page, gate, stream=True)]
        asking = [asyncio.create_task(client()) for client in clients]
        while page.queue.inside < 3:
            await asyncio.sleep(0.002)
        page.queues.stop()
        ends = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), PATIENCE)
        assert events(clients[2].body)[-1] == ("error", {"kind": "Cancelled", "detail": "Stopped."})
        return ends

    ends = asyncio.run(go())
    assert [type(end) for end in ends] == [Cancelled, Cancelled, type(None)]
    assert page.queues.empty(PATIENCE)


def from_(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (QueueFull(), 503, "Busy"),
        (NotFound("The image is gone."), 404, "Missing"),
        (Cancelled(), 499, "Cancelled"),
        (ImageError("no image."), 422, "ImageError"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"), 500, "Fault"),
        (torch.OutOfMemoryError("CUDA out of memory."), 500, "Fault"),
        (MemoryError(), 500, "Fault"),
        (from_(ModelError("the network cannot run"), RuntimeError("CUDA out of memory")), 500, "Fault"),
        (from_(ModelError("the network cannot run"), RuntimeError("sizes differ")), 422, "ModelError"),
        (ZeroDivisionError("division by zero"), 500, "Fault"),
    ],
)
def test_errors_become_failures(error: Exception, status: int, kind: str) -> None:
    found, failure = failed(error)
    assert (found, failure.kind) == (status, kind)
    if status == 500:
        assert "alloc" not in failure.detail
        assert failure.detail.endswith((".", "details."))


def test_lone_surrogate_can_be_encoded() -> None:
    _, failure = failed(ImageError("no class '\ud800'."))
    assert failure.model_dump_json() == '{"kind":"ImageError","detail":"no class \'?\'."}'


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (RuntimeError("weights are broken"), 422, "weights are broken"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
            500,
            "more memory than there is",
        ),
    ],
)
def test_broken_network_responds_with_the_library_error(
    accept: str, raised: Exception, status: int, message: str, page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    network = page.model(None).model.network

    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise raised

    page.warm()
    network.conv1 = Broken()
    with TestClient(create_app(page), base_url="http://localhost") as client:
        response = client.post("/api/explain", json={"image": "s1"}, headers={"accept": accept})
    if accept == "*/*":
        assert response.status_code == status
        assert message in response.json()["detail"]
    else:
        assert response.status_code == 200
        (name, failure) = events(response.content)[-1]
        assert name == "error"
        assert message in failure["detail"]
    assert "Traceback" not in response.text
    assert ("a request failed" in caplog.text) is False


def test_internal_error_is_one_sentence_and_one_traceback(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("camlucida.app.routes.explain._cached_or_computed", fault)
    response = client.post("/api/explain", json={"image": "s1"})
    assert response.status_code == 500
    assert response.json()["detail"] == "The server failed; the details are in the terminal where it was started."
    assert caplog.text.count("ZeroDivisionError: secret") == 1
    assert response.headers["content-security-policy"]
