"""All benchmarks, printed and stored as JSON: python benchmarks/run.py [--rounds 5] [--only grad_cam,memory]."""

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
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    suites = {
        "grad_cam": lambda: grad_cam.run(arguments.rounds),
        "ablation_cam": lambda: ablation_cam.run(arguments.rounds),
        "memory": memory.run,
        "cam_family": lambda: cam_family.run(arguments.rounds),
    }
    RESULTS.mkdir(exist_ok=True)
    for name in arguments.only.split(","):
        rows = suites[name]()
        for row in rows:
            print(row["what"], row["aim"] and f"(aim {row['aim']})")
            for who, numbers in row["forwards"].items():
                print(f"    {who:42s}", "  ".join(f"{key} {value:.3g}" for key, value in numbers.items()), flush=True)
        stored = {"machine": machine(), "rows": rows}
        (RESULTS / f"{name}.json").write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
