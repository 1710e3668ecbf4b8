"""Peak memory of the first and of later calls at an input size: python benchmarks/first_call_memory.py [--label after].

Each case runs in a fresh process, on a network that was not explained before; another network is explained first, at
64 px, so that imports and thread pools do not count. Numbers are MiB above the loaded network and its input, by the
peak of the resident set, which is reset before every call. `--label` names the rows in the results file: run it with
another checkout on PYTHONPATH to compare. As in `memory.py` the allocator gives freed memory back at once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from memory import ALLOCATOR, _status

RESULTS = Path(__file__).parent / "results" / "first_call_memory.json"

CASES: dict[str, tuple[str, int, str | int | None, str]] = {
    "resnet18 1536 layer4": ("resnet18", 1536, "layer4", "grad_cam"),
    "resnet18 1536 default": ("resnet18", 1536, None, "grad_cam"),
    "resnet18 1536 layer 2 of the candidates": ("resnet18", 1536, 2, "grad_cam"),
    "resnet18 1536 layer4 recipro_cam": ("resnet18", 1536, "layer4", "recipro_cam"),
    "resnet18 4096 layer4": ("resnet18", 4096, "layer4", "grad_cam"),
    "resnet18 4096 default": ("resnet18", 4096, None, "grad_cam"),
    "vgg16 512 default": ("vgg16", 512, None, "grad_cam"),
    "mobilenet_v3_large 1024 default": ("mobilenet_v3_large", 1024, None, "grad_cam"),
    "vit_b_16 224 default": ("vit_b_16", 224, None, "grad_cam"),
    "swin_t 224 default": ("swin_t", 224, None, "grad_cam"),
    "swin_t 896 default": ("swin_t", 896, None, "grad_cam"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--label", default="after")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("case", nargs="?", help="measure one case in this process")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(*CASES[arguments.case])))
        return
    stored: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for case in (case for case in CASES if arguments.only in case):
        command = [sys.executable, __file__, case]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ALLOCATOR)
        row = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"exit": done.returncode}
        stored.setdefault(case, {})[arguments.label] = row
        print(case, arguments.label, row, flush=True)
        RESULTS.write_text(json.dumps(stored, indent=2) + "\n")


def measure(name: str, side: int, layer: str | int | None, method: str) -> dict[str, float]:
    """Peak MiB of a forward pass, of the first call and of a second call, and the second's multiple."""
    import torch

    import camlucida as cl
    from networks import forward, perturbed

    torch.set_num_threads(1)
    cl.attribute(perturbed("resnet18"), torch.randn(1, 3, 64, 64), target=1, method=method)
    network = perturbed(name)
    images = torch.randn(1, 3, side, side)
    forward(network, images[..., :side, :side])

    def explained() -> Any:
        return cl.attribute(network, images, target=1, layer=layer, method=method)

    calls = {"forward": lambda: forward(network, images), "first": explained, "later": explained}
    peaks = {what: round(peak(call), 1) for what, call in calls.items()}
    return peaks | {"first / later": round(peaks["first"] / peaks["later"], 2)}


def peak(call: Any) -> float:
    """Peak MiB that a call takes above what is resident before it."""
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # resets the peak
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


if __name__ == "__main__":
    main()
