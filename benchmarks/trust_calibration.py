"""How often is the verdict right where the truth is known? Every threshold of camlucida.reliability stands on this.

    python benchmarks/trust_calibration.py [--n 100] [--only blind,clean] [--data ../shared/data]

blind     smooth random maps that know nothing: how often p <= .05. The guarantee is 5 % at most
clean     toybox scenes with one object, the network right: how often the place is found, and the verdict
empty     toybox scenes with nothing in them: how often the model is found guessing
random    networks with random weights: how often they are called out
hans      boats with a stamp, and the network that learned the stamp: called out without, and with, the object's mask
photos    ResNet-18 on photographs (of CAMLUCIDA_TEST_DATA): p, and the fall in nats against that of the moved maps
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor

import camlucida as cl
from camlucida.data import toybox
from camlucida.data.datasets import Item
from camlucida.evaluation.model_input import prepare_input
from camlucida.models.toybox_networks import build
from camlucida.reliability import Trust, trust
from camlucida.reliability.position_test import blur_images, position_test
from interleaved import machine

SEED = 5000
"""Scenes from here on chose none of the thresholds."""
KINDS = ("resnet", "vgg", "vit")
SMOOTH = 1 / 8
"""Standard deviation of what smooths the random maps, in sides."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--only", default=",".join(STUDIES))
    parser.add_argument("--data", default=os.environ.get("CAMLUCIDA_TEST_DATA", "../shared/data"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(__file__).parent / "results" / "trust_calibration.json"
    for name in arguments.only.split(","):
        begun = time.perf_counter()
        row = STUDIES[name](arguments.n, Path(arguments.data))
        row["seconds"] = round(time.perf_counter() - begun)
        print(f"{name}: {json.dumps(row, indent=2)}", flush=True)
        rows = json.loads(path.read_text())["rows"] if path.exists() else {}
        path.write_text(json.dumps({"machine": machine(), "rows": {**rows, name: row}}, indent=2) + "\n")


def blind(n: int, _: Path) -> dict[str, Any]:
    """As often as it likes: a random map has no place that matters."""
    model, p = cl.load("toybox"), []
    for i in counted(2 * n, "blind"):
        sight = prepare_input(model, Item(toybox.scene((SEED, i)).picture(), f"scene {i}"), None)
        found = position_test(sight, smooth_random(i))
        p.append(found.p if found else float("nan"))
    return {"p <= .05": share([value <= 0.05 for value in p]), "p <= .20": share([value <= 0.2 for value in p])}


def smooth_random(seed: int, side: int = 96) -> Tensor:
    """White noise, smoothed on the torus: every move of the group is as likely as it is."""
    white = torch.randn((1, 1, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return blur_images(white, SMOOTH * side, "circular")[0, 0]


def clean(n: int, _: Path) -> dict[str, Any]:
    """Where a verdict should be good."""
    found = [t for t, scene in judged(cl.load("toybox"), n, "clean") if t.predicted == scene.objects[0].kind]
    moved = [t.position_test for t in found if t.position_test is not None]
    return {
        "correct": len(found),
        "power: p <= .05": share([t.position_test is not None and t.position_test.p <= 0.05 for t in found]),
        "p > .20": share([place.p > 0.2 for place in moved]),
        "fall, elsewhere (nats)": falls(found),
        "guessing": share([t.confidence.guessing for t in found]),
        "edge decides": share([t.border_test.decides for t in found]),
        "beside the mask": share([t.region is not None and t.region.misses for t in found]),
        "stable": quantiles([t.record()["shifts"][0]["correlation"] for t in found]),
        **verdicts(found),
    }


def empty(n: int, _: Path) -> dict[str, Any]:
    """Nothing to see."""
    found = [t for t, _ in judged(cl.load("toybox"), n, "empty")]
    return {"guessing": share([t.confidence.guessing for t in found]), **verdicts(found)}


def random(n: int, _: Path) -> dict[str, Any]:
    """Every scene meets another network that has learned nothing."""
    found = []
    for i in counted(n, "random"):
        torch.manual_seed(SEED + i)
        model = replace(cl.load("toybox"), network=build(KINDS[i % len(KINDS)]).eval())
        found.append(trust(model, toybox.scene((SEED, i)).picture(), seed=i))
    return {"called out": share([t.verdict.belief != "believe it" for t in found]), **verdicts(found)}


def hans(n: int, _: Path) -> dict[str, Any]:
    """The network that looks at the stamp; and what the same rule says of it where there is no stamp."""
    scenes = list(judged(cl.load("toybox:cleverhans"), n, "watermark", ["boat"]))
    found = [t for t, _ in scenes]
    without = [replace(t, region=None) for t in found]
    honest = [t for t, _ in judged(cl.load("toybox"), n, "watermark", ["boat"])]
    return {
        "called out, no mask given": share([t.verdict.level != "believe it" for t in without]),
        "called out, mask given": share([t.verdict.level != "believe it" for t in found]),
        "edge decides": share([t.border_test.decides for t in found]),
        "beside the mask": share([t.region is not None and t.region.misses for t in found]),
        "inside the mask": quantiles([t.region.inside for t in found if t.region is not None]),
        "the honest network on the same scenes: edge decides": share([t.border_test.decides for t in honest]),
        "the honest network on the same scenes": verdicts(honest),
        **verdicts(found),
    }


def photos(n: int, data: Path) -> dict[str, Any]:
    """The photographs of one object class with boxes, right and wrong predictions."""
    model = cl.load(data / "weights" / "resnet18_imagenet.safetensors")
    known = json.loads((data / "dev" / "manifest.json").read_text())["images"]
    chosen = [photo for photo in known if photo["kind"] == "imagenet_val"]
    chosen = [chosen[i] for i in np.random.default_rng(SEED).permutation(len(chosen))[: max(8, n // 2)]]
    found = []
    right = []
    for i in counted(len(chosen), "photos"):
        t = trust(model, data / "dev" / chosen[i]["file"], seed=i)
        found.append(t)
        right.append(_right(model, t, chosen[i]))
    return {
        "n": len(found),
        "correct": share(right),
        "p <= .05": share([t.place is not None and t.place.p <= 0.05 for t in found]),
        "p <= .05, correct": share(
            [t.place is not None and t.place.p <= 0.05 for t, r in zip(found, right, strict=True) if r]
        ),
        "fall, elsewhere (nats)": falls(found),
        "guessing, correct": share([t.certainty.guessing for t, r in zip(found, right, strict=True) if r]),
        "guessing, wrong": share([t.certainty.guessing for t, r in zip(found, right, strict=True) if not r]),
        "unsure": quantiles([t.certainty.unsure for t in found]),
        "edge decides": share([t.edge.decides for t in found]),
        **verdicts(found),
    }


def _right(model: cl.Model, t: Trust, photo: dict[str, Any]) -> bool:
    return any(t.predicted == model.labels[k] for k in photo["accepted_indices"])


def judged(
    model: cl.Model, n: int, variant: Any, kinds: list[str] | None = None
) -> Iterator[tuple[Trust, toybox.Scene]]:
    """The verdict on scenes, with the mask of the object where there is one."""
    for i in counted(n, variant):
        scene = toybox.scene((SEED, i), kinds, variant=variant)
        drawing = scene.draw()
        yield trust(model, drawing.image, region=drawing.masks[0] if scene.objects else None, seed=i), scene


def counted(n: int, what: str) -> Iterator[int]:
    """0 to n - 1, saying how far it is."""
    for i in range(n):
        print(f"\r{what} {i}/{n}", end="", flush=True)
        yield i
    print("\r", end="")


def share(hits: list[bool]) -> str:
    """With its exact (Clopper and Pearson) 95 % interval."""
    k, n = sum(hits), len(hits)
    if not n:
        return "0 of 0"
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return f"{k / n:.1%} ({low:.1%} to {high:.1%}; {k} of {n})"


def falls(found: list[Trust]) -> list[float]:
    """The mean over pictures, at the map and elsewhere."""
    places = [t.position_test for t in found if t.position_test is not None]
    return [round(float(np.mean([getattr(p, which) for p in places])), 3) for which in ("fall", "elsewhere")]


def quantiles(values: list[float]) -> list[float]:
    """Lowest, 5 %, half, 95 %, highest."""
    known = [v for v in values if v is not None]
    return [round(float(v), 3) for v in np.quantile(known, (0, 0.05, 0.5, 0.95, 1))] if known else []


def verdicts(found: list[Trust]) -> dict[str, Any]:
    """How often each, and the reasons without their numbers."""
    return {
        "verdicts": dict(Counter(t.verdict.level for t in found)),
        "reasons": dict(Counter(reason.partition("(")[0].strip() for t in found for reason in t.verdict.reasons)),
    }


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
