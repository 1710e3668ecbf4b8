"""Maps of regions against exact masks: toybox:segmenter on scenes with two objects.

    python benchmarks/segmentation_ground_truth.py            # writes results/segmentation_ground_truth.json

For every region that the network predicts, the map of "class:NAME" is compared with the masks of both objects: the
fraction of its positive part in the right one, and whether that exceeds the fraction in the other one. The same for
several layers and methods. Trust is then asked about

- blind maps: smooth random maps, which are independent of the image; at most 5 % may get a positive verdict,
- random_cam, which is not blind: random weights of the activations, which are high where the network sees an object,
- maps of other methods.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import camlucida as cl
from blind_verdicts import POSITIVE, blind_verdicts, rate, verdict_counts
from camlucida.attribution.bind_targets import bind_targets
from camlucida.data import toybox
from camlucida.data.datasets import Item
from camlucida.errors import CamlucidaError
from camlucida.evaluation.model_input import ModelInput, prepare_input

SEED = 990_017
MAPS = (("grad_cam", None), ("grad_cam", "up1"), ("grad_cam", "up2"), ("grad_cam", "bottleneck"), ("hires_cam", None),
        ("hires_cam", "up1"), ("layer_cam", "up2"))  # fmt: skip
TRUSTED = (("random_cam", None), ("grad_cam", None), ("hires_cam", "up1"), ("layer_cam", "up2"))


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


def region_inputs(model: cl.Model, n: int) -> Iterator[ModelInput]:
    """Yield the region of the first object of each scene, where it is predicted, as an input of the position test."""
    for i, sample in enumerate(toybox.Toybox(n, SEED + 1, objects=2)):
        inputs, geometry = model.preprocessing(sample.image)
        try:
            (bound,) = bind_targets(model, inputs, [f"class:{toybox.CLASSES[sample.labels[0]]}"], geometry)
        except CamlucidaError:
            continue
        yield prepare_input(bound.model, Item(sample.image, f"scene {i}"), bound.target, target="true")


def trusted(model: cl.Model, n: int) -> dict[str, Any]:
    """Return the verdicts on the maps of the first object of each scene."""
    results: dict[str, list[cl.Trust]] = {}
    for i, sample in enumerate(toybox.Toybox(n, SEED + 1, objects=2)):
        for method, layer in TRUSTED:
            spec = f"class:{toybox.CLASSES[sample.labels[0]]}"
            try:
                result = cl.trust(model, sample.image, target=spec, method=method, layer=layer, seed=i)
            except CamlucidaError:
                break  # the class is not predicted
            results.setdefault(f"{method} at {layer or result.layer or 'the default layer'}", []).append(result)
    return {name: summary(found) for name, found in results.items()}


def summary(results: list[cl.Trust]) -> dict[str, Any]:
    tests = [t.position_test for t in results]
    return {
        "n": len(results),
        "p <= .05": rate([test is not None and test.p <= 0.05 for test in tests]),
        "supported or weakly supported": rate([t.verdict.level in POSITIVE for t in results]),
        **verdict_counts(results),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60, help="scenes for the energy; 0 keeps the stored numbers")
    parser.add_argument("--trust", type=int, default=40, help="scenes for trust")
    parser.add_argument("--blind", action="store_true", help="of trust, only the blind maps")
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
    content["trust"] = {**content.get("trust", {}), "seed": SEED + 1, "scenes": asked.trust}
    content["trust"]["blind"] = blind_verdicts(region_inputs(model, asked.trust), 3)
    print(json.dumps(content["trust"], indent=1), f"{time.time() - start:.0f} s", flush=True)
    if not asked.blind:
        content["trust"]["maps"] = trusted(model, asked.trust)
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["trust"], indent=1), f"{time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
