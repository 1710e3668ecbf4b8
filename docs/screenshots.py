"""Render the screenshots of docs/app.md: the app on toybox scenes, in Chromium.

    CHROMIUM=/usr/bin/chromium python docs/screenshots.py

Requires playwright and the built front end (`make front`). Takes a few minutes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from camlucida import embed
from camlucida.app.app_state import Page
from camlucida.app.server import listen, server
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.models.load import load

IMAGES = Path(__file__).resolve().parent / "images"
TABS = {"look": "Explain", "compare": "Compare", "doubt": "Trust", "dataset": "Data set"}
"""The name of each image and the tab that it shows."""
VIEWPORT, SCALE = {"width": 1400, "height": 1000}, 0.8
SETTLE_MS, TIMEOUT_MS = 6000, 60_000
"""Time after opening a tab until its maps are drawn, and maximum time for tests and for reading the run."""


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed. Install it, or set CHROMIUM to its path.")
    data = ToyboxDataset(Toybox(500, seed=0, objects=2))
    with tempfile.TemporaryDirectory() as folder:
        run = embed("toybox", data, out=Path(folder) / "embedding").path
        socket = listen("127.0.0.1", 0)
        app = server(Page([load("toybox")], data, (run,), Path(folder) / "study"))
        thread = threading.Thread(target=app.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        while not app.started:
            time.sleep(0.01)
        try:
            save_screenshots(f"http://127.0.0.1:{socket.getsockname()[1]}", chromium)
        finally:
            app.should_exit = True
            thread.join(10)
            socket.close()


def save_screenshots(url: str, chromium: str) -> None:
    """Open every tab and save its screenshot."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=VIEWPORT, device_scale_factor=SCALE)
        page.goto(url)
        page.wait_for_timeout(SETTLE_MS)
        for name, tab in TABS.items():
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_timeout(SETTLE_MS)
            if (run_tests := page.get_by_role("button", name="Run tests")).is_visible():
                run_tests.click()
                page.get_by_text("p = ").first.wait_for(timeout=TIMEOUT_MS)
                page.wait_for_timeout(SETTLE_MS)
            if name == "dataset":
                page.get_by_text("nearest neighbour").first.wait_for(timeout=TIMEOUT_MS)
            page.screenshot(path=IMAGES / f"app-{name}.jpg", type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main()
