"""The app in headless Chromium. `make test-app` installs the requirements; without them the tests are skipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from camlucida.app.app_state import Page
from camlucida.app.server import listen, server
from camlucida.data.open import open_dataset
from camlucida.models.load import load

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 1000 * int(os.environ.get("CAMLUCIDA_PATIENCE_S", "15"))
"""Milliseconds that a test waits for the page; more on a machine that is shared."""


@contextlib.contextmanager
def served(page: Page) -> Iterator[str]:
    """Serve the app on a free port, as `camlucida app` does; yield its URL."""
    listening = listen("127.0.0.1", 0)
    running = server(page)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture(scope="session")
def serving() -> Callable[[Page], contextlib.AbstractContextManager[str]]:
    """Return the server for tests that need their own app."""
    return served


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Page]]:
    """One server for all browser tests: the four built-in networks, 60 scenes, a folder for a study."""
    models = [load(name) for name in ("toybox", "toybox:vgg", "toybox:vit", "toybox:cleverhans")]
    page = Page(models, open_dataset("toybox", count=60), (), tmp_path_factory.mktemp("site") / "study")
    with served(page) as address:
        yield address, page


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Page], str]]:
    """Serve another app until the end of the tests; return its URL."""
    with contextlib.ExitStack() as stack:
        yield lambda page: stack.enter_context(served(page))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; each test has a context of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: `make test-app` installs it")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium: `make test-app` installs it")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any, site: tuple[str, Page]) -> Iterator[Any]:
    """Return a function that opens a URL fragment ("#explain?image=s3"), with keywords of `browser.new_context`.

    Fails the test on any error in the console, and on any request to another host. `requests_seen` of the page are the
    paths that were requested.
    """
    address, _ = site
    opened: list[Any] = []
    wrong: list[str] = []

    def open_(where: str = "", **context: Any) -> Any:
        made = chromium.new_context(viewport=context.pop("viewport", WIDE), **context)
        page = made.new_page()
        page.set_default_timeout(PATIENCE)
        page.requests_seen = []

        def noted(asked: Any) -> None:
            if asked.url.startswith(address):
                page.requests_seen.append(asked.url.removeprefix(address))
            elif not asked.url.startswith(("blob:", "data:")):
                wrong.append(f"asked another host: {asked.url}")

        page.on("request", noted)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "console", lambda said: said.type == "error" and _serious(said) and wrong.append(f"console: {said.text}")
        )
        page.goto(f"{address}/{where}")
        page.wait_for_selector("html[data-ready]")
        opened.append(made)
        return page

    yield open_
    for made in opened:
        made.close()
    if wrong:
        pytest.fail("; ".join(dict.fromkeys(wrong)))


def _serious(said: Any) -> bool:
    """Chromium logs every response that is not 2xx; some tests produce these."""
    return not said.text.startswith("Failed to load resource")


@pytest.fixture
def image_file(tmp_path: Path) -> Callable[..., Path]:
    """A file of a drawn scene, or of given bytes, to be uploaded."""

    def make(name: str = "cat.png", content: bytes | None = None, size: int = 320, **scene: Any) -> Path:
        from camlucida.data import toybox

        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        else:
            toybox.scene(seed=4, kinds=["cat", "dog"], objects=2, size=size, **scene).picture().save(file)
        return file

    return make


@pytest.fixture
def screenshot() -> Callable[[Any, str], None]:
    """Save a screenshot to the folder in CAMLUCIDA_SCREENSHOTS, if it is set."""
    folder = os.environ.get("CAMLUCIDA_SCREENSHOTS")

    def take(page: Any, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)

    return take
