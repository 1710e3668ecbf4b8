"""How long the report of an audit takes to open: python benchmarks/report_load.py [--rows 10000] [--images PHOTOS].

An audit of so many invented rows, with the maps of two methods, is written as `camlucida audit` writes it, and its
report with it. A real headless Chromium opens the file, each time in a new context. Measured are the bytes of the file,
the first contentful paint, the time until the page is usable (its script is done), and from a filter by class to the
frame that displays it. Thumbnails are of plain colours, unless `--images` names a folder of photographs.

Results in results/report_load.json, one row per number of images.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "report"))

from audit_folders import CLASSES, invented_audit

from camlucida.audits.audit_result import Audit
from camlucida.data.datasets import LazyItems, ListDataset, folder
from camlucida.report.audit_page import audit_report
from interleaved import machine
from page import FLAGS

RESULTS = Path(__file__).parent / "results" / "report_load.json"
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
FILTER = """
async (name) => {
  const before = document.querySelector("#count").textContent;
  const began = performance.now();
  location.hash = `label=${name}`;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
  if (document.querySelector("#count").textContent === before) throw new Error("nothing was filtered");
  return performance.now() - began;
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", default="", help="a folder of photographs for the thumbnails, repeated as needed")
    parser.add_argument("--chromium", default=os.environ.get("CHROMIUM") or shutil.which("chromium") or "")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        audit = invented_audit(Path(temporary) / "audit", arguments.rows)
        if arguments.images:
            audit = with_photographs(audit, arguments.images)
        began, cpu = time.perf_counter(), time.process_time()
        report = audit_report(audit, audit.path / "audit.html", max_images=arguments.rows)
        written = {"wall_s": round(time.perf_counter() - began, 1), "cpu_s": round(time.process_time() - cpu, 1)}
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=arguments.chromium or "/usr/bin/chromium", args=FLAGS)
            opened = [loaded(browser, report.as_uri()) for _ in range(arguments.rounds)]
            browser.close()
        row = {
            "what": f"{arguments.rows} images, {'photographs' if arguments.images else 'plain colours'}",
            "bytes": report.stat().st_size,
            "written": written,
            **{name: round(statistics.median(one[name] for one in opened), 1) for name in opened[0]},
            "rounds": arguments.rounds,
        }
    print(json.dumps(row, indent=2))
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    rows = [other for other in rows if other["what"] != row["what"]] + [row]
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def with_photographs(audit: Audit, images: str) -> Audit:
    """Return the audit with the thumbnails of photographs."""
    assert audit.data is not None
    photographs, data = folder(images), audit.data
    items = [replace(data[i], image=photographs[i % len(photographs)].image) for i in range(len(data))]
    return Audit(audit.path, audit.model, ListDataset(data.name, LazyItems(items, lambda item: item), data.classes))


def loaded(browser: Browser, address: str) -> dict[str, Any]:
    """Return the times of one visit, in milliseconds."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached")
    usable = 1000 * (time.perf_counter() - began)
    times = {
        "first_contentful_paint_ms": page.evaluate(PAINT),
        "usable_ms": usable,
        "filter_ms": page.evaluate(FILTER, CLASSES[0]),
    }
    context.close()
    return times


if __name__ == "__main__":
    main()
