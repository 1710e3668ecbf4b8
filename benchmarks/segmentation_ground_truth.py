"""Maps of regions against exact masks: toybox:segmenter on scenes with two objects.

    python benchmarks/segmentation_ground_truth.py            # writes results/segmentation_ground_truth.json

For every region that the network predicts, the map of "class:NAME" is compared with the masks of both objects: the
fraction of its positive part in the right one, and whether that exceeds the fraction in the other one. The same for
several layers and methods. Trust is then asked about random maps, which it must not support, and about Grad-CAM.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import camlucida as cl
from camlucida.data import toybox
from camlucida.errors import CamlucidaError

SEED = 990_017
MAPS = (("grad_cam", None), ("grad_cam", "up1"), ("grad_cam", "up2"), ("grad_cam", "bottleneck"), ("hires_cam", None),
        ("hires_cam", "up1"), ("layer_cam", "up2"))  # fmt: skip


def inside(explanation: Any, sample: toybox.Sample) -> tuple[float, float]:
    """Return the fractions of the map's positive part in the right object and in the other one."""
    saliency = np.clip(np.nan_to_num(explanation.landed), 0, None)
    total = float(saliency.sum()) or 1.0
    labels = [toybox.CLASSES[k] for k in sample.labels]
    right = labels.index(explanation.target)
    fractions = [float(saliency[mask].sum()) / total for mask in sample.drawing.masks]
    return fractions[right], fractions[1 - right]


def energies(model: cl.Model, n: int) -> list[dict[str, Any]]:
    """Return one row per method and layer."""
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in toybox.Toybox(n, SEED, objects=2):
        for label in sample.labels:
            target = f"class:{toybox.CLASSES[label]}"
            for method, layer in MAPS:
                try:
                    e = cl.explain(model, sample.image, target=target, method=method, layer=layer)
                except CamlucidaError:
                    break  # the class is not predicted
                found.setdefault(f"{method} at {layer or e.layer}", []).append(inside(e, sample))
    rows = []
    for name, values in found.items():
        right, other = np.array(values).T
        rows.append(
            {
                "map": name,
                "n": len(values),
                "most_in_right_object": round(float((right > 0.5).mean()), 4),
                "more_in_right_than_other": round(float((right > other).mean()), 4),
                "mean_in_right": round(float(right.mean()), 4),
                "mean_in_other": round(float(other.mean()), 4),
            }
        )
    return rows


def false_alarms(model: cl.Model, n: int) -> dict[str, Any]:
    """Return how often trust supports a random map, and the map of the network itself."""
    counts: dict[str, dict[str, int]] = {}
    for i, sample in enumerate(toybox.Toybox(n, SEED + 1, objects=2)):
        for method in ("random_cam", "grad_cam"):
            spec = f"class:{toybox.CLASSES[sample.labels[0]]}"
            try:
                result = cl.trust(model, sample.image, target=spec, method=method, n_windows=36, seed=i)
            except CamlucidaError as error:
                counts.setdefault(method, {}).setdefault(type(error).__name__, 0)
                counts[method][type(error).__name__] += 1
                continue
            level = str(result.verdict.level if hasattr(result.verdict, "level") else result.verdict)
            counts.setdefault(method, {})[level] = counts.get(method, {}).get(level, 0) + 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60, help="scenes for the energy; 0 keeps the stored numbers")
    parser.add_argument("--trust", type=int, default=50)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start = time.time()
    model = cl.load("toybox:segmenter")
    path = Path(__file__).parent / "results" / "segmentation_ground_truth.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if asked.scenes:
        content |= {"seed": SEED, "scenes": asked.scenes, "energy": energies(model, asked.scenes)}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1), f"{time.time() - start:.0f} s", flush=True)
    content["trust"] = {"scenes": asked.trust, "verdicts": false_alarms(model, asked.trust)}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["trust"], indent=1), f"{time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
