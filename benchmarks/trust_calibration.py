"""Accuracy of the verdict where the ground truth is known. The thresholds of camlucida.reliability are based on it.

    python benchmarks/trust_calibration.py [--n 100] [--only blind,clean] [--data ../shared/data]

blind     smooth random maps: how often p <= .05, and a positive verdict; at most 5 % are guaranteed
clean     toybox scenes with one object, predicted correctly: power of the position test, and the verdict
empty     toybox scenes without an object: how often the prediction is detected as a guess
random    networks with random weights: how often their maps are detected
hans      boats with a watermark, and the network that learnt it: detected without, and with, the mask of the boat
photos    ResNet-18 on photographs (of CAMLUCIDA_TEST_DATA), of the half on which nothing of the test was chosen:
          Grad-CAM, and maps that do not depend on the image: smooth random maps, a spot in the middle, Grad-CAM of the
          other photographs
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import camlucida as cl
from blind_verdicts import N_RANDOM_MAPS, blind_verdicts, p_of_map, rate, smooth_random, verdict_counts
from camlucida.data import toybox
from camlucida.data.datasets import Item
from camlucida.evaluation.model_input import fill_in, prepare_input, valid_region
from camlucida.models.toybox_networks import build
from camlucida.reliability import Trust, trust
from interleaved import machine

SEED = 5000
"""Scenes from this seed on were not used to choose any threshold."""
SPLIT_SEED = "verdict-2026-11-28"
"""Seed of the order of the photographs: by the SHA-256 of seed and file name."""
N_CHOOSING = 60
"""Number of photographs in the first half, on which the shape and the kinds of the windows were chosen."""
LARGE_FRACTION = 0.5
"""Fraction of the network input that the boxes of a large object cover."""
KINDS = ("resnet", "vgg", "vit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--only", default=",".join(STUDIES))
    parser.add_argument("--data", default=os.environ.get("CAMLUCIDA_TEST_DATA", "../shared/data"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(__file__).parent / "results" / "trust_calibration.json"
    for name in arguments.only.split(","):
        start = time.perf_counter()
        row = STUDIES[name](arguments.n, Path(arguments.data))
        row["seconds"] = round(time.perf_counter() - start)
        print(f"{name}: {json.dumps(row, indent=2)}", flush=True)
        rows = json.loads(path.read_text())["rows"] if path.exists() else {}
        path.write_text(json.dumps({"machine": machine(), "rows": {**rows, name: row}}, indent=2) + "\n")


def blind(n: int, _: Path) -> dict[str, Any]:
    """Maps that are independent of the image: several for each scene, whose windows are measured once."""
    model = cl.load("toybox")
    scenes = (Item(toybox.scene((SEED, i)).picture(), f"scene {i}") for i in counted(n, "blind"))
    return blind_verdicts((prepare_input(model, scene, None) for scene in scenes), 1)


def clean(n: int, _: Path) -> dict[str, Any]:
    """Maps that should be supported."""
    results = [t for t, scene in trust_scenes(cl.load("toybox"), n, "clean") if t.predicted == scene.objects[0].kind]
    return {
        "correct": len(results),
        "power: p <= .05": rate([p_of(t) <= 0.05 for t in results]),
        "p > .20": rate([t.position_test.p > 0.2 for t in results if t.position_test is not None]),
        "drop, at other positions (nats)": mean_drops(results),
        "guessing": rate([t.confidence.guessing for t in results]),
        "border decides": rate([t.border_test.decides for t in results]),
        "misses the mask": rate([t.region is not None and t.region.misses for t in results]),
        "correlation with a shifted copy": quantiles([t.shifts[0].correlation for t in results]),
        **verdict_counts(results),
    }


def empty(n: int, _: Path) -> dict[str, Any]:
    """Predictions that should be guesses."""
    results = [t for t, _ in trust_scenes(cl.load("toybox"), n, "empty")]
    return {"guessing": rate([t.confidence.guessing for t in results]), **verdict_counts(results)}


def random(n: int, _: Path) -> dict[str, Any]:
    """Maps of networks with random weights, a different one for each scene."""
    results = []
    for i in counted(n, "random"):
        torch.manual_seed(SEED + i)
        model = replace(cl.load("toybox"), network=build(KINDS[i % len(KINDS)]).eval())
        results.append(trust(model, toybox.scene((SEED, i)).picture(), seed=i))
    return {"detected": rate([t.verdict.level != "supported" for t in results]), **verdict_counts(results)}


def hans(n: int, _: Path) -> dict[str, Any]:
    """The network that learnt the watermark, and the unbiased network on the same scenes."""
    results = [t for t, _ in trust_scenes(cl.load("toybox:cleverhans"), n, "watermark", ["boat"])]
    without_region = [replace(t, region=None) for t in results]
    unbiased = [t for t, _ in trust_scenes(cl.load("toybox"), n, "watermark", ["boat"])]
    return {
        "detected without the mask": rate([t.verdict.level != "supported" for t in without_region]),
        "detected with the mask": rate([t.verdict.level != "supported" for t in results]),
        "border decides": rate([t.border_test.decides for t in results]),
        "misses the mask": rate([t.region is not None and t.region.misses for t in results]),
        "inside the mask": quantiles([t.region.inside for t in results if t.region is not None]),
        "unbiased network: border decides": rate([t.border_test.decides for t in unbiased]),
        "unbiased network": verdict_counts(unbiased),
        **verdict_counts(results),
    }


def photos(n: int, data: Path) -> dict[str, Any]:
    """Photographs of the second half, with correct and wrong predictions, and maps that do not depend on the image."""
    model = cl.load(data / "weights" / "resnet18_imagenet.safetensors")
    entries = photographs(data)[N_CHOOSING:][:n]
    results = [trust(model, data / "dev" / entries[i]["file"], seed=i) for i in counted(len(entries), "photos")]
    covered = [box_fraction(t, entry) for t, entry in zip(results, entries, strict=True)]
    correct, wrong = [], []
    for t, entry in zip(results, entries, strict=True):
        accepted = [model.labels[k] for k in entry["accepted_indices"]]
        (correct if t.predicted in accepted else wrong).append(t)
    of_correct = [(p_of(t), fraction) for t, fraction in zip(results, covered, strict=True) if t in correct]
    maps = {
        "smooth random maps": [
            [smooth_random(N_RANDOM_MAPS * i + k) for k in range(N_RANDOM_MAPS)] for i in range(len(results))
        ],
        "a spot in the middle": [[middle_spot()] for _ in results],
        "Grad-CAM of the other photographs": [[other.map for other in results if other is not t] for t in results],
    }
    return {
        "n": len(results),
        "correct": rate([t in correct for t in results]),
        "p <= .05": rate([p_of(t) <= 0.05 for t in results]),
        "p <= .05, correct": rate([p_of(t) <= 0.05 for t in correct]),
        "p <= .05, wrong": rate([p_of(t) <= 0.05 for t in wrong]),
        "p > .20, correct": rate([p_of(t) > 0.2 for t in correct]),
        "p, correct": quantiles([p_of(t) for t in correct]),
        "p <= .05, correct, boxes cover at most half": rate([p <= 0.05 for p, f in of_correct if f <= LARGE_FRACTION]),
        "p <= .05, correct, boxes cover more than half": rate([p <= 0.05 for p, f in of_correct if f > LARGE_FRACTION]),
        "p > .05, correct: p and fraction that the boxes cover": [
            [round(p, 3), round(f, 2)] for p, f in sorted(of_correct) if p > 0.05
        ],
        **{f"p <= .05, {name}": significance_rate(results, others) for name, others in maps.items()},
        "drop, at other positions (nats)": mean_drops(results),
        "guessing, correct": rate([t.confidence.guessing for t in correct]),
        "guessing, wrong": rate([t.confidence.guessing for t in wrong]),
        "normalised entropy": quantiles([t.confidence.unsure for t in results]),
        "border decides": rate([t.border_test.decides for t in results]),
        "verdicts, correct": dict(Counter(t.verdict.level for t in correct)),
        **verdict_counts(results),
    }


def photographs(data: Path) -> list[dict[str, Any]]:
    """Return the photographs of ImageNet in a random order that depends on their names alone."""
    entries = json.loads((data / "dev" / "manifest.json").read_text())["images"]
    entries = [entry for entry in entries if entry["kind"] == "imagenet_val"]
    return sorted(entries, key=lambda entry: hashlib.sha256(f"{SPLIT_SEED}/{entry['file']}".encode()).hexdigest())


def box_fraction(t: Trust, entry: dict[str, Any]) -> float:
    """Return the fraction of the network input that the boxes of the labelled class cover."""
    boxes = torch.tensor([box for item in entry["objects"] for box in item["boxes"]], dtype=torch.float64)
    return float(valid_region(fill_in(boxes, t.geometry.original), t.geometry).double().mean())


def middle_spot(side: int = 96) -> Tensor:
    """Return a Gaussian spot in the middle, with a standard deviation of a fifth of the side."""
    squared = ((torch.arange(side, dtype=torch.float64) + 0.5) / side - 0.5).square()
    return (-(squared[:, None] + squared) / (2 * 0.2**2)).exp()


def significance_rate(results: list[Trust], maps: list[list[Tensor]]) -> str:
    """Return how often other maps of each image have p <= .05."""
    tests = [t.position_test for t in results]
    pairs = [(test, map_) for test, others in zip(tests, maps, strict=True) if test for map_ in others]
    return rate([p_of_map(test, map_) <= 0.05 for test, map_ in pairs if float(map_.max()) > float(map_.min())])


def trust_scenes(
    model: cl.Model, n: int, variant: Any, kinds: list[str] | None = None
) -> Iterator[tuple[Trust, toybox.Scene]]:
    """Yield the results for scenes, with the mask of the object if there is one."""
    for i in counted(n, variant):
        scene = toybox.scene((SEED, i), kinds, variant=variant)
        drawing = scene.draw()
        yield trust(model, drawing.image, region=drawing.masks[0] if scene.objects else None, seed=i), scene


def counted(n: int, name: str) -> Iterator[int]:
    """Yield 0 to n - 1, and print the progress."""
    for i in range(n):
        print(f"\r{name} {i}/{n}", end="", flush=True)
        yield i
    print("\r", end="")


def p_of(t: Trust) -> float:
    """Return the p-value of the position test; 1 for a constant map."""
    return 1.0 if t.position_test is None else t.position_test.p


def mean_drops(results: list[Trust]) -> list[float]:
    """Return the mean drop over the images, for the highlighted region and for discs of its area at all positions."""
    tests = [t.position_test for t in results if t.position_test is not None]
    means = np.mean([[test.drop, test.mean_drop_elsewhere] for test in tests], axis=0)
    return [round(float(mean), 3) for mean in means]


def quantiles(values: list[float]) -> list[float]:
    """Return minimum, 5 %, median, 95 % and maximum of the values that are defined."""
    defined = [v for v in values if not math.isnan(v)]
    return [round(float(v), 3) for v in np.quantile(defined, (0, 0.05, 0.5, 0.95, 1))] if defined else []


STUDIES: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    "blind": blind,
    "clean": clean,
    "empty": empty,
    "random": random,
    "hans": hans,
    "photos": photos,
}


if __name__ == "__main__":
    main()
