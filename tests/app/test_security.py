"""Checks of Host, Origin and token, and limits of request bodies."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from camlucida.app.app import LOOPBACK, create_app
from camlucida.app.app_state import Page
from camlucida.app.http_messages import HEADERS
from camlucida.app.request_body import MAX_BODY, MAX_UPLOAD
from camlucida.app.security import SecurityMiddleware

TOKEN = "q3J-x_1zTkb0YlEr8mWq2dPs6vHn4oUc"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and respond with its size."""
    seen, more = 0, True
    while more:
        message = await receive()
        seen += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = f"read {seen} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


def asked(
    middleware: SecurityMiddleware,
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/",
    query: str = "",
    pieces: Sequence[bytes] = (b"",),
    delay: float = 0,
) -> Answer:
    """Send one request with exactly these headers, which client libraries would not allow."""
    waiting, sent = list(pieces), []

    async def receive() -> Any:
        await asyncio.sleep(delay)
        if not waiting:
            return {"type": "http.disconnect"}
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in headers],
    }  # fmt: skip
    asyncio.run(middleware(scope, receive, send))
    start, *rest = sent
    assert start["type"] == "http.response.start"
    response_headers = {key.decode(): value.decode() for key, value in start["headers"]}
    return Answer(start["status"], response_headers, b"".join(message["body"] for message in rest))


LOCAL = SecurityMiddleware(inner, LOOPBACK)
TOKENED = SecurityMiddleware(inner, frozenset(), TOKEN)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LocalHost", "localhost:8790", "127.0.0.1", "127.0.0.1:8790", "[::1]", "[::1]:8790",
        "localhost:65535",
    ],
)  # fmt: skip
def test_loopback_names_are_accepted(host: str) -> None:
    assert asked(LOCAL, ("Host", host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8790", "localhost.evil.example", "evil.example@localhost",
        "localhost@evil.example", "localhost:80@evil.example", "localhost:8790:1", "localhost:", "localhost:x",
        "localhost:99999", "localhost:-1", "localhost/x", "localhost#x", "localhost?x", "localhost x", " localhost",
        "localhost,evil.example", "127.0.0.1.evil.example", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::]",
        "[::1", "::1", "[::1]evil", "[::ffff:7f00:1]", "[fe80::1%25lo]", "localhost\t", "l\xd0\xbecalhost",
        "192.168.1.5", "localhost.", "[0:0:0:0:0:0:0:1]:1",  # no browser sends this form
    ],
)  # fmt: skip
def test_other_host_names_are_refused(host: str) -> None:
    refused = asked(LOCAL, ("Host", host))
    assert refused.status == 400
    assert HEADERS.items() <= refused.headers.items()
    assert b"read" not in refused.body  # the application was not called


LETTERS = "abcxyz019-._*:@/[] \t"


@pytest.mark.parametrize("name", sorted(LOOPBACK | {"page.example", "192.168.1.5"}))
def test_only_the_complete_name_is_accepted(name: str) -> None:
    """Names that differ by a prefix, a suffix, or one inserted, deleted or replaced character are refused."""
    middleware = SecurityMiddleware(inner, LOOPBACK | {"page.example", "192.168.1.5"})
    shown = f"[{name}]" if ":" in name else name
    assert asked(middleware, ("Host", shown)).status == 200
    positions = range(len(shown) + 1)
    others = {
        *(shown[:at] + letter + shown[at:] for at in positions for letter in LETTERS),
        *(shown[:at] + shown[at + 1 :] for at in positions[:-1]),
        *(shown[:at] + letter + shown[at + 1 :] for at in positions[:-1] for letter in LETTERS),
        *(before + shown for before in ("evil-", "evil.", "www.", "a" * 200)),
        *(shown + after for after in ("-evil", ".evil", ".evil.example:80")),
    } - {shown, "[::1]", "[:::1]", "127.0.0.1"}
    served = [other for other in others if asked(middleware, ("Host", other)).status != 400]
    assert served == []


