"""How long the page takes: to open, and from a click to the picture beside the model's own time.

    python benchmarks/page.py [--clicks 40] [--model toybox] [--other ../older/src --rounds 3]

A real headless Chromium against a server in a process of its own, both on this machine. Every click asks for a map
that was not asked before (picture by picture, class by class); from it to the first frame with the new map is measured
in the browser, and what the network and the method took is in the answer. Results in results/page.json.

With `--other`, the page of another version is measured in turns with this one, and the medians over all rounds are
printed side by side: what a change does to a click is less than what another hour does to this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright

from interleaved import machine

RESULTS = Path(__file__).parent / "results" / "page.json"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
CLICK = """
async (button) => {
  const panel = document.querySelector('.explain-tab');
  const before = panel.dataset.drawn;
  const began = performance.now();
  button.click();
  await new Promise((done) => {
    // The end of the frame in which the map is drawn: canvases may be painted in a callback of that frame.
    const look = () => (panel.dataset.drawn !== before ? setTimeout(done) : requestAnimationFrame(look));
    requestAnimationFrame(look);
  });
  return performance.now() - began;
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--model", default="toybox")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--other", default="", help="the folder src of another version")
    parser.add_argument("--rounds", type=int, default=3, help="with --other: how often each version is measured")
    arguments = parser.parse_args()
    if arguments.other:
        versions = {"this": str(Path(__file__).parents[1] / "src"), "other": arguments.other}
        rounds = [
            {name: of_version(source, arguments) for name, source in versions.items()} for _ in range(arguments.rounds)
        ]
        for what in rounds[0]["this"]:
            medians = {name: statistics.median(one[name][what] for one in rounds) for name in versions}
            print(f"{what}: " + ", ".join(f"{name} {value:.1f}" for name, value in medians.items()))
        return
    found = of_version("", arguments)
    print(json.dumps(found, indent=2))
    RESULTS.write_text(json.dumps({"machine": machine(), "model": arguments.model, **found}, indent=2) + "\n")


def of_version(source: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All times of one version; of the installed one without a folder."""
    program = Path(sys.executable).with_name("camlucida")
    server = subprocess.Popen(
        [str(program), "app", "--model", arguments.model, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source} if source else None,
    )
    try:
        assert server.stdout is not None
        address = next(line.split()[1] for line in server.stdout if line.startswith("→"))
        time.sleep(1)
        return measured(address, arguments.clicks, arguments.seed)
    finally:
        server.terminate()


def measured(address: str, clicks: int, seed: int) -> dict[str, Any]:
    """All times in milliseconds."""
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium") or "/usr/bin/chromium", args=FLAGS)
        opened = []
        for _ in range(5):
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            page = context.new_page()
            began = time.perf_counter()
            page.goto(f"{address}#explain?seed={seed}")
            page.wait_for_selector("html[data-ready]")
            usable = 1000 * (time.perf_counter() - began)
            page.wait_for_selector(".explain-tab[data-drawn]")
            opened.append((usable, 1000 * (time.perf_counter() - began)))
            context.close()
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        seconds: list[float] = []
        page.on("response", lambda r: seconds.extend(_model(r)) if r.url.endswith("/api/explain") else None)
        page.goto(f"{address}#explain?seed={seed + 1}")
        page.wait_for_selector(".explain-tab[data-drawn]")
        page.wait_for_load_state("networkidle")
        whole, beside, model = [], [], []
        while len(whole) < clicks:
            for kind in (".explain-tab .tile", ".explain-tab .guess"):
                for which in range(page.locator(kind).count()):
                    button = page.locator(kind).nth(which)
                    if (
                        button.get_attribute("aria-selected") == "true"
                        or button.get_attribute("aria-pressed") == "true"
                    ):
                        continue
                    page.wait_for_load_state("networkidle")
                    seconds.clear()
                    took = page.evaluate(CLICK, button.element_handle())
                    page.wait_for_load_state("networkidle")
                    if not seconds:
                        continue  # asked before
                    whole.append(took)
                    model.append(1000 * seconds[0])
                    beside.append(took - 1000 * seconds[0])
            page.get_by_text("Shuffle").click()
            page.wait_for_load_state("networkidle")
        browser.close()
    return {
        "open, usable": statistics.median(usable for usable, _ in opened),
        "open, first map drawn": statistics.median(drawn for _, drawn in opened),
        "clicks": len(whole),
        "click to picture": statistics.median(whole),
        "of it the model": statistics.median(model),
        "beside the model, median": statistics.median(beside),
        "beside the model, 95 %": sorted(beside)[int(0.95 * len(beside))],
    }


def _model(response: Any) -> list[float]:
    """What the network and the method took, as the answer says; nothing where the page no longer wanted it."""
    try:
        return [float(response.json()["seconds"])]
    except (Error, ValueError, KeyError):
        return []


if __name__ == "__main__":
    main()
