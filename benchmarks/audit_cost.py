"""Is the cost of an audit linear? Predicts 10,000 images from 250 and 1,000: python benchmarks/audit_cost.py [folder].

The images are 2,500 toybox scenes of 224 px in PNG files, each under four names, audited with the toybox network and
one thread, each size in a process of its own. CPU time is that of the process, so that other work on the machine counts
little. The folder keeps the images for another run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIZES = (250, 1000)
LARGER = (4000, 10_000)
N_SCENES = 2500
RESULT = Path(__file__).parent / "results" / "audit_cost.json"


def draw(folder: Path, count: int) -> None:
    from camlucida.data import toybox

    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        file = folder / f"{i:06d}.png"
        if file.exists():
            continue
        if i < N_SCENES:
            toybox.scene(i, size=224).picture().save(file, compress_level=1)
        else:
            os.link(folder / f"{i % N_SCENES:06d}.png", file)


def measure(photos: Path, out: Path, count: int) -> dict[str, Any]:
    """Audit the first images of a folder in this process, and return what it cost."""
    import resource

    import torch

    torch.set_num_threads(1)
    from camlucida.audits.cost_model import folder_bytes
    from camlucida.audits.run import audit
    from camlucida.data.datasets import Item, ListDataset
    from camlucida.engine.cost import track_cost
    from camlucida.models.load import load

    start = time.perf_counter()
    items = [Item(file, file.name) for file in sorted(photos.iterdir())[:count]]
    with track_cost() as cost:
        result = audit(load("toybox"), ListDataset("scenes", items), out)
    return {
        "n_images": count,
        "cpu_s": time.process_time(),
        "wall_s": time.perf_counter() - start,
        "forwards": cost.forwards,
        "read_bytes": sum(Path(str(item.image)).stat().st_size for item in items),
        "stored_bytes": folder_bytes(result) * count,
        "n_files": sum(file.is_file() for file in out.rglob("*")),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    from camlucida.audits.cost_model import Rate, estimate, fit_rate
    from camlucida.audits.record.manifest import hardware

    with tempfile.TemporaryDirectory(prefix="camlucida-cost-") as folder:
        photos = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "photos"
        draw(photos, max(LARGER))
        runs = [run(photos, Path(folder), n) for n in SIZES]
        start_s, image_s = fit_rate([(of["n_images"], of["cpu_s"]) for of in runs])
        per_image = (runs[-1][name] / runs[-1]["n_images"] for name in ("read_bytes", "stored_bytes", "forwards"))
        rate = Rate(start_s, image_s, *per_image)
        ratios = {}
        for n in LARGER:
            large, predicted = run(photos, Path(folder), n), estimate(rate, n)
            runs.append(large)
            ratios[str(n)] = {
                "cpu_s": large["cpu_s"] / (predicted.hours * 3600),
                **{name: large[name] / getattr(predicted, name) for name in ("forwards", "read_bytes", "stored_bytes")},
                "n_files": large["n_files"] / predicted.n_files,
            }
            content = {
                "what": "audit of toybox scenes of 224 px in PNG files, toybox network, grad_cam, one thread",
                "hardware": hardware(),
                "runs": runs,
                "rate": vars(rate),
                "measured_over_predicted": ratios,
            }
            RESULT.write_text(json.dumps(content, indent=2) + "\n")
            print(json.dumps(ratios), flush=True)


def run(photos: Path, folder: Path, n: int) -> dict[str, Any]:
    """Audit n images in another process."""
    command = [sys.executable, __file__, "measure", str(photos), str(folder / f"audit-{n}"), str(n)]
    result: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    print(result, flush=True)
    return result


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        main()
