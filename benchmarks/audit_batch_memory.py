"""Bytes of tensors that `camlucida audit` counts for a batch, and the measured peak: audit_batch_memory.py [NETWORK].

The peak is that of the resident memory above the loaded network, each network in a fresh process, with the allocator
settings of memory.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from memory import ALLOCATOR, _status

NETWORKS = ("resnet18", "resnet50", "mobilenet_v3_small", "vit_b_16")
BATCH = 8


def measure(name: str) -> dict[str, float]:
    """Return both numbers in MiB, for Grad-CAM of three classes of a batch of 8 images."""
    import torch
    from torchvision import models

    from camlucida import wrap
    from camlucida.attribution.attributions import attributions
    from camlucida.audits.batch_size import peak_bytes
    from camlucida.audits.plan import AuditPlan
    from camlucida.data.datasets import ListDataset
    from camlucida.evaluation.plan import explainers_of

    torch.manual_seed(0)
    model = wrap(getattr(models, name)(weights=None).eval())
    plan = AuditPlan(model, ListDataset("none", []), (), (), explainers_of(["grad_cam"]))
    images = torch.randn(BATCH, 3, 224, 224)
    counted = [peak_bytes(plan, images) for _ in range(3)]
    assert counted[1] == counted[2], "not deterministic"
    request = plan.runs[0].request(["top2", torch.zeros(BATCH, dtype=torch.long)])
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # resets the peak
    before = _status("VmRSS")
    attributions(model, images, request)
    return {"counted": round(counted[-1] / 2**20, 1), "measured": round(_status("VmHWM") - before, 1)}


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(measure(sys.argv[1])))
    else:
        for network in NETWORKS:
            command = [sys.executable, __file__, network]
            out = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ALLOCATOR)
            print(network, out.stdout.strip().splitlines()[-1])