def test_patterns_are_refused() -> None:
    for pattern in ("*", "*.example", "*localhost"):
        with pytest.raises(ValueError, match="is a pattern"):
            SecurityMiddleware(inner, frozenset({pattern}))


def test_exactly_one_host_header() -> None:
    assert asked(LOCAL).status == 400
    assert asked(LOCAL, ("Host", "localhost"), ("Host", "localhost")).status == 400
    assert asked(LOCAL, ("Host", "localhost"), ("Host", "evil.example")).status == 400


def test_additional_address_is_accepted() -> None:
    middleware = SecurityMiddleware(inner, LOOPBACK | {"127.0.0.2"})
    assert asked(middleware, ("Host", "127.0.0.2:1")).status == 200
    assert asked(middleware, ("Host", "127.0.0.3:1")).status == 400


@pytest.mark.parametrize("path", ["*", "http://evil.example/", "evil", ""])
def test_path_begins_with_a_slash(path: str) -> None:
    assert asked(LOCAL, ("Host", "localhost"), path=path).status == 400


HERE = ("Host", "localhost:8790")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8790", 200),
        ("https://localhost:8790", 200),
        ("HTTP://LOCALHOST:8790", 200),
        ("http://localhost:3000", 403),
        ("http://localhost", 403),
        ("http://127.0.0.1:8790", 403),
        ("http://evil.example", 403),
        ("http://localhost:8790.evil.example", 403),
        ("http://localhost:8790@evil.example", 403),
        ("http://evil.example@localhost:8790", 403),
        ("http://localhost:8790/", 403),
        ("ftp://localhost:8790", 403),
        ("file://", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origins(origin: str, status: int, method: str) -> None:
    assert asked(LOCAL, HERE, ("Origin", origin), method=method).status == status


def test_two_origins_are_refused() -> None:
    both = [("Origin", "http://localhost:8790")] * 2
    assert asked(LOCAL, HERE, *both).status == 400


@pytest.mark.parametrize(
    ("site", "mode", "dest", "method", "path", "status"),
    [
        (None, None, None, "GET", "/api/start", 200),
        ("none", "navigate", "document", "GET", "/api/start", 200),
        ("same-origin", "cors", "empty", "GET", "/api/start", 200),
        ("cross-site", "no-cors", "image", "GET", "/api/images/s1", 403),
        ("same-site", "no-cors", "script", "GET", "/assets/page.js", 403),
        ("cross-site", "navigate", "document", "GET", "/", 200),
        ("cross-site", "navigate", "iframe", "GET", "/", 403),
        ("cross-site", "navigate", "document", "POST", "/", 403),
        ("cross-site", "navigate", "document", "GET", "/api/start", 403),
        ("cross-site", None, None, "GET", "/", 403),
        ("nonsense", "cors", "empty", "GET", "/", 403),
    ],
)
def test_cross_site_requests_without_origin(
    site: str | None, mode: str | None, dest: str | None, method: str, path: str, status: int
) -> None:
    """A link on another site opens the page; all other cross-site requests are refused."""
    headers = zip(("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"), (site, mode, dest), strict=True)
    given = [(name, value) for name, value in headers if value is not None]
    assert asked(LOCAL, HERE, *given, method=method, path=path).status == status


def test_any_host_requires_a_token(page: Page) -> None:
    with pytest.raises(ValueError, match="needs a token"):
        SecurityMiddleware(inner, frozenset())
    with pytest.raises(ValueError, match="needs a token"):
        create_app(page, hosts=frozenset())


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Bearer {TOKEN[:-1]}")],
        [("Authorization", f"Bearer {TOKEN}x")],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", TOKEN)],
        [("Authorization", f"Bearer {TOKEN.lower()}")],
        [("Authorization", "Bearer \xff\xfe")],
        [("Cookie", f"camlucida_token={TOKEN}")],  # of the app at another port
        [("Cookie", f"camlucida_token_8790={TOKEN[1:]}")],
        [("Cookie", "camlucida_token_8790=")],
        [("Cookie", ";;;=;\xff")],
    ],
)
def test_requests_without_token_are_refused(headers: list[tuple[str, str]]) -> None:
    for path in ("/", "/api/start", "/assets/page.js"):
        refused = asked(TOKENED, HERE, *headers, path=path)
        assert refused.status == 401
        assert TOKEN not in refused.body.decode()
        assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", f"Bearer {TOKEN}"),
        ("Authorization", f"bearer  {TOKEN}"),
        ("Cookie", f"camlucida_token_8790={TOKEN}"),
        ("Cookie", f'a="x; y"; camlucida_token_8790={TOKEN}; other[]=1'),
    ],
)
@pytest.mark.parametrize("host", ["localhost:8790", "workstation.local:8790", "192.168.1.5:8790"])
def test_token_allows_any_host(header: tuple[str, str], host: str) -> None:
    assert asked(TOKENED, ("Host", host), header, path="/api/start").status == 200


