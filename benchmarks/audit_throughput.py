"""CPU time of an audit in units of plain inference over the same JPEG files: python benchmarks/audit_throughput.py.

Plain inference is a loop: Pillow decodes a file, torchvision's transforms make the network input, the network runs on
batches of 16 without gradients, and the class is kept. The audit decodes the same files, runs the same network,
explains the predicted, the competing and the true class with grad_cam, and writes rows, maps, channel relevances and
features. Both run in one process in turns, see `interleaved.py`; CPU time counts all threads. Weights are random.
`--images` takes a folder of photographs in place of rendered scenes.

glibc returns freed memory to the system after every batch, and a page fault costs 2 µs on virtual machines such as that
of the results: plain inference then takes 600 of them per image, and the audit 1,500, by chance of what is freed last.
`camlucida audit` therefore keeps the memory (`camlucida.cli.allocator`), and so do both sides here; with
--default-allocator neither does. The rows say which was used.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that spins while it waits would count as work

import torch
from PIL import Image
from torch import nn
from torchvision import transforms

import camlucida as cl
from audit_images import write_scenes
from camlucida.audits.run import audit
from camlucida.cli.allocator import keep_freed_memory
from camlucida.data.datasets import Dataset, folder
from interleaved import machine, ratios, timed
from networks import perturbed

RESULTS = Path(__file__).parent / "results" / "audit_throughput.json"
AIMS = {"resnet18": "≤ 1.10", "mobilenet_v3_small": "≤ 1.30"}
BATCH_SIZE = 16
SCENE_PX = 480
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, default=64, help="number of images")
    parser.add_argument("--images", default="", help="a folder of photographs; its name is stored")
    parser.add_argument("--only", default=",".join(AIMS))
    parser.add_argument("--default-allocator", action="store_true", help="return freed memory to the system")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    rows = {row["what"]: row for row in stored["rows"]}
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(arguments.images or temporary) / ("" if arguments.images else "scenes")
        data = folder(images) if arguments.images else write_scenes(images, arguments.n, SCENE_PX)
        files = [str(data[i].image) for i in range(len(data))][: arguments.n]
        is_kept = not arguments.default_allocator and keep_freed_memory()
        memory = "freed memory kept" if is_kept else "allocator as it is"
        kind = "photographs" if arguments.images else f"scenes of {SCENE_PX} px"
        for name in arguments.only.split(","):
            row = measure(name, data, files, Path(temporary) / name, arguments.rounds)
            row = {"what": f"{name}, {len(files)} {kind}, {memory}", "aim": AIMS.get(name, ""), **row}
            print(json.dumps(row), flush=True)
            rows[row["what"]] = row
            content = {"machine": machine(), "rows": list(rows.values())}
            RESULTS.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def measure(name: str, data: Dataset, files: list[str], out: Path, rounds: int) -> dict[str, Any]:
    """Return the CPU and wall time of the audit in units of plain inference, and the images per second of both."""
    network = perturbed(name)
    model, number = cl.Model(network), count()

    def run_audit() -> None:
        folder_of_audit = out / str(next(number))
        audit(model, data, folder_of_audit, limit=len(files), batch_size=BATCH_SIZE)
        shutil.rmtree(folder_of_audit)

    timings = timed({"inference": plain_inference(network, files), "audit": run_audit}, rounds=rounds)
    return {
        "ratio": ratios(timings, "inference")["audit"],
        "ms_cpu_per_image": {who: round(1000 * timing.cpu / len(files), 2) for who, timing in timings.items()},
        "images_per_s": {who: round(len(files) / timing.wall, 1) for who, timing in timings.items()},
    }


def plain_inference(network: nn.Module, files: list[str]) -> Callable[[], list[int]]:
    """Return the loop that a user would write."""
    prepare = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )

    def run() -> list[int]:
        classes: list[int] = []
        with torch.inference_mode():
            for start in range(0, len(files), BATCH_SIZE):
                batch = files[start : start + BATCH_SIZE]
                inputs = torch.stack([prepare(Image.open(file).convert("RGB")) for file in batch])
                classes += network(inputs).argmax(1).tolist()
        return classes

    return run


if __name__ == "__main__":
    main()
