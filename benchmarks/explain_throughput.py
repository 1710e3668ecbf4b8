"""CPU time of explaining a folder, in units of plain inference on it: python benchmarks/explain_throughput.py.

Plain inference is the loop of `throughput.py`: Pillow and torchvision's transforms, batches of 16 without
gradients. `explain_each` decodes the same files and returns a Grad-CAM map of the predicted class for each, in batches
and, with batch_size=1, image by image. Beside it, one overlay per image is drawn, as `explain FOLDER` needs it. All run
in one process in turns, see `interleaved.py`; CPU time counts all threads.

`--images` takes a folder of photographs in place of rendered scenes, and `--weights` a file of weights, as
`NETWORK=FILE.safetensors`; other networks have random weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that spins while it waits would count as work

from torch import nn

import camlucida as cl
from camlucida.attribution.explanation import Explanation
from camlucida.data.datasets import Dataset
from interleaved import ratios, timed
from throughput import measure_networks, plain_inference

RESULTS = Path(__file__).parent / "results" / "explain_throughput.json"
NETWORKS = ("resnet18", "mobilenet_v3_small")


def main() -> None:
    measure_networks(__doc__, RESULTS, NETWORKS, 96, measure)


def measure(network: nn.Module, _data: Dataset, files: list[str], _out: Path, rounds: int) -> dict[str, Any]:
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
