"""Peak memory above the loaded network, each case in a fresh process: python benchmarks/memory.py [CASE].

The processes run with a fixed mmap threshold and one arena, so that a freed tensor's memory goes back at once and the
peak is what was alive. With glibc's defaults the same run took 97 or 215 MiB, by chance.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

CASES = {
    "resnet50 layer4, batch 8": ("resnet50", "layer4", 8),
    "resnet50 layer1, batch 8": ("resnet50", "layer1", 8),
    "vit_b_16 last block, batch 8": ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", 8),
}
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "1", "OMP_WAIT_POLICY": "PASSIVE"}
WHO = ("forward", "camlucida", "grad-cam", "torchcam")


def run() -> list[dict[str, Any]]:
    """MiB above the loaded network, and in units of the forward's."""
    rows = []
    for what in CASES:
        found: dict[str, dict[str, float]] = {}
        for who in WHO:
            if who == "torchcam" and "vit" in what:
                continue
            command = [sys.executable, __file__, what, who]
            out = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ALLOCATOR)
            found[who] = {"MiB": float(out.stdout.strip().splitlines()[-1])}
        base = found["forward"]["MiB"]
        for numbers in found.values():
            numbers["of the forward"] = round(numbers["MiB"] / base, 2)
        rows.append(
            {"what": f"memory: grad_cam {what}", "aim": "≤ 1.15" if "layer4" in what else "", "forwards": found}
        )
    return rows


def measure(what: str, who: str) -> float:
    """Peak MiB that one case takes, after a warm-up on a batch of one."""
    import torch

    from grad_cam import _ours, _peers
    from networks import forward, perturbed

    name, layer, batch = CASES[what]
    network = perturbed(name)

    def job(images: torch.Tensor) -> Any:
        if who == "forward":
            return forward(network, images)
        if who == "camlucida":
            return _ours(network, images, layer)
        return _peers(network, layer, images, [0] * len(images))[who][0]()

    job(torch.randn(1, 3, 224, 224))
    images = torch.randn(batch, 3, 224, 224)
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # resets the peak
    before = _status("VmRSS")
    job(images)
    return _status("VmHWM") - before


def _status(key: str) -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(measure(sys.argv[1], sys.argv[2]))
    else:
        print(json.dumps(run(), indent=2, ensure_ascii=False))
