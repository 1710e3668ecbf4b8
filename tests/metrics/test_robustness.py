"""Robustness: against closed forms, loops, and Captum on the same noise."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from camlucida.metrics import find

X = torch.randn(3, 16, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
PIXEL = torch.tensor([4.0, 5.0, 2.0], dtype=torch.float64)[:, None, None]


def brightness(images: Tensor) -> Tensor:
    """Return a map that is equivariant to shifts."""
    return F.avg_pool2d(images.sum(1, keepdim=True), 3, 1, 1)[:, 0]


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def score(name: str, explain: Any = brightness, x: Tensor = X, **options: Any) -> float:
    metric = find(name).metric
    values = {
        "relevance": explain(x[None])[0],
        "inputs": x,
        "explain": explain,
        "pixel_scale": PIXEL,
        "random": random(),
    }
    return metric(*(values[need] for need in metric.needs), **options)[name].value


class TestMaxSensitivity:
    def test_is_captums_on_the_same_noise(self) -> None:
        sensitivity_max = pytest.importorskip("captum.metrics").sensitivity_max
        noises = (2 * torch.rand((6, *X.shape), generator=random()) - 1) * 0.1
        noise = iter(noises.double() * PIXEL)

        def perturb(inputs: Any) -> Tensor:
            return torch.stack([x + next(noise) for x in (inputs[0] if isinstance(inputs, tuple) else inputs)])

        def explain(inputs: Any) -> tuple[Tensor]:
            return (brightness(inputs[0] if isinstance(inputs, tuple) else inputs),)

        expected = sensitivity_max(explain, X[None], perturb_func=perturb, n_perturb_samples=6)
        assert score("max_sensitivity", r=0.1, n=6) == pytest.approx(float(expected), rel=1e-6)

    def test_a_linear_map_by_hand(self) -> None:
        """Phi(x) = x: the norm of the noise, divided by the norm of the input."""
        noises = ((2 * torch.rand((4, *X.shape), generator=random()) - 1) * 0.02).double() * PIXEL
        expected = noises.sum(1).flatten(1).norm(dim=1).max() / X.sum(0).norm()
        assert score("max_sensitivity", lambda x: x.sum(1), n=4) == pytest.approx(float(expected))

    def test_sensitivity_grows_with_noise(self) -> None:
        assert score("max_sensitivity", r=0.2) == pytest.approx(10 * score("max_sensitivity", r=0.02), rel=1e-6)

    def test_an_empty_map_is_nan(self) -> None:
        assert math.isnan(score("max_sensitivity", lambda x: 0 * x.sum(1)))


class TestNoiseStability:
    def test_by_a_loop(self) -> None:
        noises = (torch.randn((5, *X.shape), generator=random()) * 0.05).double() * PIXEL
        original = brightness(X[None])[0]
        correlations = [spearmanr(original.flatten(), brightness((X + d)[None])[0].flatten()).statistic for d in noises]
        assert score("noise_stability") == pytest.approx(sum(correlations) / 5)

    def test_a_map_independent_of_the_image_is_most_stable(self) -> None:
        fixed = brightness(torch.randn(1, 3, 16, 12, generator=random(9), dtype=torch.float64))
        assert score("noise_stability", lambda x: fixed.expand(len(x), -1, -1)) == pytest.approx(1)
        assert score("noise_stability", noise=0.3) < 0.9


class TestShiftStability:
    def test_an_equivariant_map(self) -> None:
        assert score("shift_stability", lambda x: x.sum(1)) == pytest.approx(1)

    def test_a_fixed_map(self) -> None:
        fixed = brightness(X[None])
        assert score("shift_stability", lambda x: fixed.expand(len(x), -1, -1)) < 0.8

    def test_the_direction_of_the_shift(self) -> None:
        """One pixel to the right moves the map one pixel to the right, not to the left."""
        explained: list[Tensor] = []

        def record(images: Tensor) -> Tensor:
            explained.append(images)
            return images.sum(1)

        score("shift_stability", record)
        right = explained[-1][0]
        assert torch.equal(right[:, :, 1:], X[:, :, :-1])


def test_n_must_be_a_number_of_copies() -> None:
    with pytest.raises(Exception, match="at least 1, not 0"):
        score("noise_stability", n=0)
