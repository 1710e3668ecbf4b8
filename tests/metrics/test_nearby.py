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


def brightness(pictures: Tensor) -> Tensor:
    """A map that goes wherever the picture goes."""
    return F.avg_pool2d(pictures.sum(1, keepdim=True), 3, 1, 1)[:, 0]


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def measured(name: str, explain: Any = brightness, x: Tensor = X, **options: Any) -> float:
    metric = find(name).metric
    evidence = {
        "relevance": explain(x[None])[0],
        "inputs": x,
        "explain": explain,
        "pixel_scale": PIXEL,
        "random": random(),
    }
    return metric(*(evidence[need] for need in metric.needs), **options)[name].value


class TestMaxSensitivity:
    def test_is_captums_on_the_same_noise(self) -> None:
        sensitivity_max = pytest.importorskip("captum.metrics").sensitivity_max
        drawn = (2 * torch.rand((6, *X.shape), generator=random()) - 1) * 0.1
        noise = iter(drawn.double() * PIXEL)

        def perturb(inputs: Any) -> Tensor:
            return torch.stack([x + next(noise) for x in (inputs[0] if isinstance(inputs, tuple) else inputs)])

        def explain(inputs: Any) -> tuple[Tensor]:
            return (brightness(inputs[0] if isinstance(inputs, tuple) else inputs),)

        theirs = sensitivity_max(explain, X[None], perturb_func=perturb, n_perturb_samples=6)
        assert measured("max_sensitivity", r=0.1, n=6) == pytest.approx(float(theirs), rel=1e-6)

    def test_a_linear_map_by_hand(self) -> None:
        """Phi(x) = x: the noise itself, over the picture's length."""
        drawn = ((2 * torch.rand((4, *X.shape), generator=random()) - 1) * 0.02).double() * PIXEL
        wanted = drawn.sum(1).flatten(1).norm(dim=1).max() / X.sum(0).norm()
        assert measured("max_sensitivity", lambda x: x.sum(1), n=4) == pytest.approx(float(wanted))

    def test_more_noise_moves_more(self) -> None:
        assert measured("max_sensitivity", r=0.2) == pytest.approx(10 * measured("max_sensitivity", r=0.02), rel=1e-6)

    def test_an_empty_map_is_nan(self) -> None:
        assert math.isnan(measured("max_sensitivity", lambda x: 0 * x.sum(1)))


class TestNoiseStability:
    def test_by_a_loop(self) -> None:
        drawn = (torch.randn((5, *X.shape), generator=random()) * 0.05).double() * PIXEL
        own = brightness(X[None])[0]
        found = [spearmanr(own.flatten(), brightness((X + d)[None])[0].flatten()).statistic for d in drawn]
        assert measured("noise_stability") == pytest.approx(sum(found) / 5)

    def test_a_map_independent_of_the_image_is_most_stable(self) -> None:
        still = brightness(torch.randn(1, 3, 16, 12, generator=random(9), dtype=torch.float64))
        assert measured("noise_stability", lambda x: still.expand(len(x), -1, -1)) == pytest.approx(1)
        assert measured("noise_stability", noise=0.3) < 0.9


class TestShiftStability:
    def test_a_map_that_goes_along(self) -> None:
        assert measured("shift_stability", lambda x: x.sum(1)) == pytest.approx(1)

    def test_a_map_that_stays_where_it_is(self) -> None:
        still = brightness(X[None])
        assert measured("shift_stability", lambda x: still.expand(len(x), -1, -1)) < 0.8

    def test_the_way_of_the_shift(self) -> None:
        """One pixel to the right moves the map one pixel to the right, not to the left."""
        seen: list[Tensor] = []

        def watch(pictures: Tensor) -> Tensor:
            seen.append(pictures)
            return pictures.sum(1)

        measured("shift_stability", watch)
        right = seen[-1][0]
        assert torch.equal(right[:, :, 1:], X[:, :, :-1])


def test_n_must_be_a_number_of_copies() -> None:
    with pytest.raises(Exception, match="1 or more, not 0"):
        measured("noise_stability", n=0)
