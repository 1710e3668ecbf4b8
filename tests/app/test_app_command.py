"""Starting and stopping `camlucida app`."""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from camlucida.cli import main

pytestmark = pytest.mark.usefixtures("interruptible")
SMALL = ("--model", "toybox", "--limit", "4")


PATIENCE = 300.0
"""Seconds after which something counts as never happening; no test waits that long on any machine if all is well."""


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Return a function that runs the command in an empty folder, for calls that end before serving."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAMLUCIDA_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as stopped:
            main(["app", *arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Result(int(stopped.value.code or 0), out, err)

    return call


class Started(NamedTuple):
    process: subprocess.Popen[str]
    address: str
    lines: list[str]

    def get(self, path: str = "", **headers: str) -> Any:
        plain = self.address.partition("?")[0]
        return urllib.request.urlopen(urllib.request.Request(plain + path, headers=headers), timeout=PATIENCE)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Send a signal and wait until the process has ended."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE)


@contextmanager
def started(tmp_path: Path, *arguments: str) -> Iterator[Started]:
    """Run the command in its own process; yield it when it has printed how to stop it."""
    command = [sys.executable, "-m", "camlucida", "app", *SMALL, "--port", "0", *arguments]
    environment = {**os.environ, "CAMLUCIDA_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        (address,) = [line.removeprefix("→ ") for line in lines if line.startswith("→")]
        yield Started(process, address, lines)
    finally:
        process.kill()
        process.communicate()


def test_app_prints_url_responds_and_stops(tmp_path: Path) -> None:
    with started(tmp_path) as page:
        assert page.lines[0] == "toybox · toybox, 4 images"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", page.address)
        assert len(page.lines) == 3
        assert b"<html" in page.get().read()
        assert json.load(page.get("api/start"))["models"][0]["name"] == "toybox"
        page.stop()
        assert page.process.returncode == 130
        out, err = page.process.communicate()
        assert (out, err.strip()) == ("", "camlucida: stopped.")
    assert list(tmp_path.iterdir()) == []


def test_app_stops_during_jobs(tmp_path: Path) -> None:
    """Two jobs run and two wait, with and without a stream."""
    with started(tmp_path) as page:
        question = {"image": "s1", "methods": ["rise"], "options": {"n": 4000}, "targets": ["top5"]}

        def ask(accept: str) -> HTTPConnection:
            connection = HTTPConnection("127.0.0.1", urlsplit(page.address).port or 0, timeout=PATIENCE)
            headers = {"content-type": "application/json", "accept": accept}
            connection.request("POST", "/api/explain", json.dumps(question), headers)
            return connection

        streamed = ask("text/event-stream")
        response = streamed.getresponse()
        while b"event: progress" not in response.readline():
            pass
        waiting = [ask("*/*"), ask("text/event-stream"), ask("*/*")]
        page.get("api/start").read()  # answered after the others have arrived
        page.stop()
        assert b"Stopped." in response.read()
        assert page.process.returncode == 130
        out, err = page.process.communicate()
        assert (out, err.strip()) == ("", "camlucida: stopped.")
        for connection in (streamed, *waiting):
            connection.close()


def test_app_ends_silently_on_sigterm(tmp_path: Path) -> None:
    with started(tmp_path) as page:
        page.stop(signal.SIGTERM)
        assert page.process.returncode in (0, -signal.SIGTERM)
        assert page.process.communicate() == ("", "")


def test_other_hosts_need_a_token_that_is_printed_once(tmp_path: Path) -> None:
    with started(tmp_path, "--host", "0.0.0.0") as page:
        port, token = re.fullmatch(r"http://[^/]+:(\d+)/\?token=([\w-]{32})", page.address).groups()  # type: ignore[union-attr]
        assert "\n".join(page.lines).count(token) == 1
        assert "Anyone who can connect to this machine and has this address can use the app" in page.lines[2]
        here = page._replace(address=f"http://127.0.0.1:{port}/")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            here.get("api/start")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            here.get("api/start", authorization="Bearer guess")
        assert here.get("api/start", authorization=f"Bearer {token}").status == 200
        assert here.get("api/start", authorization=f"Bearer {token}", host=f"workstation:{port}").status == 200
        opened = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        arrived = opened.open(f"http://127.0.0.1:{port}/?token={token}", timeout=PATIENCE)
        assert (arrived.status, arrived.geturl()) == (200, f"http://127.0.0.1:{port}/")
        assert opened.open(f"http://127.0.0.1:{port}/api/start", timeout=PATIENCE).status == 200
        page.stop()
        assert token not in page.process.communicate()[1]


def test_a_port_in_use(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded before the port was tried")

    monkeypatch.setattr("camlucida.models.load.load", loaded)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, out, err = run(*SMALL, "--port", str(port))
    assert (code, out) == (2, "")
    assert err == f"camlucida: port {port} of 127.0.0.1 is in use. Pass another --port, or 0 for any free port.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "70000"), "--port 70000 is not a port: pass a number from 0 (any free port) to 65535."),
        (("--port", "0", "--model", "toybo"), "unknown model 'toybo'. Did you mean 'toybox'?"),
        (("--port", "0", "--model", "weights.pth"), "weights.pth"),
        (("--port", "0", "--model", "toybox", "--data", "nowhere"), "no file 'nowhere'"),
        (("--port", "0", "--model", "toybox", "--data", "empty"), "no images in"),
        (("--port", "0", "--run", "nowhere"), "--run nowhere: no such folder."),
        (("--port", "0", "--limit", "-1"), "-1"),
    ],
)
def test_usage_errors_are_one_line(arguments: tuple[str, ...], message: str, run: Callable[..., Result]) -> None:
    Path("empty").mkdir()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.network
def test_unknown_host(run: Callable[..., Result]) -> None:
    code, _, err = run(*SMALL, "--host", "no such host")
    assert code == 2
    assert err == "camlucida: the host 'no such host' cannot be resolved. Pass an address of this machine as --host.\n"


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_missing_package_names_the_extra(
    package: str, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return plain(name, *rest, **more)

    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(builtins, "__import__", without)
    code, _, err = run(*SMALL)
    assert code == 2
    assert err == f"camlucida: the page needs the package {package}. Install it with: pip install 'camlucida[web]'\n"


def served(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[str]]:
    """Replace the server and the browser; return the served apps and the opened URLs."""
    pages: list[Any] = []
    opened: list[str] = []

    class Instead:
        def __init__(self, page: Any, **how: Any) -> None:
            pages.append(page)

        def run(self, sockets: Any) -> None:
            pass

    monkeypatch.setattr("camlucida.app.server.server", Instead)
    monkeypatch.setattr("webbrowser.open", opened.append)
    return pages, opened


def test_browser_is_opened_on_request(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    _, opened = served(monkeypatch)
    assert run(*SMALL, "--port", "0").code == 0
    assert opened == []
    _, out, _ = run(*SMALL, "--port", "0", "--browser")
    (address,) = opened
    assert f"→ {address}" in out


def test_folder_of_unreadable_images_is_served(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """The app displays the error of each image."""
    pages, _ = served(monkeypatch)
    Path("photos").mkdir()
    Path("photos/broken.jpg").write_text("no image")
    code, out, _ = run("--port", "0", "--model", "toybox", "--data", "photos")
    assert (code, out.splitlines()[0]) == (0, "toybox · photos, 1 image")
    assert [layer.name for layer in pages[0].model(None).layers] == ["layer1", "layer2", "layer3", "layer4"]


def test_duplicate_model_is_served_once(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    pages, _ = served(monkeypatch)
    assert run("--port", "0", "--model", "toybox", "--model", "toybox", "--limit", "4").code == 0
    assert [model.name for model in pages[0].models] == ["toybox"]


def test_default_models_are_the_built_in_ones(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch)
    _, out, _ = run("--port", "0", "--limit", "2")
    assert out.splitlines()[0] == "toybox, toybox:vgg, toybox:vit, toybox:cleverhans · toybox, 2 images"
