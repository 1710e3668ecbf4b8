"""How long the page takes: to open, and from a click to the picture beside the model's own time.

    python benchmarks/page.py [--clicks 40] [--model toybox]
    python benchmarks/page.py --vs ../before/src [--rounds 12]    # opening only, in turns with another version

A real headless Chromium against a server in a process of its own, both on this machine. Every click asks for a map
that was not asked before (picture by picture, class by class); from it to the first frame with the new map is measured
in the browser, and what the network and the method took is in the answer. Results in results/page.json.

With --vs the pages of two versions are opened in turns, and only medians and ratios are printed: of wall time, and of
CPU time of the server and the renderer, which hardly moves when others use the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright

from interleaved import machine

RESULTS = Path(__file__).parent / "results" / "page.json"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
NOTE_OPENING = """
// When a selector first matches, by the clock of the system: a driver that asks the page again and again waits for its
// main thread, which has other work by then.
window.opening = {};
const watched = { usable: 'html[data-ready]', drawn: '.explain-tab[data-drawn]' };
new MutationObserver((_, observer) => {
  for (const [name, selector] of Object.entries(watched))
    if (!(name in window.opening) && document.querySelector(selector))
      window.opening[name] = performance.timeOrigin + performance.now();
  if ('usable' in window.opening && 'drawn' in window.opening) observer.disconnect();
}).observe(document, { attributes: true, childList: true, subtree: true });
"""
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
    parser.add_argument("--vs", type=Path, help="the folder src of another version")
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    if arguments.vs:
        versions = {"before": arguments.vs, "now": Path(__file__).parents[1] / "src"}
        print(json.dumps(ratios_of_openings(versions, arguments.model, arguments.rounds, arguments.seed), indent=2))
        return
    with served(arguments.model) as (address, process):
        found = measured(address, process, arguments.clicks, arguments.seed)
    print(json.dumps(found, indent=2))
    RESULTS.write_text(json.dumps({"machine": machine(), "model": arguments.model, **found}, indent=2) + "\n")


@contextlib.contextmanager
def served(model: str, source: Path | None = None) -> Iterator[tuple[str, int]]:
    """Serve the app in a process of its own; yield its address and the id of the process."""
    environment = {**os.environ, "PYTHONPATH": str(source.resolve())} if source else None
    line = [sys.executable, "-c", "from camlucida.cli import main; main()", "app", "--model", model, "--port", "0"]
    server = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stdout is not None
        address = next(line.split()[1] for line in server.stdout if line.startswith("→"))
        time.sleep(1)
        yield address, server.pid
    finally:
        server.terminate()


def ratios_of_openings(versions: dict[str, Path], model: str, rounds: int, seed: int) -> dict[str, Any]:
    """Open the pages of two versions in turns; return medians, and the median of the ratio within a round."""
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in versions}
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(served(model, source)) for name, source in versions.items()}
        p = stack.enter_context(sync_playwright())
        browser = p.chromium.launch(executable_path=shutil.which("chromium") or "/usr/bin/chromium", args=FLAGS)
        for turn in range(rounds + 1):
            for name in list(versions)[:: 1 if turn % 2 else -1]:
                opening = opened_once(browser, *servers[name], seed)
                if turn:  # the first one fills the caches
                    seen[name].append(opening)
        browser.close()
    before, now = seen.values()
    return {
        key: {
            **{name: round(statistics.median(one[key] for one in seen[name]), 1) for name in seen},
            "ratio": round(statistics.median(b[key] / a[key] for a, b in zip(before, now, strict=True) if a[key]), 3),
            "ratio of the smallest": round(min(b[key] for b in now) / min(a[key] for a in before), 3),
        }
        for key in before[0]
    }


def opened_once(browser: Any, address: str, process: int, seed: int) -> dict[str, float]:
    """Open the page in a new context: milliseconds until it is usable and until the first map, and CPU milliseconds."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    cpu = _cpu_ms(process)
    page.add_init_script(NOTE_OPENING)
    began = 1000 * time.time()
    page.goto(f"{address}#explain?seed={seed}", wait_until="commit")
    page.wait_for_selector(".explain-tab[data-drawn]")
    opening = page.evaluate("window.opening")
    metrics = {one["name"]: 1000 * one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
    page.wait_for_timeout(200)
    context.close()
    return {
        "usable": opening["usable"] - began,
        "first map drawn": opening["drawn"] - began,
        "CPU of the server": _cpu_ms(process) - cpu,
        "CPU of the renderer": metrics["ProcessTime"],
        "CPU of its main thread": metrics["TaskDuration"],
    }


def _cpu_ms(process: int) -> float:
    """CPU milliseconds of a process so far (Linux only)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(address: str, process: int, clicks: int, seed: int) -> dict[str, Any]:
    """All times in milliseconds."""
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium") or "/usr/bin/chromium", args=FLAGS)
        opened = [opened_once(browser, address, process, seed) for _ in range(5)]
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
        "open, usable": statistics.median(one["usable"] for one in opened),
        "open, first map drawn": statistics.median(one["first map drawn"] for one in opened),
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
