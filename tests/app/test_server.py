"""The server on real sockets: slow and hostile connections, large bodies, invalid images, paths."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import json
import logging
import os
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from camlucida.app.app_state import Page
from camlucida.app.failures import Cancelled
from camlucida.app.http_messages import HEADERS
from camlucida.app.http_protocol import Limits, LingeringTransport
from camlucida.app.jobs import Job
from camlucida.app.security import SecurityMiddleware
from camlucida.app.server import Server, address_of, is_loopback, listen, server
from camlucida.data.open import open_dataset
from camlucida.errors import CamlucidaError
from camlucida.models.load import load

PATIENCE = 300.0
"""Seconds after which a condition counts as never true; no test waits that long on any machine if all is well."""
FEW = Limits(head=PATIENCE, unread=0.5, linger=2.0, connections=12)
HOST = b"Host: localhost\r\n"
GET = b"GET /api/start HTTP/1.1\r\n" + HOST


class Running(NamedTuple):
    """A server in its own thread."""

    port: int
    server: Server
    page: Page

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port))
        made.settimeout(PATIENCE)
        return made


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextlib.contextmanager
def running(page: Page, limits: Limits = FEW, token: str = "") -> Iterator[Running]:
    listening = listen("127.0.0.1", 0)
    made = server(page, limits=limits, token=token)
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until(lambda: made.started)
    yield Running(listening.getsockname()[1], made, page)
    made.should_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def site() -> Iterator[Running]:
    with running(Page([load("toybox")], open_dataset("toybox", count=24))) as made:
        yield made


@pytest.fixture(scope="module")
def impatient() -> Iterator[Running]:
    """A server that soon gives up on the head of a request."""
    with running(Page([load("toybox")], open_dataset("toybox", count=1)), Limits(head=0.4)) as made:
        yield made


def received(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    found = b""
    while piece := connection.recv(1 << 16):
        found += piece
    return found


def read(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


def asked(site: Running, request: bytes) -> Answer:
    """Send a request that ends its connection, and return the response."""
    with site.connect() as connection:
        connection.sendall(request)
        return read(received(connection))


def get(site: Running, target: str, *more: bytes) -> Answer:
    lines = [f"GET {target} HTTP/1.1".encode("latin-1"), b"Host: localhost", b"Connection: close", *more]
    return asked(site, b"\r\n".join(lines) + b"\r\n\r\n")


def post(site: Running, target: str, body: bytes) -> Answer:
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return asked(site, head.encode() + body)


def memory() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "the condition did not hold in time"
        time.sleep(0.005)


# --- slow and broken connections


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\n", GET, GET + b"X-A: b\r\n"])
def test_incomplete_head_times_out(impatient: Running, begun: bytes) -> None:
    began = time.monotonic()
    answer = asked(impatient, begun)
    assert answer.status == 408
    assert answer.json["detail"] == "The request took too long to arrive."
    assert HEADERS.items() <= answer.headers.items()
    assert time.monotonic() - began > 0.3


def test_slowly_sent_head_times_out(impatient: Running) -> None:
    """Slow-loris: every line arrives in time, the head never ends."""
    with impatient.connect() as connection:
        connection.sendall(GET)
        connection.settimeout(0.05)

        def refused() -> bool:
            with contextlib.suppress(TimeoutError):
                return b"408" in connection.recv(100)
            with contextlib.suppress(OSError):
                connection.sendall(b"X-A: b\r\n")
            return False

        until(refused)


def test_second_head_of_a_connection_times_out(page: Page) -> None:
    with running(page, Limits(head=2)) as site, site.connect() as connection:
        connection.sendall(GET + b"\r\n")
        until(lambda: b'"version"' in connection.recv(1 << 20, socket.MSG_PEEK))
        connection.recv(1 << 20)
        connection.sendall(GET)
        assert b"408" in received(connection)


def test_silent_connection_is_closed(impatient: Running) -> None:
    with impatient.connect() as connection:
        assert received(connection) == b""


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(100)),  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\x00\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        GET + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n",
        b"POST /api/explain HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /api/explain HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n{}",
        b"POST /api/explain HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n{}",
        b"POST /api/explain HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"POST /api/explain HTTP/1.1\r\n" + HOST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_invalid_requests_are_refused(site: Running, request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answer = asked(site, request_)
    assert answer.status in (400, 415, 501)
    assert HEADERS.items() <= answer.headers.items()
    assert b"Traceback" not in answer.body
    assert "Traceback" not in caplog.text
    assert get(site, "/api/start").status == 200


def test_upgrade_is_ignored(site: Running) -> None:
    upgrade = (
        b"Connection: Upgrade, close",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: x",
    )
    assert get(site, "/api/start", *upgrade).status == 200  # the header is ignored
    assert get(site, "/ws", *upgrade).status == 404


def test_slow_clients_do_not_block_others(site: Running) -> None:
    """Twelve connections may be open; forty incomplete ones are closed in favour of complete requests."""
    slow = [site.connect() for _ in range(40)]
    for connection in slow:
        with contextlib.suppress(OSError):
            connection.sendall(GET)
    for _ in range(5):
        assert get(site, "/api/start").status == 200
    until(lambda: len(site.server.server_state.connections) <= FEW.connections)
    for connection in slow:
        connection.close()
    until(lambda: not site.server.server_state.connections)


def test_number_of_connections_is_limited(page: Page) -> None:
    """All clients connect in the same turn of the event loop, long before any of them times out."""
    with running(page) as site:
        slow = [site.connect() for _ in range(60)]
        for connection in slow:
            with contextlib.suppress(OSError):
                connection.sendall(GET)
        until(lambda: len(site.server.server_state.connections) == 12)
        assert get(site, "/api/start").status == 200
        for connection in slow:
            connection.close()


def test_nagle_algorithm_is_disabled(site: Running) -> None:
    """With Nagle's algorithm each response on an open connection takes 40 ms longer."""
    with site.connect() as connection:
        connection.sendall(GET + b"\r\n")
        until(lambda: b'"version"' in connection.recv(1 << 20, socket.MSG_PEEK))
        for one in site.server.server_state.connections:
            accepted = one.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_additional_connection_gets_503(site: Running) -> None:
    gate = threading.Event()

    def work(job: Job) -> bytes:
        gate.wait(PATIENCE)
        return b"1"

    until(lambda: not site.server.server_state.connections)  # those of other tests
    entries = [site.page.queues.by_name["quick"].enter(work, Job()) for _ in range(2)]
    busy = [site.connect() for _ in range(FEW.connections)]
    for connection in busy:
        connection.sendall(b"GET /api/samples HTTP/1.1\r\n" + HOST + b"\r\n")
    until(lambda: site.page.queues.by_name["quick"].inside == 2 + len(busy))
    answer = get(site, "/api/start")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    assert HEADERS.items() <= answer.headers.items()
    for connection in busy:
        connection.close()
    until(lambda: site.page.queues.by_name["quick"].inside == 2)  # disconnected clients no longer wait
    assert get(site, "/api/start").status == 200
    gate.set()
    for entry in entries:
        entry.result.result(PATIENCE)