def test_token_does_not_allow_other_sites() -> None:
    shown = ("Cookie", f"camlucida_token_8790={TOKEN}")
    assert asked(TOKENED, HERE, shown, ("Origin", "http://evil.example"), method="POST").status == 403
    assert asked(TOKENED, HERE, shown, ("Sec-Fetch-Site", "cross-site"), path="/api/start").status == 403


def test_token_is_moved_from_url_to_cookie() -> None:
    moved = asked(TOKENED, HERE, query=f"a=1&token={TOKEN}&b=%20x")
    assert moved.status == 303
    assert moved.headers["location"] == "/?a=1&b=+x"
    assert moved.headers["set-cookie"] == f"camlucida_token_8790={TOKEN}; HttpOnly; SameSite=Strict; Path=/"
    assert moved.headers["cache-control"] == "no-store"
    assert moved.headers["referrer-policy"] == "no-referrer"
    assert asked(TOKENED, HERE, query=f"token={TOKEN}").headers["location"] == "/"


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/", "token=wrong"),
        ("GET", "/", "token="),
        ("GET", "/", f"token=wrong&token={TOKEN}"),
        ("GET", "/", "token=%ff%00"),
        ("GET", "/api/start", f"token={TOKEN}"),  # it would appear in scripts and logs
        ("GET", "//evil.example/", f"token={TOKEN}"),
        ("POST", "/", f"token={TOKEN}"),
    ],
)
def test_token_in_url_is_valid_for_the_page_only(method: str, path: str, query: str) -> None:
    refused = asked(TOKENED, HERE, method=method, path=path, query=query)
    assert refused.status == 401
    assert "set-cookie" not in refused.headers
    assert "location" not in refused.headers


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    asked(TOKENED, HERE, ("Authorization", "Bearer guess"))
    assert (b"guess", TOKEN.encode()) in compared


def test_browser_gets_an_error_page_without_script() -> None:
    accept = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
    refused = asked(TOKENED, HERE, accept)
    assert refused.headers["content-type"] == "text/html; charset=utf-8"
    assert b"open the URL that was printed" in refused.body
    assert b'<a href="/">' in refused.body
    assert b"<script" not in refused.body
    assert b"style" not in refused.body
    other = asked(LOCAL, ("Host", "evil.example"), accept)
    assert (other.status, other.body) == (400, b"Invalid host header")  # the host check precedes the error page
    assert json.loads(asked(TOKENED, HERE).body)["kind"] == "Refused"


