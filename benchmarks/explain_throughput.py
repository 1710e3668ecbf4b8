"""CPU time of explaining a folder, in units of plain inference on it: python benchmarks/explain_throughput.py.

Plain inference is the loop of `audit_throughput.py`: Pillow and torchvision's transforms, batches of 16 without
gradients. `explain_each` decodes the same files and returns a Grad-CAM map of the predicted class for each, in batches
and, with batch_size=1, image by image. Beside it, one overlay per image is drawn, as `explain FOLDER` needs it. All run
in one process in turns, see `interleaved.py`; CPU time counts all threads.

`--images` takes a folder of photographs in place of rendered scenes, and `--weights` a file of weights, as
`NETWORK=FILE.safetensors`; other networks have random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that spins while it waits would count as work

import torch
from torch import nn

import camlucida as cl
from audit_images import write_scenes
from audit_throughput import SCENE_PX, plain_inference
from camlucida.attribution.explanation import Explanation
from camlucida.cli.allocator import keep_freed_memory
from camlucida.data.datasets import folder
from interleaved import machine, ratios, timed
from networks import perturbed

RESULTS = Path(__file__).parent / "results" / "explain_throughput.json"
NETWORKS = ("resnet18", "mobilenet_v3_small")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, default=96, help="number of images")
    parser.add_argument("--images", default="", help="a folder of photographs; its name is stored")
    parser.add_argument("--weights", action="append", default=[], help="NETWORK=FILE.safetensors")
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--default-allocator", action="store_true", help="return freed memory to the system")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    weights = dict(pair.split("=", 1) for pair in arguments.weights)
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
            network = perturbed(name)
            if name in weights:
                from safetensors.torch import load_file

                network.load_state_dict(load_file(weights[name]))
            row = {"what": f"{name}, {len(files)} {kind}, {memory}", **measure(network, files, arguments.rounds)}
            print(json.dumps(row), flush=True)
            rows[row["what"]] = row
            content = {"machine": machine(), "rows": list(rows.values())}
            RESULTS.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def measure(network: nn.Module, files: list[str], rounds: int) -> dict[str, Any]:
    """Return CPU and wall time in units of plain inference, and the largest difference of a map to the image alone."""
    model = cl.Model(network)

    def explain(batch_size: int | None, draws: bool = False) -> Callable[[], list[Explanation]]:
        def run() -> list[Explanation]:
            explanations = []
            for _, explanation in cl.explain_each(model, files, batch_size=batch_size):
                assert isinstance(explanation, Explanation)
                if draws:
                    explanation.overlay()
                explanations.append(explanation)
            return explanations

        return run

    difference = max(
        float((together.raw - alone.raw).abs().max() / alone.raw.abs().max())
        for together, alone in zip(explain(None)(), explain(1)(), strict=True)
    )
    candidates = {
        "inference": plain_inference(network, files),
        "batches": explain(None),
        "one by one": explain(1),
        "batches, overlays": explain(None, draws=True),
    }
    timings = timed(candidates, rounds=rounds)
    return {
        "ratio": ratios(timings, "inference"),
        "ms_cpu_per_image": {who: round(1000 * timing.cpu / len(files), 2) for who, timing in timings.items()},
        "largest_difference": f"{difference:.1e}",
    }


if __name__ == "__main__":
    main()
