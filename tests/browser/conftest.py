"""The app in headless Chromium. `make test-app` installs the requirements; without them the tests are skipped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
WCAG_21 = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
WCAG_22 = (*WCAG_21, "wcag22aa")
"""Tags of the rules of axe-core."""
MEDIA = {"color_scheme": "light", "reduced_motion": "no-preference"}
"""Options of a context that a page can change, and their defaults."""
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 1000 * int(os.environ.get("CAMLUCIDA_PATIENCE_S", "60"))
"""Milliseconds that a test waits for the page: far more than it takes on a slow machine, since only failures wait."""
REFERENCE_MS = 50
"""Milliseconds that `REFERENCE_WORK` takes on an idle core of the machine on which limits of time were chosen."""
REFERENCE_WORK = """() => {
  const before = performance.now();
  const rows = Array.from({ length: 60000 }, (_, i) => ({ i, value: (i * 7919) % 60013 }));
  rows.sort((a, b) => a.value - b.value);
  JSON.parse(JSON.stringify(rows));
  return performance.now() - before;
}"""


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
        playwright.expect.set_options(timeout=PATIENCE)
        browser = p.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class BrowserPages:
    """Pages of the browser that later tests use again: a new renderer process costs as much as all that a test does.

    Every page has a context of its own. Between two tests it loads the server's icon, so that no script of the app
    runs, and what the app stored is deleted; a test that opens the app gets a new document in the same process.
    """

    MAX_IDLE = 4
    """Pages that wait for another test; those that waited longest are closed."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._idle: list[tuple[str, Any]] = []

    def take(self, viewport: dict[str, int], **context: Any) -> Any:
        """Return an empty page whose context has these options of `browser.new_context`."""
        media = {key: context.pop(key, default) for key, default in MEDIA.items()}
        key = json.dumps(context, sort_keys=True)
        for i, (options, page) in enumerate(self._idle):
            if options == key:
                del self._idle[i]
                page.set_viewport_size(viewport)
                page.emulate_media(**media)
                return page
        return self._browser.new_context(viewport=viewport, **media, **context).new_page()

    def put_back(self, page: Any, address: str, context: dict[str, Any]) -> None:
        """Reset a page; one that cannot be reset is closed."""
        playwright = pytest.importorskip("playwright.sync_api")
        owner = page.context
        try:
            page.unroute_all(behavior="ignoreErrors")
            owner.unroute_all(behavior="ignoreErrors")
            if len(owner.pages) != 1 or page.is_closed():
                raise playwright.Error("the test opened or closed a page")
            page.goto(f"{address}/icon.svg")
            page.evaluate("localStorage.clear(); sessionStorage.clear()")
            page.mouse.move(0, 0)
        except playwright.Error:
            owner.close()
            return
        fixed = {key: value for key, value in context.items() if key not in ("viewport", *MEDIA)}
        self._idle.append((json.dumps(fixed, sort_keys=True), page))
        while len(self._idle) > self.MAX_IDLE:
            self._idle.pop(0)[1].context.close()


@pytest.fixture(scope="session")
def browser_pages(chromium: Any) -> BrowserPages:
    return BrowserPages(chromium)


@pytest.fixture
def app_page(browser_pages: BrowserPages) -> Iterator[Callable[..., Any]]:
    """Return a function that returns a page for an app at an address, with keywords of `browser.new_context`.

    The page is empty. `listeners` are the functions that are called at events of the page until the end of the test.
    """
    taken: list[tuple[Any, str, dict[str, Any], dict[str, Any]]] = []

    def take(address: str, listeners: dict[str, Callable[[Any], Any]], **context: Any) -> Any:
        context = {"viewport": WIDE} | context
        page = browser_pages.take(**context)
        page.set_default_timeout(PATIENCE)
        for event, listener in listeners.items():
            page.on(event, listener)
        taken.append((page, address, context, listeners))
        return page

    yield take
    for page, address, context, listeners in taken:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        browser_pages.put_back(page, address, context)


@pytest.fixture(scope="session")
def violations() -> Callable[..., list[str]]:
    """Return a function that lists what axe-core finds wrong on a page: the rule, and the first elements.

    `tags` of rules default to those of WCAG 2.2 A and AA; or `rules` are run by name; without both, all rules are.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="`make test-app` installs it")
    script = Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8")

    def run(page: Any, tags: Sequence[str] = WCAG_22, rules: Sequence[str] = ()) -> list[str]:
        if not page.evaluate("'axe' in window"):
            page.evaluate(script)
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules or tags:
            options["runOnly"] = {"type": "rule", "values": list(rules)} if rules else list(tags)
        found = page.evaluate(
            """async (options) => (await axe.run(options)).violations.map(({ id, help, nodes }) =>
                 [id, help, nodes.slice(0, 4).map((node) => `${node.target} ${node.html.slice(0, 160)}`)])""",
            options,
        )
        return [f"{rule}: {text}: {node}" for rule, text, nodes in found for node in nodes or [""]]

    return run


@pytest.fixture(scope="session")
def slowness() -> Callable[[Any], float]:
    """Return a function that returns how much slower a page is now than on an idle core of the reference machine.

    Tests that are about speed divide by it, so that they do not depend on the machine, or on what else it does.
    """
    return lambda page: max(1.0, page.evaluate(REFERENCE_WORK) / REFERENCE_MS)


def best_of(measure: Callable[[], float], limit: float, attempts: int = 8) -> float:
    """Return the first measurement below a limit, or the least: what else the machine does only adds to them."""
    least = float("inf")
    for _ in range(attempts):
        least = min(least, measure())
        if least < limit:
            break
    return least


@pytest.fixture
def tab(app_page: Callable[..., Any], site: tuple[str, Page]) -> Iterator[Any]:
    """Return a function that opens a URL fragment ("#explain?image=s3"), with keywords of `browser.new_context`.

    Fails the test on any error in the console, and on any request to another host. `requests_seen` of the page are the
    paths that were requested.
    """
    address, _ = site
    wrong: list[str] = []

    def open_(where: str = "", **context: Any) -> Any:
        requests_seen: list[str] = []

        def noted(asked: Any) -> None:
            if asked.url.startswith(address):
                requests_seen.append(asked.url.removeprefix(address))
            elif not asked.url.startswith(("blob:", "data:")):
                wrong.append(f"asked another host: {asked.url}")

        page = app_page(
            address,
            {
                "request": noted,
                "pageerror": lambda error: wrong.append(f"error: {error}"),
                "console": lambda said: (
                    said.type == "error" and _serious(said) and wrong.append(f"console: {said.text}")
                ),
            },
            **context,
        )
        page.requests_seen = requests_seen
        page.goto(f"{address}/{where}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_
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
