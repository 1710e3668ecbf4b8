"""Metrics of volumes: the same numbers as for an image where a volume has one slice, and by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics import find
from camlucida.tasks import MULTICLASS


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def score(inputs: Tensor) -> Tensor:
    """Class scores of inputs `(n, c, *grid)`: a weighted mean of the first channel."""
    values = inputs[:, 0].flatten(1)
    weights = torch.linspace(0, 1, values.shape[1], dtype=torch.float64)
    return torch.stack([values @ weights / values.shape[1], values.mean(1) * 0], 1)


def inputs_of(relevance: Tensor, image: Tensor) -> dict[str, Any]:
    ones = [1] * relevance.ndim
    region = relevance > 0.6
    return {
        "relevance": relevance,
        "signed": relevance,
        "raw": relevance,
        "display_map": relevance,
        "region": region,
        "mask": region,
        "boxes": torch.tensor([[0.0, 0, 2, 2]]),
        "input_boxes": torch.tensor([[0.0, 0, 2, 2]]),
        "input_region": region,
        "other_objects_mask": ~region,
        "inputs": image,
        "logits": score(image[None])[0],
        "target": 0,
        "label": 0,
        "present_classes": (0,),
        "pixel_scale": torch.ones(2, *ones, dtype=torch.float64),
        "black_level": torch.zeros(2, *ones, dtype=torch.float64),
        "predict": lambda variants, n: score(variants(torch.arange(n))),
        "explain": lambda images: images[:, 0],
        "random": torch.Generator().manual_seed(0),
        "activation": MULTICLASS,
    }


def measure(name: str, values: dict[str, Any], **options: Any) -> dict[str, Any]:
    metric = find(name).metric
    return metric(*(values[need] for need in metric.needs), **options)


SUPPORTED = {
    "deletion": {"steps": 6},
    "insertion": {"steps": 6, "infill": "mean"},
    "saco": {"groups": 5},
    "average_drop": {},
    "adcc": {},
    "gini": {},
    "entropy": {},
    "effective_area": {},
    "auroc": {},
    "average_precision": {},
    "energy": {},
    "relevance_rank": {},
    "pxap": {},
    "max_sensitivity": {"n": 2},
    "noise_stability": {"n": 2},
}


@pytest.mark.parametrize("name", sorted(SUPPORTED))
def test_one_slice_has_the_numbers_of_an_image(name: str) -> None:
    relevance, image = numbers(5, 6), numbers(2, 5, 6, seed=1)
    flat = measure(name, inputs_of(relevance, image), **SUPPORTED[name])
    deep = measure(name, inputs_of(relevance[None], image[:, None]), **SUPPORTED[name])
    for key, expected in flat.items():
        assert deep[key].value == pytest.approx(expected.value, nan_ok=True, rel=1e-3, abs=1e-3), key


def test_deletion_by_hand() -> None:
    relevance, image = numbers(3, 4, 5), numbers(2, 3, 4, 5, seed=1)
    result = measure("deletion", inputs_of(relevance, image), step=20, infill="zeros")["deletion_logit"]
    order = relevance.flatten().argsort(descending=True)
    curve = []
    for count in (0, 20, 40, 60):
        changed = image.clone().flatten(1)
        changed[:, order[:count]] = 0
        curve.append(float(score(changed.view_as(image)[None])[0, 0]))
    assert result.value == pytest.approx((curve[0] / 2 + curve[1] + curve[2] + curve[3] / 2) / 3)


@pytest.mark.parametrize("name", ["mu_fidelity", "sensitivity_n", "single_deletion", "aopc"])
def test_cells_are_boxes(name: str) -> None:
    options = {
        "mu_fidelity": {"cells": 3, "samples": 30},
        "sensitivity_n": {"cells": 3},
        "single_deletion": {"cells": 2},
    }
    relevance = numbers(6, 6, 6)
    weights = torch.linspace(0, 1, 216, dtype=torch.float64).view(6, 6, 6)
    values = inputs_of(weights, numbers(2, 6, 6, 6, seed=1) * 0 + 1)
    values["relevance"] = weights + 0.01 * relevance
    result = measure(name, values, **options.get(name, {}))[name].value
    assert result > (0.9 if name != "aopc" else 0)


@pytest.mark.parametrize(
    "name",
    ["centre_offset", "pointing", "box_iou", "max_box_acc", "mask_iou", "infidelity", "shift_stability", "road"],
)
def test_metrics_of_images_say_so(name: str) -> None:
    with pytest.raises(MetricError, match="is defined for images, and this is a volume or a video of 3×4×5"):
        measure(name, inputs_of(numbers(3, 4, 5), numbers(2, 3, 4, 5, seed=1)))
