"""The files of the build, and the first state of the page inside index.html."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from camlucida.app.front_end import FrontEnd, with_start
from camlucida.errors import ModelError

INDEX = "<!doctype html><html><head><title>page</title></head><body></body></html>"


def start_in(html: str) -> object:
    """Return what a browser reads of the first state: the text of its element, up to the first closing tag."""
    found = re.search(r'<script type="application/json" id="start">(.*?)</script', html, re.S)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a build, and a file beside it that is not part of the build."""
    build = tmp_path / "static"
    build.mkdir()
    (build / "index.html").write_text(INDEX)
    (build / "app.js").write_text("run();")
    (build / "notes.md").write_text("not part of the page")
    (tmp_path / "secret.js").write_text("secret")
    (build / "link.js").symlink_to(tmp_path / "secret.js")
    return build


def test_page_contains_the_start(client: TestClient) -> None:
    assert start_in(client.get("/").text) == client.get("/api/start").json()


def test_names_cannot_end_the_start_element() -> None:
    start = json.dumps({"labels": ["</script><script>alert(1)</script>", "<!--", "a & b"]})
    page = with_start(INDEX.encode(), start).decode()
    assert start_in(page) == json.loads(start)
    assert page.count("<script") == page.count("</script") == 1
    assert "<!--" not in page


def test_failing_start_is_left_to_the_page(folder: Path) -> None:
    def start() -> str:
        raise ModelError("the network does not run")

    assert TestClient(FrontEnd(folder, start)).get("/").text == INDEX


def test_only_files_of_the_build_are_served(folder: Path) -> None:
    client = TestClient(FrontEnd(folder, lambda: "{}"), raise_server_exceptions=False)
    script = client.get("/app.js")
    assert (script.text, script.headers["content-type"]) == ("run();", "text/javascript; charset=utf-8")
    for path in (
        "/notes.md",
        "/link.js",
        "/none.js",
        "/%2e%2e/secret.js",
        "/..%2fsecret.js",
        "/a%00.js",
        "/static/app.js",
    ):
        assert "secret" not in client.get(path).text, path
        assert client.get(path).status_code != 200, path


def test_changed_files_are_read_again(folder: Path) -> None:
    client = TestClient(FrontEnd(folder, lambda: "{}"))
    first = client.get("/app.js")
    tag = {"if-none-match": first.headers["etag"]}
    assert first.headers["cache-control"] == "no-cache"
    assert client.get("/app.js", headers=tag).status_code == 304
    (folder / "app.js").write_text("stop();")
    os.utime(folder / "app.js", (1, 1))
    assert client.get("/app.js", headers=tag).text == "stop();"


def test_unknown_paths_and_methods_of_the_page(client: TestClient) -> None:
    assert client.head("/").headers["content-type"].startswith("text/html")
    assert client.get("/none.js").status_code == 404
    assert client.get("/static/app.js").status_code == 404
    assert client.post("/").status_code == 405
