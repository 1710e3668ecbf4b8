"""Ground truth of caption maps: in a scene of two objects, does the map of each noun lie on its object?

The captioner toybox:captioner writes "a cat and a dog" about scenes that it was not trained on. Of every scene whose
caption is right, and of both nouns, the energy of the map (the sum of its positive part) is measured on the mask of the
noun's object and on that of the other one. A scene counts as right if, for both nouns,

- the energy per scene is larger on the noun's object than on the other object, and
- more than half of the energy on the image lies inside the box of the noun's object, enlarged by one cell of the
  layer's grid (8 of 96 pixels) on every side, since a map cannot be finer than its grid.

With --trust N, `trust` is asked about the nouns of N further scenes instead: blind maps (smooth random maps, which are
independent of the image; at most 5 % may get a positive verdict), and the maps of the default method.

Usage: python benchmarks/caption_ground_truth.py [--scenes 200] [--trust 0] [--method grad_cam] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import camlucida as cl
from blind_verdicts import POSITIVE, blind_verdicts, rate, verdict_counts
from camlucida.attribution.bind_targets import bind_targets
from camlucida.data import toybox
from camlucida.data.datasets import Item
from camlucida.evaluation.model_input import ModelInput, prepare_input

RESULTS = Path(__file__).resolve().parent / "results" / "caption_ground_truth.json"
SEED = 417_000
"""Seeds of scenes; training uses others."""
MIN_DISTANCE = 0.1
"""Smallest distance of the two centres, in widths of the image, of scenes whose order from left to right is clear."""
NOUNS = (2, 5)
"""Numbers of the nouns in the words of "a cat and a dog"."""
MARGIN_PX = 8
"""One cell of the layer's grid, 12 × 12 on 96 pixels."""


def measure(method: str, n_scenes: int) -> dict[str, Any]:
    """Return the fractions of scenes and nouns that are right for a method."""
    model = cl.load("toybox:captioner")
    n_right_captions = n_tried = 0
    nouns: list[tuple[bool, bool, float, float]] = []
    scenes: list[bool] = []
    index = 0
    while n_tried < n_scenes:
        scene = toybox.scene((SEED, index), objects=2)
        index += 1
        order = sorted(range(2), key=lambda i: scene.objects[i].x)
        if scene.objects[order[1]].x - scene.objects[order[0]].x < MIN_DISTANCE:
            continue
        n_tried += 1
        drawing = scene.draw()
        explanations = list(cl.explain(model, drawing.image, method=method))
        text = [e.target.partition(" (")[0] for e in explanations]
        if text != f"a {scene.objects[order[0]].kind} and a {scene.objects[order[1]].kind}".split():
            continue
        n_right_captions += 1
        of_scene = []
        for explanation, own, other in ((explanations[1], *order), (explanations[4], *order[::-1])):
            energy = np.nan_to_num(explanation.landed).clip(0)
            left, top, right, bottom = drawing.boxes[own]
            inside = np.zeros(energy.shape, bool)
            inside[max(0, top - MARGIN_PX) : bottom + MARGIN_PX, max(0, left - MARGIN_PX) : right + MARGIN_PX] = True
            total = float(energy.sum())
            on_own, on_other = (float(energy[drawing.masks[i]].sum()) for i in (own, other))
            fraction = float(energy[inside].sum()) / total if total else 0.0
            of_scene.append((on_own > on_other, fraction > 0.5, fraction, on_own / max(on_own + on_other, 1e-12)))
        nouns += of_scene
        scenes.append(all(own and inside for own, inside, *_ in of_scene))
    own, inside, fractions, shares = (np.array(column, dtype=float) for column in zip(*nouns, strict=True))
    return {
        "method": method,
        "n_scenes": n_tried,
        "captions_right": n_right_captions / n_tried,
        "scenes_right": float(np.mean(scenes)),
        "nouns_on_own_object": float(own.mean()),
        "nouns_mostly_inside": float(inside.mean()),
        "mean_energy_inside": float(fractions.mean()),
        "mean_energy_on_own_of_both": float(shares.mean()),
    }


def trusted(n_scenes: int) -> dict[str, Any]:
    """Return how often trust gives a positive verdict on blind maps of nouns, and on those of the default method."""
    model = cl.load("toybox:captioner")
    images = [toybox.scene((SEED + 1, i), objects=2).picture() for i in range(n_scenes)]
    blind = blind_verdicts(noun_inputs(model, images), 4)
    results = [
        cl.trust(model, image, target=f"word {word}", seed=i) for i, image in enumerate(images) for word in NOUNS
    ]
    return {
        "seed": SEED + 1,
        "scenes": n_scenes,
        "blind": blind,
        "default method": {
            "method": results[0].method,
            "nouns": len(results),
            "p <= .05": rate([t.position_test is not None and t.position_test.p <= 0.05 for t in results]),
            "supported or weakly supported": rate([t.verdict.level in POSITIVE for t in results]),
            **verdict_counts(results),
        },
    }


def noun_inputs(model: cl.Model, images: list[Image.Image]) -> Iterator[ModelInput]:
    """Yield the first noun of each caption as an input of the position test."""
    for i, image in enumerate(images):
        inputs, geometry = model.preprocessing(image)
        (bound,) = bind_targets(model, inputs, [f"word {NOUNS[0]}"], geometry)
        yield prepare_input(bound.model, Item(image, f"scene {i}"), bound.target, target="true")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--trust", type=int, default=0, help="scenes for trust; 0 measures the maps instead")
    parser.add_argument("--method", action="append", help="can be repeated")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    content: dict[str, Any] = json.loads(given.output.read_text()) if given.output.is_file() else {}
    content["criterion"] = " ".join(str(__doc__).split())
    content["versions"] = {
        "camlucida": cl.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if given.trust:
        content["trust"] = trusted(given.trust)
        print(json.dumps(content["trust"], indent=1), flush=True)
    else:
        content["results"] = []
        for method in given.method or ["grad_cam", "hires_cam", "layer_cam"]:
            content["results"].append(measure(method, given.scenes))
            print(json.dumps(content["results"][-1]), flush=True)
    given.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
