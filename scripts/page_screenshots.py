"""Screenshots of every tab of the page: three widths, light and dark, empty, working, finished and failed.

    python scripts/page_screenshots.py OUT [--only explain,dataset] [--width 390]

The app runs in this process with built-in networks and scenes. "working" and "failed" are states of the same page whose
requests are held back, or answered with an error, in the browser. The files are named tab-state-width-theme.png; they
are looked at, and not committed. Needs playwright and Chromium (`make test-app`).
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright

from camlucida.app.app_state import Page
from camlucida.app.server import listen, server
from camlucida.data.open import open_dataset
from camlucida.models.load import load

TABS = {
    "explain": ("explain?image=s3", ".explain-tab[data-drawn]", "**/api/explain"),
    "compare": ("compare?image=s3", ".compare-tab[data-drawn]", "**/api/compare*"),
    "trust": ("trust?image=s3", ".verdict[data-level]", "**/api/trust"),
    "activations": ("activations?image=s3", ".activations-tab[data-drawn]", "**/api/channels*"),
    "dataset": ("dataset", ".scatter[data-drawn]", "**/api/dataset/**"),
    "confusion": ("dataset?dataset.part=confusion", ".confusion[data-drawn][data-told]", "**/api/dataset/confusion*"),
    "errors": ("dataset?dataset.part=errors", ".errors[data-drawn]", "**/api/dataset/errors*"),
    "study": ("study", ".study-tab[data-drawn]", "**/api/study"),
}
"""The address of each view, what is there when it is finished, and the requests that it waits for."""
STATES = ("finished", "working", "failed", "empty")
WIDTHS = {1440: 900, 1024: 768, 390: 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FAILURE = '{"kind": "Fault", "detail": "The server failed; the details are in the terminal where it was started."}'
PATIENCE_MS = 90_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default=",".join(TABS), help="views, separated by commas")
    parser.add_argument("--states", default=",".join(STATES), help="states, separated by commas")
    parser.add_argument("--width", type=int, default=0, help="one width; all of them if not given")
    parser.add_argument("--scenes", type=int, default=60)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with _app(arguments.scenes) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for state in arguments.states.split(","):
            for name in arguments.only.split(","):
                for width in [arguments.width] if arguments.width else WIDTHS:
                    _take(browser, address, name, state, width, arguments.out)
        browser.close()


def _take(browser: Any, address: str, name: str, state: str, width: int, out: Path) -> None:
    """Take the screenshots of one view in one state and width, light and dark."""
    where, finished, requests = TABS[name]
    context = browser.new_context(viewport={"width": width, "height": WIDTHS[width]}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    if state == "working":
        page.route(requests, lambda route: None)
    elif state == "failed":
        page.route(requests, lambda route: route.fulfill(status=500, content_type="application/json", body=FAILURE))
    elif state == "empty":
        page.route("**/api/samples*", lambda route: None)
        page.route("**/api/dataset/runs", lambda route: route.fulfill(json={"runs": [], "audits": []}))
        page.route("**/api/dataset/analyse", lambda route: None)
        page.route("**/api/study", lambda route: route.fulfill(json={"study": None, "can_be_created": False}))
        where = where.partition("?")[0] if "dataset." not in where else where
    page.goto(f"{address}/#{where}")
    page.wait_for_selector("html[data-ready]")
    if name == "trust" and state != "empty":
        # Tests that are quick on this machine have started by themselves.
        page.wait_for_selector(".start button:visible, .task progress:visible, .trouble:visible, .verdict[data-level]")
        if (start := page.get_by_role("button", name="Run tests")).count():
            start.click()
    with contextlib.suppress(Error):  # a screenshot of what is there is more useful than none
        if state == "finished":
            page.wait_for_selector(finished)
        page.wait_for_load_state("networkidle", timeout=10_000)
    page.wait_for_timeout(300)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.wait_for_timeout(150)
        page.screenshot(path=str(out / f"{name}-{state}-{width}-{theme}.png"), full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    print(f"{name} {state} {width}" + (f": {wide} px wider than the window" if wide > 0 else ""), flush=True)
    context.close()


@contextlib.contextmanager
def _app(n_scenes: int) -> Iterator[str]:
    """Serve the app with two networks, scenes, an analysis of them, and a folder for a study."""
    models = [load(name) for name in ("toybox", "toybox:vgg", "toybox:permuted")]  # the last one makes errors
    with tempfile.TemporaryDirectory() as folder:
        page = Page(models, open_dataset("toybox", count=n_scenes), (), Path(folder) / "study")
        page.warm()
        page.analysis_runs.analyse(page.model(models[-1].name), n_scenes, 0, True, lambda done, total: None)
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


if __name__ == "__main__":
    main()
