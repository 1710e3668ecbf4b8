"""Peak memory of the first and of later calls at an input size: python benchmarks/first_call_memory.py [--label after].

Each case runs in a fresh process, on a network that was not explained before; three others are explained first, at
64 px, so that imports, thread pools and the libraries' own code do not count. Numbers are MiB above the loaded network
and its input: the peak of the resident set, which is reset before every call, and, for another new network, the peak of
the tensors that were alive, by PyTorch's profiler. The first call also keeps 2 to 10 MiB for the copy of the network,
which counts in the resident set of small inputs. `--label` names the rows in the results file: run it with another
checkout on PYTHONPATH to compare. As in `memory.py` the allocator gives freed memory back at once.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
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
    "convnext_tiny 640 default": ("convnext_tiny", 640, None, "grad_cam"),
    "densenet121 640 default": ("densenet121", 640, None, "grad_cam"),
    "maxvit_t 224 default": ("maxvit_t", 224, None, "grad_cam"),
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
    """Peak MiB of a forward pass, of the first call and of a second call, and the ratio of the last two."""
    import torch

    import camlucida as cl
    from camlucida.engine.stored_checks import use_store
    from networks import forward, perturbed

    use_store(None)  # else the layout checks of a large network come from an earlier process
    torch.set_num_threads(1)
    for other in (perturbed("resnet18"), _tiny_vit(), _tiny_swin()):
        cl.attribute(other.eval(), torch.randn(1, 3, 64, 64), target=1, method=method)
    network = perturbed(name)
    images = torch.randn(1, 3, side, side)
    forward(network, images[..., :side, :side])

    def explained() -> Any:
        return cl.attribute(network, images, target=1, layer=layer, method=method)

    calls = {"forward": lambda: forward(network, images), "first": explained, "later": explained}
    peaks = {what: round(peak(call), 1) for what, call in calls.items()}
    network = perturbed(name)
    tensors = {what: round(tensor_peak(call), 1) for what, call in list(calls.items())[1:]}
    return peaks | {
        "first / later": round(peaks["first"] / peaks["later"], 2),
        "tensors first": tensors["first"],
        "tensors later": tensors["later"],
        "tensors first / later": round(tensors["first"] / tensors["later"], 2),
    }


def _tiny_vit() -> Any:
    from torchvision.models import VisionTransformer

    network = VisionTransformer(64, 16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=10)
    network.heads.head.reset_parameters()  # zero at first
    return network


def _tiny_swin() -> Any:
    from torchvision.models import SwinTransformer

    return SwinTransformer([4, 4], 8, [2, 2], [2, 2], [2, 2], num_classes=10)


def peak(call: Any) -> float:
    """Peak MiB that a call takes above what is resident before it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else small freed blocks stay resident, and a later call seems to take nothing
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # resets the peak
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def tensor_peak(call: Any) -> float:
    """Peak MiB of the tensors that a call allocates, which unlike the resident set is the same in every run."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    now = highest = 0
    for event in profiled.profiler.kineto_results.events():  # in the order of time
        if event.name() == "[memory]":
            now += event.nbytes()
            highest = max(highest, now)
    return highest / 2**20


if __name__ == "__main__":
    main()