def test_unread_response_ends_its_connection(site: Running) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", site.port))
        before = site.server.server_state.total_requests
        connection.sendall((GET + b"\r\n") * 900)  # pipelined: megabytes of responses
        until(lambda: site.server.server_state.total_requests > before)
        until(lambda: not site.server.server_state.connections)


def test_stream_ends_when_its_client_disconnects(site: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, entries = site.page.queues.by_name["long"], list[Any]()
    enter = queue.enter
    monkeypatch.setattr(queue, "enter", lambda *job: entries.append(enter(*job)) or entries[-1])
    body = json.dumps({"image": "s1", "methods": ["rise"], "options": {"n": 4000}}).encode()
    head = b"POST /api/explain HTTP/1.1\r\n" + HOST + b"Accept: text/event-stream\r\nContent-Type: application/json\r\n"
    connection = site.connect()
    connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    until(lambda: b"event: progress" in connection.recv(1 << 16))
    connection.close()
    assert queue.empty(PATIENCE)
    (entry,) = entries
    assert isinstance(entry.result.exception(0), Cancelled)  # and not: it came to its end


# --- clients that hang up


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """Yield the log records of the server and the app."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "camlucida.app", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)


def posted(path: str, body: bytes, *more: bytes) -> bytes:
    head = [f"POST {path} HTTP/1.1".encode(), b"Host: localhost", b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


STREAMED = b"Accept: text/event-stream"
OF_JSON = b"Content-Type: application/json"
ONE_MAP = json.dumps({"image": "s1", "methods": ["grad_cam"]}).encode()
LEFT = {
    "upload": posted("/api/images", bytes(100_000)),
    "map": posted("/api/explain", ONE_MAP, OF_JSON),
    "map, streamed": posted("/api/explain", ONE_MAP, OF_JSON, STREAMED),
    "comparison, streamed": posted("/api/compare", ONE_MAP, OF_JSON, STREAMED),
    "file": posted("/api/explain/panel.png", ONE_MAP, OF_JSON),
    "verdict": posted("/api/trust", b'{"image": "s1"}', OF_JSON, STREAMED),
    "samples": GET.replace(b"start", b"samples") + b"\r\n",
    "static": GET.replace(b"api/start", b"app.js") + b"\r\n",
    "body for nobody": posted("/nowhere", bytes(100_000)),
}


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("what", LEFT)
def test_disconnecting_client_leaves_no_traceback(
    site: Running, what: str, how: str, logged: list[logging.LogRecord]
) -> None:
    """At any moment: in the head, in the body, after the request, when the response begins."""
    request = LEFT[what]
    head = request.index(b"\r\n\r\n") + 4
    for n_sent in (head // 2, head, (head + len(request)) // 2, len(request), len(request)):
        with site.connect() as connection:
            if how == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(request[:n_sent])
            if n_sent == len(request):
                with contextlib.suppress(OSError):
                    connection.recv(1)
    until(lambda: not site.server.server_state.connections)
    assert site.page.queues.empty(PATIENCE)
    assert [record.getMessage() for record in logged] == []


def test_reset_connection_is_aborted() -> None:
    """The kernel refuses to half-close a connection whose reset the event loop has not noticed yet."""
    aborted: list[bool] = []

    class Reset:
        def write_eof(self) -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        def abort(self) -> None:
            aborted.append(True)

        def is_closing(self) -> bool:
            return bool(aborted)

    async def close() -> LingeringTransport:
        closing = LingeringTransport(Reset(), FEW, lambda: True)  # type: ignore[arg-type]
        closing.close()
        return closing

    assert asyncio.run(close()).aborted
    assert aborted == [True]


# --- bodies


def chunked(path: bytes) -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def test_endless_upload_is_refused_while_it_arrives(site: Running) -> None:
    """50 MB in chunks: the client receives the 413 although it does not stop sending."""
    before = memory()
    piece, most = b"80000\r\n" + bytes(0x80000) + b"\r\n", [0]
    with site.connect() as connection:
        connection.sendall(chunked(b"/api/images"))
        for _ in range(100):
            connection.sendall(piece)
            most[0] = max(most[0], memory() - before)
        connection.sendall(b"0\r\n\r\n")
        answer = read(received(connection))
    assert answer.status == 413
    assert answer.json["detail"] == "The file is larger than 25 MB. Upload a smaller image."
    assert answer.headers["connection"] == "close"
    assert most[0] < 90 << 20  # the 25 MB, a copy while they are joined, and buffers


def test_too_large_length_is_refused_before_the_body(site: Running) -> None:
    head = b"POST /api/images HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 50000000\r\n\r\n"
    answer = asked(site, head)
    assert answer.status == 413  # and no 100 before


def test_unread_body_is_not_awaited(site: Running) -> None:
    with site.connect() as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n12")
        answer = read(received(connection))
    assert answer.status in (404, 405)


def test_interrupted_body_times_out(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SecurityMiddleware] = []
    init = SecurityMiddleware.__init__

    def impatient(self: SecurityMiddleware, *args: Any, **options: Any) -> None:
        init(self, *args, **options, max_pause_s=0.2)
        made.append(self)

    monkeypatch.setattr(SecurityMiddleware, "__init__", impatient)
    with running(page) as site:
        for rest in (b"", b'{"pic'):
            head = (
                b"POST /api/explain HTTP/1.1\r\n"
                + HOST
                + b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n"
            )
            answer = asked(site, head + rest)
            assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert get(site, "/api/start").status == 200
    assert made[0].n_bytes_held == 0


# --- invalid images


def png(width: int, height: int) -> bytes:
    """Return a complete PNG of one colour, a few kilobytes per million pixels."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    content = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", content) + part(b"IEND", b"")


