"""What it costs to know that a network's copy is still the network, and a whole call of `attribute`, in milliseconds.

    python benchmarks/copy_cost.py

Prints the median of many calls in processor time. To compare two versions run it with their sources in turn
(`PYTHONPATH=src`), several times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torchvision

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of

NETWORKS = ("resnet18", "mobilenet_v3_small", "resnet50")


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """The median processor time of `repeats` calls after three that are not counted."""
    times = []
    for i in range(repeats + 3):
        start = time.process_time()
        call()
        if i >= 3:
            times.append(time.process_time() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    torch.set_num_threads(1)
    image = torch.randn(1, 3, 224, 224)
    for name in NETWORKS:
        network = getattr(torchvision.models, name)().eval()
        check = median_ms(lambda network=network: copy_of(network), 50)
        whole = median_ms(lambda network=network: attribute(network, image, target=1), 20)
        print(f"{name:20s} check {check:6.3f} ms   attribute {whole:7.2f} ms")


if __name__ == "__main__":
    main()
