"""How spread out a map is: closed forms and scipy."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from torch import Tensor

from camlucida.metrics import find

ONE = torch.zeros(8, 8, dtype=torch.float64)
ONE[2, 3] = 5.0
EVEN = torch.full((8, 8), 3.0, dtype=torch.float64)
DRAWN = torch.randn(9, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def measured(name: str, map_: Tensor, **options: float) -> float:
    return find(name).metric(map_, **options)[name].value


def test_entropy() -> None:
    assert measured("entropy", ONE) == pytest.approx(0)
    assert measured("entropy", EVEN) == pytest.approx(6)
    assert measured("entropy", DRAWN) == pytest.approx(scipy_entropy(DRAWN.abs().flatten().numpy(), base=2))


def test_gini() -> None:
    assert measured("gini", EVEN) == pytest.approx(0)
    assert measured("gini", ONE) == pytest.approx(63 / 64)
    sizes = DRAWN.abs().flatten()
    differences = (sizes[:, None] - sizes).abs().sum() / (2 * len(sizes) * sizes.sum())  # its other definition
    assert measured("gini", DRAWN) == pytest.approx(float(differences))


def test_effective_area() -> None:
    assert measured("effective_area", ONE) == pytest.approx(1 / 64)
    assert measured("effective_area", EVEN) == 1
    steps = torch.arange(1.0, 11.0)[None]
    assert measured("effective_area", steps) == pytest.approx(0.6)
    assert measured("effective_area", steps, threshold=0.95) == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["entropy", "gini", "effective_area"])
def test_an_empty_map_is_nan(name: str) -> None:
    assert math.isnan(measured(name, torch.zeros(4, 4)))


@pytest.mark.parametrize("name", ["entropy", "gini", "effective_area"])
def test_scale_does_not_matter(name: str) -> None:
    assert measured(name, DRAWN.abs() * 7) == pytest.approx(measured(name, DRAWN.abs()))
