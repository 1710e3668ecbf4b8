"""Maps of single detections where the ground truth is known: scenes of toybox with two objects.

    python benchmarks/detection_ground_truth.py [--n 100] [--only energy,same_class,edges,missed,blind,power]

energy    positive evidence of each detection's map inside the true mask of its object, and of the other object
same_class  the same in scenes with two objects of one class
edges     the map of a box edge: positive evidence inside the object, and how much of it is on the half of that edge
missed    the object is removed and the scene rendered again: how the probability and the map of "class at x,y" change
blind     smooth random maps tested as maps of a detection: how often p <= .05, and a positive verdict
power     maps of detections: how often p <= .05, and the verdict
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
from numpy.typing import NDArray

import camlucida as cl
from blind_verdicts import blind_verdicts, rate, verdict_counts
from camlucida.attribution.bind_targets import bind_targets
from camlucida.attribution.explanation import Explanation
from camlucida.data import toybox
from camlucida.data.datasets import Item
from camlucida.evaluation.model_input import prepare_input
from camlucida.maps import to_image_grid
from camlucida.models.detection.readers import EDGES
from interleaved import machine

SEED = 7000
"""Scenes from this seed on were used neither in training nor to choose the default method."""
METHODS = ("grad_cam", "hires_cam", "layer_cam")
LAYERS = ("layer3", "layer4", "head")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--only", default=",".join(STUDIES))
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(__file__).parent / "results" / "detection_ground_truth.json"
    for name in arguments.only.split(","):
        start = time.perf_counter()
        row = STUDIES[name](arguments.n, arguments.seed)
        row = {"scenes": arguments.n, "seed": arguments.seed, **row, "seconds": round(time.perf_counter() - start)}
        print(f"{name}: {json.dumps(row, indent=2)}", flush=True)
        rows = json.loads(path.read_text())["rows"] if path.exists() else {}
        key = name if arguments.seed == SEED else f"{name}, seed {arguments.seed}"
        path.write_text(json.dumps({"machine": machine(), "rows": {**rows, key: row}}, indent=2) + "\n")


def scenes(n: int, seed: int, same: bool = False) -> Iterator[tuple[toybox.Scene, toybox.Drawing]]:
    """Yield scenes with two objects of different classes, or of the same class."""
    for i in range(n):
        kinds = [toybox.CLASSES[i % len(toybox.CLASSES)]] if same else None
        scene = toybox.scene((seed, i), kinds, objects=2)
        yield scene, scene.draw()


def evidence(explanation: Explanation, mask: NDArray[np.bool_]) -> float:
    """Return the fraction of the positive map values inside a mask, in pixels of the image."""
    values = np.clip(on_image(explanation), 0, None)
    return float(values[mask].sum() / max(values.sum(), 1e-12))


def on_image(explanation: Explanation) -> NDArray[np.float64]:
    """Return the signed map in pixels of the image."""
    return to_image_grid(explanation.raw, explanation.geometry).nan_to_num().double().numpy()


def middle(box: tuple[int, int, int, int]) -> str:
    return f"{(box[0] + box[2]) / 2:g},{(box[1] + box[3]) / 2:g}"


def same_class(n: int, seed: int) -> dict[str, Any]:
    """As `energy`, in scenes with two objects of one class."""
    return energy(n, seed, same=True)


def energy(n: int, seed: int, same: bool = False) -> dict[str, Any]:
    """The maps of both detections of a scene, by method and layer."""
    model = cl.load("toybox:detector")
    settings: list[tuple[str | None, str | None]] = [(None, None)]
    settings += [(method, layer) for method in METHODS for layer in LAYERS]
    rows: dict[str, list[tuple[float, float]]] = {}
    missed = 0
    for scene, drawing in scenes(n, seed, same):
        for j, placed in enumerate(scene.objects):
            target = f"{placed.kind} at {middle(drawing.boxes[j])}"
            for method, layer in settings:
                explanation = cl.explain(model, drawing.image, target=target, method=method, layer=layer)
                assert isinstance(explanation, Explanation)
                if "missed" in explanation.target:
                    missed += 1
                    break
                name = (
                    f"default: {explanation.method} at {explanation.layer}" if method is None else f"{method} {layer}"
                )
                inside, other = (evidence(explanation, drawing.masks[k]) for k in (j, 1 - j))
                rows.setdefault(name, []).append((inside, other))
    return {
        "missed": missed,
        **{
            name: {
                "majority inside": rate([inside > 0.5 for inside, _ in values]),
                "more inside than in the other object": rate([inside > other for inside, other in values]),
                "inside, mean": round(float(np.mean([inside for inside, _ in values])), 3),
                "in the other object, mean": round(float(np.mean([other for _, other in values])), 3),
            }
            for name, values in rows.items()
        },
    }


def edges(n: int, seed: int) -> dict[str, Any]:
    """The maps of the four edges: is the half of the object at that edge more important than the other?"""
    model = cl.load("toybox:detector")
    absolute: dict[str, list[float]] = {edge: [] for edge in EDGES}
    for _, drawing in scenes(n, seed):
        for explanation in cl.explain(model, drawing.image, target=[f"edge {edge} of box 1" for edge in EDGES]):
            assert explanation.region is not None
            left, top, right, bottom = explanation.region.box
            x, y = (np.arange(drawing.image.width) + 0.5)[None], (np.arange(drawing.image.height) + 0.5)[:, None]
            edge = explanation.target.split()[0]
            half = {
                "left": x < (left + right) / 2,
                "right": x >= (left + right) / 2,
                "top": y < (top + bottom) / 2,
                "bottom": y >= (top + bottom) / 2,
            }[edge]
            inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
            values = np.abs(on_image(explanation)) * inside
            absolute[edge].append(float((values * half).sum() / max(values.sum(), 1e-12)))
    return {
        edge: {"half at the edge, mean": round(float(np.mean(v)), 3), "more than half": rate([x > 0.5 for x in v])}
        for edge, v in absolute.items()
    }


def missed(n: int, seed: int) -> dict[str, Any]:
    """A scene with and without its first object: "class at x,y" is a detection, and then a missed object."""
    model = cl.load("toybox:detector")
    is_missed, probabilities, scores, correlations = [], [], [], []
    on_object: dict[str, list[list[float]]] = {"map": [], "contrast": [], "margin": [], "sum of the map": []}
    for scene, drawing in scenes(n, seed):
        target = f"{scene.objects[0].kind} at {middle(drawing.boxes[0])}"
        pair = [cl.explain(model, image, target=target) for image in (drawing.image, scene.without(0).picture())]
        if "missed" in pair[0].target:
            continue
        is_missed.append("missed" in pair[1].target)
        probabilities.append([explanation.region.probability for explanation in pair])
        scores.append([explanation.detection_margin().score for explanation in pair])
        mask = drawing.masks[0]
        maps = [on_image(explanation) for explanation in pair]
        on_object["map"].append([float(m[mask].mean()) for m in maps])
        on_object["contrast"].append([float(m[mask].mean() - m[~mask].mean()) for m in maps])
        on_object["margin"].append([float(on_image(e.detection_margin())[mask].mean()) for e in pair])
        on_object["sum of the map"].append([float(e.raw.sum()) for e in pair])
        both = np.stack([m.ravel() for m in maps])
        correlations.append(float(np.corrcoef(both)[0, 1]) if both.std(1).min() > 0 else 0.0)
    before, after = np.mean(probabilities, axis=0)
    return {
        "missed after the removal": rate(is_missed),
        "probability before, mean": round(float(before), 3),
        "probability after, mean": round(float(after), 4),
        "log-odds minus those of the threshold, means": [round(float(v), 2) for v in np.mean(scores, axis=0)],
        "correlation of the two maps, mean": round(float(np.mean(correlations)), 3),
        "map on the object falls": rate([a > b for a, b in on_object["map"]]),
        "flips (positive before, negative after)": {
            "log-odds minus those of the threshold": rate([a > 0 > b for a, b in scores]),
            "sum of the map": rate([a > 0 > b for a, b in on_object["sum of the map"]]),
            "map, mean on the object": rate([a > 0 > b for a, b in on_object["map"]]),
            "map, mean on the object minus elsewhere": rate([a > 0 > b for a, b in on_object["contrast"]]),
            "detection_margin, mean on the object": rate([a > 0 > b for a, b in on_object["margin"]]),
        },
        "means before and after": {
            key: [round(float(v), 4) for v in np.mean(values, axis=0)] for key, values in on_object.items()
        },
    }


def blind(n: int, seed: int) -> dict[str, Any]:
    """Maps that are independent of the image: several for each detection, whose windows are measured once."""
    return blind_verdicts(bound_inputs(n, seed), 2)


def bound_inputs(n: int, seed: int) -> Iterator[Any]:
    """Yield the first detection of each scene, as an input of the position test."""
    model = cl.load("toybox:detector")
    for i, (_, drawing) in enumerate(scenes(n, seed)):
        inputs, geometry = model.preprocessing(drawing.image)
        (bound,) = bind_targets(model, inputs, ["box 1"], geometry)
        yield prepare_input(bound.model, Item(drawing.image, f"scene {i}"), bound.target, target="true")


def power(n: int, seed: int) -> dict[str, Any]:
    """Both detections of each scene, tested as `trust` does."""
    model = cl.load("toybox:detector")
    results = []
    for scene, drawing in scenes(n, seed):
        for j, placed in enumerate(scene.objects):
            result = cl.trust(model, drawing.image, target=f"{placed.kind} at {middle(drawing.boxes[j])}")
            if "missed" not in result.target:
                results.append(result)
    tests = [t.position_test for t in results]
    return {
        "detections": len(results),
        "power: p <= .05": rate([test is not None and test.p <= 0.05 for test in tests]),
        "in the box, mean": round(float(np.mean([t.region.inside for t in results if t.region is not None])), 3),
        "area of the box, mean": round(float(np.mean([t.region.area for t in results if t.region is not None])), 3),
        **verdict_counts(results),
    }


STUDIES = {"energy": energy, "same_class": same_class, "edges": edges, "missed": missed, "blind": blind, "power": power}

if __name__ == "__main__":
    main()
