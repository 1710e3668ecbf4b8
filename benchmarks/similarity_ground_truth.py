"""Measure whether the similarity of two photographs is explained by the object they share, on photographs with boxes.

    python benchmarks/similarity_ground_truth.py --data /path/to/data-pack [--method grad_cam,occlusion] [--pairs 40]

Each pair is two photographs of the same kind (two dogs, two cats, or one ImageNet class), or, as a control, of
different kinds. The network is an ImageNet ResNet-18, whose embedding is the input of its last linear layer. For both
photographs, the
energy of the map inside the boxes of the class is compared with the part of the image that the boxes cover (which a
uniform map has), and with the map of the class itself. Results: benchmarks/results/similarity_ground_truth.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file

import camlucida as cl
from camlucida.models.labels import imagenet_names

RESULTS = Path(__file__).parent / "results" / "similarity_ground_truth.json"


def energy_in_boxes(explanation: cl.Explanation, boxes: list[list[float]]) -> tuple[float, float]:
    """Return the part of the positive map inside the boxes, and the part of the seen image that they cover."""
    landed = explanation.landed
    seen = ~np.isnan(landed)
    positive = np.nan_to_num(landed).clip(min=0)
    inside = np.zeros(landed.shape, bool)
    for left, top, right, bottom in boxes:
        inside[round(top) : round(bottom), round(left) : round(right)] = True
    total = float(positive.sum())
    return (float(positive[inside].sum()) / total if total else 0.0), float(inside[seen].mean())


def pairs_of(photos: list[dict[str, Any]], n: int, *, same: bool) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return pairs of photographs whose classes are the same, or differ, at most n and the same for every call."""
    found = [(a, b) for i, a in enumerate(photos) for b in photos[i + 1 :] if (a["group"] == b["group"]) is same]
    order = np.random.default_rng(0).permutation(len(found))
    return [found[i] for i in order[:n]]


def group_of(index: int) -> str:
    """Return the kind of an ImageNet class: a dog, a cat, or the class itself."""
    return "dog" if 151 <= index <= 268 else "cat" if 281 <= index <= 285 else str(index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", default="grad_cam,hires_cam")
    parser.add_argument("--pairs", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = torchvision.models.resnet18()
    network.load_state_dict(load_file(options.data / "weights" / "resnet18_imagenet.safetensors"), strict=True)
    model = cl.wrap(
        network.eval(), labels=imagenet_names(), preprocess=torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    )
    manifest = json.loads((options.data / "dev" / "manifest.json").read_text())
    photos = [
        {
            "file": entry["file"],
            "index": entry["imagenet_index"],
            "group": group_of(entry["imagenet_index"]),
            "boxes": [box for part in entry["objects"] for box in part["boxes"]],
        }
        for entry in manifest["images"]
        if entry["kind"] == "imagenet_val" and entry.get("objects")
    ]
    results: list[dict[str, Any]] = []
    for method in options.method.split(","):
        for kind in ("same", "different"):
            rows: list[tuple[float, float, float, float]] = []
            for a, b in pairs_of(photos, options.pairs, same=kind == "same"):
                paths = [options.data / "dev" / photo["file"] for photo in (a, b)]
                both = cl.explain(model, paths[0], like=paths[1], method=method)
                for photo, path, explanation in zip((a, b), paths, both, strict=True):
                    of_class = cl.explain(model, path, target=photo["index"], method=method)
                    energy, area = energy_in_boxes(explanation, photo["boxes"])
                    rows.append((energy, area, energy_in_boxes(of_class, photo["boxes"])[0], explanation.score))
            energy, area, of_class_energy, cosine = np.array(rows).mean(0)
            differences = np.array([row[0] - row[1] for row in rows])
            error = differences.std(ddof=1) / np.sqrt(len(rows))
            above = float((differences > 0).mean())
            results.append(
                {
                    "method": method,
                    "pairs": kind,
                    "n_maps": len(rows),
                    "energy_in_box": round(float(energy), 3),
                    "uniform": round(float(area), 3),
                    "difference_standard_error": round(float(error), 3),
                    "above_uniform": round(above, 3),
                    "class_map_energy_in_box": round(float(of_class_energy), 3),
                    "cosine": round(float(cosine), 3),
                }
            )
            print(json.dumps(results[-1]), flush=True)
    RESULTS.write_text(
        json.dumps(
            {
                "command": f"similarity_ground_truth.py --method {options.method} --pairs {options.pairs}",
                "rows": results,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