@pytest.mark.parametrize(
    ("middleware", "headers", "status"),
    [
        (LOCAL, [HERE], 200),
        (LOCAL, [], 400),
        (LOCAL, [HERE, ("Origin", "null")], 403),
        (TOKENED, [HERE], 401),
        (LOCAL, [HERE, ("Content-Length", str(1 << 40))], 413),
    ],
)
def test_every_response_has_the_headers(
    middleware: SecurityMiddleware, headers: list[tuple[str, str]], status: int
) -> None:
    answer = asked(middleware, *headers)
    assert answer.status == status
    assert HEADERS.items() <= answer.headers.items()
    assert "'unsafe" not in answer.headers["content-security-policy"]
    if status >= 400:
        assert answer.headers["connection"] == "close"


def test_web_sockets_are_refused_and_lifespans_passed_on() -> None:
    sent: list[Any] = []
    passed: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    middleware = SecurityMiddleware(app, LOOPBACK)
    asyncio.run(middleware({"type": "websocket", "headers": [], "path": "/"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    asyncio.run(middleware({"type": "lifespan"}, receive, send))
    assert passed == ["lifespan"]


# --- bodies


def test_body_size_is_counted_as_it_arrives() -> None:
    middleware = SecurityMiddleware(inner, LOOPBACK, max_body=100, larger={"/api/images": 1000})
    assert asked(middleware, HERE, pieces=[b"x" * 50, b"x" * 50]).body == b"read 100 /"
    assert asked(middleware, HERE, pieces=[b"x" * 50, b"x" * 51]).status == 413
    assert asked(middleware, HERE, pieces=[b"x" * 500] * 2, path="/api/images").body == b"read 1000 /api/images"
    assert asked(middleware, HERE, pieces=[b"x" * 500] * 3, path="/api/images").status == 413
    assert asked(middleware, HERE, pieces=[b"x" * 500] * 2, path="/api/images/").status == 413
    assert middleware.n_bytes_held == 0


@pytest.mark.parametrize(
    ("length", "status"),
    [("100", 200), ("101", 413), ("9" * 30, 400), ("-1", 400), ("+1", 400), ("1e3", 400), ("²", 400), ("0x1", 400)],
)
def test_declared_length(length: str, status: int) -> None:
    middleware = SecurityMiddleware(inner, LOOPBACK, max_body=100)
    assert asked(middleware, HERE, ("Content-Length", length)).status == status


def test_two_lengths_or_a_compressed_body_are_refused() -> None:
    assert asked(LOCAL, HERE, ("Content-Length", "1"), ("Content-Length", "1")).status == 400
    assert asked(LOCAL, HERE, ("Content-Encoding", "identity")).status == 200
    for coding in ("gzip", "br", "identity, gzip", "deflate"):
        assert asked(LOCAL, HERE, ("Content-Encoding", coding)).status == 415


def test_total_size_of_bodies_is_limited() -> None:
    middleware = SecurityMiddleware(inner, LOOPBACK, max_body=100, max_bodies=150)
    middleware.n_bytes_held = 100  # another body
    refused = asked(middleware, HERE, pieces=[b"x" * 40, b"x" * 40])
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert middleware.n_bytes_held == 100
    assert asked(middleware, HERE, pieces=[b"x" * 40]).status == 200
    assert middleware.n_bytes_held == 100


def test_body_must_arrive_in_time() -> None:
    """Each limit alone, next to one that no machine is slow enough to reach."""
    patient = SecurityMiddleware(inner, LOOPBACK, max_pause_s=600, max_duration_s=600)
    assert asked(patient, HERE, pieces=[b"x"] * 3, delay=0.01).status == 200
    pauses = SecurityMiddleware(inner, LOOPBACK, max_pause_s=0.1, max_duration_s=600)
    assert asked(pauses, HERE, pieces=[b"x"], delay=30).status == 408
    whole = SecurityMiddleware(inner, LOOPBACK, max_pause_s=600, max_duration_s=0.3)
    assert asked(whole, HERE, pieces=[b"x"] * 1000, delay=0.05).status == 408  # each part in time, the body too late


# --- the same through the application


def test_too_large_chunked_body_is_413(client: TestClient) -> None:
    """FastAPI turns errors while reading a body into a 400, unless they are an HTTPException."""

    def chunks(size: int) -> Any:
        yield from (b" " * (1 << 19) for _ in range(size >> 19))

    for path, most in (("/api/images", MAX_UPLOAD), ("/api/explain", MAX_UPLOAD // 3 * 4)):
        refused = client.post(path, content=chunks(most + (2 << 20)))
        assert (refused.status_code, refused.json()["kind"]) == (413, "Refused")
        assert refused.headers["connection"] == "close"
        assert HEADERS.items() <= dict(refused.headers).items()
    assert "25 MB" in refused.json()["detail"]
    small = client.post("/api/start", content=chunks(2 * MAX_BODY))
    assert small.status_code in (405, 413)


HOSTILE = {
    "no JSON": b"{",
    "empty": b"",
    "a number": b"1",
    "null": b"null",
    "a list": b"[]",
    "not UTF-8": b'{"image": "\xff\xfe"}',
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "a huge number": b'{"image": "s1", "options": {"n": ' + b"9" * 100_000 + b"}}",
    "a large option": b'{"image": "s1", "methods": ["rise"], "options": {"n": ' + b"9" * 400 + b"}}",
    "a large number": b'{"image": "s1", "layers": [' + b"9" * 4000 + b"]}",
    "a large class": b'{"image": "s1", "targets": [' + b"9" * 4000 + b"]}",
    "a negative class": b'{"image": "s1", "targets": [-' + b"9" * 300 + b"]}",
    "a class between": b'{"image": "s1", "targets": [0.5]}',
    "NaN": b'{"image": "s1", "methods": ["smooth_grad"], "options": {"noise": NaN}}',
    "Infinity": b'{"image": "s1", "methods": ["smooth_grad"], "options": {"noise": Infinity}}',
    "overflow": b'{"image": "s1", "methods": ["smooth_grad"], "options": {"noise": 1e999}}',
    "half a letter": b'{"image": "s1", "targets": ["\\ud800"]}',
    "half a letter as a method": b'{"image": "s1", "methods": ["\\udfff("]}',
    "half a letter as a name": b'{"image": "s1", "\\ud800": 1}',
    "half a letter as an option": b'{"image": "s1", "options": {"\\ud800": 1}}',
    "half a letter as an id": b'{"image": "\\ud800"}',
    "a zero byte": b'{"image": "s1", "layers": ["a\\u0000b"]}',
    "a zero byte as a method": b'{"image": "s1", "methods": ["\\u0000(x)"]}',
    "a path": b'{"image": "/etc/passwd"}',
    "a path as a model": b'{"image": "s1", "model": "../../../etc/passwd"}',
    "code as a model": b'{"image": "s1", "model": "python:os:getcwd"}',
    "code as a method": b'{"image": "s1", "methods": ["__import__(\'os\').getcwd()"]}',
    "a sample that is none": b'{"image": "s999999999999"}',
    "many methods": b'{"image": "s1", "methods": [' + b'"grad_cam",' * 16 + b'"cam"]}',
    "both": b'{"image": "s1", "image": ""}',
    "no base64": b'{"image_base64": "\xc3\xa4"}',
    "an empty image": b'{"image_base64": ""}',
    "an unknown field": b'{"image": "s1", "path": "/etc/passwd"}',
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_json_is_refused(what: str, client: TestClient) -> None:
    refused = client.post("/api/explain", content=HOSTILE[what], headers={"content-type": "application/json"})
    assert refused.status_code in (400, 404, 422), refused.text
    failure = refused.json()
    assert failure.keys() == {"kind", "detail"}
    assert failure["detail"]
    assert "Traceback" not in refused.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_only_json_is_read_as_json(kind: str, client: TestClient) -> None:
    """A form on another site can send such a request without a preflight."""
    refused = client.post("/api/explain", content=b'{"image": "s1"}', headers={"content-type": kind})
    assert refused.status_code == 422
