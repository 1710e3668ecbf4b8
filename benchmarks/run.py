"""All benchmarks, printed and stored as JSON as they come: python benchmarks/run.py [--rounds 5] [--only memory].

cam_family takes about an hour; --where resnet50@1,vgg16@8 takes these of it, and keeps the other rows that are stored.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that spins while it waits would count as work

import ablation_cam
import cam_family
import grad_cam
import memory
from interleaved import machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="grad_cam,ablation_cam,memory,cam_family")
    parser.add_argument("--where", default="", help="of cam_family: network@batch, separated by commas")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    suites = {
        "grad_cam": lambda: grad_cam.run(arguments.rounds),
        "ablation_cam": lambda: ablation_cam.run(arguments.rounds),
        "memory": memory.run,
        "cam_family": lambda: cam_family.run(arguments.rounds, arguments.where),
    }
    RESULTS.mkdir(exist_ok=True)
    for name in arguments.only.split(","):
        file = RESULTS / f"{name}.json"
        kept = json.loads(file.read_text())["rows"] if arguments.where and file.exists() else []
        rows = {row["what"]: row for row in kept}
        for row in suites[name]():
            print(row["what"], row["aim"] and f"(aim {row['aim']})")
            for who, numbers in row["forwards"].items():
                print(f"    {who:42s}", "  ".join(f"{key} {value:.3g}" for key, value in numbers.items()), flush=True)
            rows[row["what"]] = row
            stored = {"machine": machine(), "rows": list(rows.values())}
            file.write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