def test_decompression_bomb_is_refused(site: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 megapixels in 25 kB would decode to 600 MB."""
    bomb = png(20_000, 10_000)
    assert len(bomb) < 60_000
    decoded: list[Any] = []
    plain = PngImagePlugin.PngImageFile.load

    def loaded(self: Any) -> Any:
        decoded.append(self.size)
        return plain(self)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", loaded)
    answer = post(site, "/api/images", bomb)
    assert answer.status == 422
    assert "200 megapixels; the limit is 40" in answer.json["detail"]
    assert decoded == []
    assert post(site, "/api/images", png(80, 80)).status == 200
    assert (80, 80) in decoded


def encoded(kind: str, **how: Any) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(sink, kind, **how)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (encoded("JPEG")[:700], "truncated"),
        (encoded("PNG")[:700], "truncated"),
        (b"\x89PNG\r\n\x1a\n" + bytes(1000), "not in an image format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "SVG"),
        (b"<!doctype html><script>alert(1)</script>", "HTML"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(id) run\n", "PostScript"),
        (
            b"\xc5\xd0\xd3\xc6" + bytes(60) + b"%!PS-Adobe-3.0 EPSF-3.0\n",
            "not in an image format",
        ),  # EPS with a preview
        (b"%PDF-1.7\n", "PDF"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(100), "HEIC"),
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b"\x1f\x8b" + bytes(100), "gzip"),
        (b"push graphic-context\nfill 'url(https://evil.example/x.jpg\"|id\")'\n", "text"),  # ImageTragick
        (os.urandom(5000), "not in an image format"),
    ],
)
def test_invalid_images_are_refused(site: Running, content: bytes, message: str) -> None:
    answer = post(site, "/api/images", content)
    assert answer.status == 422
    assert answer.json["kind"] == "ImageError"
    assert message in answer.json["detail"]
    assert len(answer.json["detail"]) < 300


def test_uploads_are_not_written_to_disk(site: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is opened for writing while an image is received, decoded and explained."""
    written: list[Any] = []

    def hook(event: str, args: Any) -> None:
        if (
            watching
            and event == "open"
            and (
                (isinstance(args[1], str) and set(args[1]) & set("wax+")) or (isinstance(args[2], int) and args[2] & 3)
            )
        ):
            written.append(args)
        elif watching and event in ("os.mkdir", "os.rename", "tempfile.mkstemp", "shutil.copyfile"):
            written.append((event, args))

    watching = True
    sys.addaudithook(hook)
    try:
        large = encoded("BMP") + bytes(20 << 20)  # more than a form parser keeps in memory
        assert post(site, "/api/images", large).status == 200
        given = post(site, "/api/images", encoded("PNG")).json["id"]
        body = json.dumps({"image": given}).encode()
        head = b"POST /api/explain HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Type: application/json\r\n"
        assert asked(site, head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body).status == 200
        assert get(site, f"/api/images/{given}").status == 200
    finally:
        watching = False
    assert written == []


# --- paths


@pytest.mark.parametrize(
    "target",
    [
        "/../../../../../etc/passwd",
        "/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/%252e%252e%252f%252e%252e%252fetc/passwd",
        "/..%5c..%5cetc%5cpasswd",
        "/..\\..\\etc\\passwd",
        "/assets/../../app.py",
        "/assets/..%2f..%2fapp.py",
        "/.../.../app.py",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/%2f%2fetc/passwd",
        "/\\etc\\passwd",
        "/C:\\Windows\\win.ini",
        "/file:///etc/passwd",
        "/index.html%00.png",
        "/%00",
        "/%ff%fe",
        "/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
        "/" + "a" * 5000,
        "/" + "a/" * 2000,
        "/index.html/../../app.py",
        "/.git/config",
        "/api/../../etc/passwd",
        "/api/images/..%2f..%2fetc%2fpasswd",
        "/api/images/%2fetc%2fpasswd",
        "/api/images/s1%00",
        "/api/images/s1/../../../app.py",
        "/api/images/s-1",
        "/api/images/s1.png",
        "/api/images/s" + "9" * 30,
        "/api/images/s99999999999",
        "/api/images/uffff",
        "/api/images/%F0%9D%9F%8F",
        "/api/images/s%D9%A1",
    ],
)
def test_path_traversal_is_refused(site: Running, target: str) -> None:
    answer = get(site, target)
    assert answer.status in (400, 404, 422)
    assert b"root:" not in answer.body
    assert b"create_app" not in answer.body
    assert answer.json["detail"]


def test_symbolic_links_out_of_the_static_folder_are_refused(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (static / "index.html").write_text("<!doctype html>")
    (static / "inside.txt").write_text("inside")
    (static / "link.txt").symlink_to(tmp_path / "secret.txt")
    (static / "folder").symlink_to(tmp_path)
    monkeypatch.setattr("camlucida.app.app.files", lambda name: tmp_path)
    with running(page) as site:
        assert get(site, "/inside.txt").body == b"inside"
        for target in ("/link.txt", "/folder/secret.txt", "/folder/", "/"):
            answer = get(site, target)
            assert answer.status == (200 if target == "/" else 404)
            assert b"secret" not in answer.body


# --- listening


def test_addresses() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", "")] == [False] * 5
    assert address_of("127.0.0.1", 8790) == "http://127.0.0.1:8790/"
    assert address_of("::1", 8790) == "http://[::1]:8790/"
    assert address_of("192.168.1.5", 8790, "abc") == "http://192.168.1.5:8790/?token=abc"
    assert address_of("0.0.0.0", 1, "abc") == f"http://{socket.gethostname()}:1/?token=abc"


def test_listen_errors() -> None:
    with listen("127.0.0.1", 0) as one:
        port = one.getsockname()[1]
        with pytest.raises(CamlucidaError, match=f"port {port} of 127.0.0.1 is in use. Pass another --port"):
            listen("127.0.0.1", port)
    with pytest.raises(CamlucidaError, match="--port 70000 is not a port"):
        listen("127.0.0.1", 70000)
    with pytest.raises(CamlucidaError, match="--port -1 is not a port"):
        listen("127.0.0.1", -1)


@pytest.mark.parametrize("host", ["no such host", "a" * 300, "127.0.0.1.1.1", "\ud800"])
@pytest.mark.network
def test_unknown_host(host: str) -> None:
    with pytest.raises(CamlucidaError, match="cannot be resolved"):
        listen(host, 0)


@pytest.mark.network
def test_address_of_another_machine() -> None:
    with pytest.raises(CamlucidaError, match=r"203\.0\.113\.7 is not an address of this machine"):
        listen("203.0.113.7", 0)


def test_ipv6(page: Page) -> None:
    try:
        listening = listen("::1", 0)
    except CamlucidaError:
        pytest.skip("no IPv6 on this machine")
    made = server(page, host="::1")
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until(lambda: made.started)
    port = listening.getsockname()[1]
    with socket.create_connection(("::1", port)) as connection:
        connection.sendall(f"GET /api/start HTTP/1.1\r\nHost: [::1]:{port}\r\nConnection: close\r\n\r\n".encode())
        assert read(received(connection)).status == 200
    made.should_exit = True
    thread.join(PATIENCE)


def test_server_stops_during_jobs(page: Page) -> None:
    with running(page) as site:
        body = json.dumps({"image": "s1", "methods": ["rise"], "options": {"n": 4000}}).encode()
        connections = []
        for accept in (b"*/*", b"text/event-stream"):
            connection = site.connect()
            head = b"POST /api/explain HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nAccept: " + accept
            connection.sendall(head + f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            connections.append(connection)
        connections.append(site.connect())  # idle
        slow = site.connect()
        slow.sendall(GET)
        connections.append(slow)
        until(lambda: site.page.queues.by_name["long"].inside == 2)
        site.server.should_exit = True
        until(lambda: not site.server.server_state.connections)
        assert all(
            b"Stopped." in received(connection) for connection in connections[:2]
        )  # a message, not a closed connection
        for connection in connections:
            connection.close()
        assert page.queues.empty(PATIENCE)
