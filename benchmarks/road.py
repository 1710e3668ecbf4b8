"""ROAD and deletion on ResNet-50, one picture, in batch-1 forwards: python benchmarks/road.py [--rounds 3]."""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that spins while it waits would count as work

import numpy as np
import torch
from torch import Tensor, nn

from camlucida.engine import InputVariants, copy_of
from camlucida.metrics import deletion, road
from camlucida.metrics.common.imputation import impute
from interleaved import machine, ratios, timed
from networks import forward, perturbed

TARGET = 3
RESULTS = Path(__file__).parent / "results"


def run(rounds: int) -> list[dict[str, Any]]:
    """Nine fractions in both orders, ours and grad-cam's; then deletion curves, a point at a time and in batches."""
    network, image = perturbed("resnet50"), torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():  # random weights are far too sure of themselves for probabilities to be compared
        logits = network(image)
        network.get_submodule("fc").weight /= logits.std()
        network.get_submodule("fc").bias /= logits.std()
    # As smooth as a map of a last layer, and without ties, where percentiles and ranks mean the same pixels.
    coarse = torch.rand(1, 1, 7, 7, generator=torch.Generator().manual_seed(2))
    heat = nn.functional.interpolate(coarse, size=(224, 224), mode="bilinear")[0, 0]
    return [_road(network, image, heat, rounds), _deletion(network, image, heat, rounds)]


def _road(network: nn.Module, image: Tensor, heat: Tensor, rounds: int) -> dict[str, Any]:
    places = heat.flatten().argsort(descending=True).argsort().reshape(heat.shape)
    counts = torch.tensor([round(p / 10 * places.numel()) for p in range(1, 10)])[:, None, None]
    missing = torch.cat([places < counts, places >= places.numel() - counts])
    candidates = {
        "forward": lambda: forward(network, image),
        "camlucida road (aim ≤ 30)": lambda: _ours(network, image, heat),
        "camlucida, its imputation of 18 pictures alone": lambda: impute(image[0], missing),
        "grad-cam ROADCombined": lambda: _theirs(network, image, heat),
    }
    return {
        "what": "road resnet50, nine fractions, both orders",
        "aim": "≤ 30",
        "forwards": ratios(timed(candidates, rounds=rounds), "forward"),
        "combined score without noise: camlucida, grad-cam": [
            _ours(network, image, heat, noise=0.0),
            _theirs(network, image, heat, noise=0.0),
        ],
    }


def _ours(network: nn.Module, image: Tensor, heat: Tensor, **options: float) -> float:
    return road(*_evidence(network, image, heat, road.needs), **options)["road_gap"].value / 2


def _theirs(network: nn.Module, image: Tensor, heat: Tensor, *, noise: float = 0.01) -> float:
    from pytorch_grad_cam.metrics import road as theirs
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    before = theirs.NoisyLinearImputer.__init__.__defaults__
    theirs.NoisyLinearImputer.__init__.__defaults__ = (noise, theirs.neighbors_weights)
    try:
        targets = [ClassifierOutputSoftmaxTarget(TARGET)]
        return float(theirs.ROADCombined()(image, heat.numpy()[None], targets, network)[0])
    finally:
        theirs.NoisyLinearImputer.__init__.__defaults__ = before


def _deletion(network: nn.Module, image: Tensor, heat: Tensor, rounds: int) -> dict[str, Any]:
    """Curves of 29 and 101 points; the second is long enough to be run on folded norms."""
    aim = "≤ 1.1 a point"
    candidates: dict[str, Callable[[], Any]] = {"forward": lambda: forward(network, image)}
    for steps in (28, 100):
        evidence = _evidence(network, image, heat, deletion.needs)
        candidates[f"camlucida deletion, a point of {steps + 1}"] = lambda e=evidence, n=steps: deletion(*e, steps=n)
    found = ratios(timed(candidates, rounds=rounds), "forward")
    for name, numbers in found.items():
        points = int(name.rsplit(" ", 1)[1]) if "point of" in name else 1
        found[name] = {key: round(value / points, 3) for key, value in numbers.items()}
    return {"what": "deletion resnet50, forwards a point", "aim": aim, "forwards": found}


def _evidence(network: nn.Module, image: Tensor, heat: Tensor, needs: tuple[str, ...]) -> list[Any]:
    pictures = InputVariants(copy_of(network), image, lambda output: output)

    def predict(variants: Callable[[Tensor], Tensor], count: int) -> Tensor:
        return pictures.outputs(lambda which: variants(which)[:, None], count)[:, 0]

    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    known = {
        "relevance": heat,
        "inputs": image[0],
        "target": TARGET,
        "pixel": 1 / std,
        "black": torch.tensor(np.float32([-0.485, -0.456, -0.406]))[:, None, None] / std,
        "predict": predict,
        "random": torch.Generator().manual_seed(0),
    }
    return [known[need] for need in needs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    rows = run(arguments.rounds)
    for row in rows:
        print(json.dumps(row, indent=2, ensure_ascii=False))
    RESULTS.mkdir(exist_ok=True)
    stored = {"machine": machine(), "rows": rows}
    (RESULTS / "road.json").write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
