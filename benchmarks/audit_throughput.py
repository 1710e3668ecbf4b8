"""CPU time of an audit in units of plain inference over the same JPEG files: python benchmarks/audit_throughput.py.

Plain inference is a loop: Pillow decodes a file, torchvision's transforms make the network input, the network runs on
batches of 16 without gradients, and the class is kept. The audit decodes the same files, runs the same network,
explains the predicted, the competing and the true class with grad_cam, and writes rows, maps, channel relevances and
features. Both run in one process in turns, see `interleaved.py`; CPU time counts all threads. Weights are random
but for `--weights NETWORK=FILE.safetensors`; `--images` takes a folder of photographs in place of rendered scenes.

glibc returns freed memory to the system after every batch, and a page fault costs 2 µs on virtual machines such as that
of the results: plain inference then takes 600 of them per image, and the audit 1,500, by chance of what is freed last.
`camlucida audit` therefore keeps the memory (`camlucida.cli.allocator`), and so do both sides here; with
--default-allocator neither does. The rows say which was used.
"""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that spins while it waits would count as work

from torch import nn

import camlucida as cl
from camlucida.audits.run import audit
from camlucida.data.datasets import Dataset
from interleaved import ratios, timed
from throughput import BATCH_SIZE, measure_networks, plain_inference

RESULTS = Path(__file__).parent / "results" / "audit_throughput.json"
AIMS = {"resnet18": "≤ 1.10", "mobilenet_v3_small": "≤ 1.30"}


def main() -> None:
    measure_networks(__doc__, RESULTS, AIMS, 64, measure)


def measure(network: nn.Module, data: Dataset, files: list[str], out: Path, rounds: int) -> dict[str, Any]:
    """Return the CPU and wall time of the audit in units of plain inference, and the images per second of both."""
    model, number = cl.Model(network), count()

    def run_audit() -> None:
        folder_of_audit = out / str(next(number))
        audit(model, data, folder_of_audit, limit=len(files), batch_size=BATCH_SIZE)
        shutil.rmtree(folder_of_audit)

    timings = timed({"inference": plain_inference(network, files), "audit": run_audit}, rounds=rounds)
    return {
        "aim": AIMS.get(out.name, ""),
        "ratio": ratios(timings, "inference")["audit"],
        "ms_cpu_per_image": {who: round(1000 * timing.cpu / len(files), 2) for who, timing in timings.items()},
        "images_per_s": {who: round(len(files) / timing.wall, 1) for who, timing in timings.items()},
    }


if __name__ == "__main__":
    main()
