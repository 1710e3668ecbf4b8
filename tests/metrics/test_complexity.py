"""Complexity of maps, against closed forms and SciPy."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from torch import Tensor

from camlucida.metrics import find

SINGLE_PIXEL = torch.zeros(8, 8, dtype=torch.float64)
SINGLE_PIXEL[2, 3] = 5.0
CONSTANT = torch.full((8, 8), 3.0, dtype=torch.float64)
RANDOM = torch.randn(9, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def score(name: str, map_: Tensor, **options: float) -> float:
    return find(name).metric(map_, **options)[name].value


def test_entropy() -> None:
    assert score("entropy", SINGLE_PIXEL) == pytest.approx(0)
    assert score("entropy", CONSTANT) == pytest.approx(6)
    assert score("entropy", RANDOM) == pytest.approx(scipy_entropy(RANDOM.abs().flatten().numpy(), base=2))


def test_gini() -> None:
    assert score("gini", CONSTANT) == pytest.approx(0)
    assert score("gini", SINGLE_PIXEL) == pytest.approx(63 / 64)
    sizes = RANDOM.abs().flatten()
    differences = (sizes[:, None] - sizes).abs().sum() / (2 * len(sizes) * sizes.sum())  # the equivalent definition
    assert score("gini", RANDOM) == pytest.approx(float(differences))


def test_effective_area() -> None:
    assert score("effective_area", SINGLE_PIXEL) == pytest.approx(1 / 64)
    assert score("effective_area", CONSTANT) == 1
    steps = torch.arange(1.0, 11.0)[None]
    assert score("effective_area", steps) == pytest.approx(0.6)
    assert score("effective_area", steps, threshold=0.95) == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["entropy", "gini", "effective_area"])
def test_an_empty_map_is_nan(name: str) -> None:
    assert math.isnan(score(name, torch.zeros(4, 4)))


@pytest.mark.parametrize("name", ["entropy", "gini", "effective_area"])
def test_scale_does_not_matter(name: str) -> None:
    assert score(name, RANDOM.abs() * 7) == pytest.approx(score(name, RANDOM.abs()))
