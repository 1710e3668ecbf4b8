"""LIME against the normal equations, scikit-learn, and the closed form of a linear model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods.common.coalitions import ridge
from camlucida.methods.common.superpixels import segment_images
from camlucida.methods.lime import lime


class Linear(nn.Module):
    """One weight per value of the image."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", x, self.weight) + 3


@pytest.fixture
def linear(numbers: Callable[..., Tensor]) -> Linear:
    return Linear(numbers(2, 3, 6, 10, seed=7))


def run(network: nn.Module, images: Tensor, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The map of class 0 and what is reported beside it."""
    notes: dict[str, Tensor] = {}

    def forward(variants: Callable[[Tensor], Tensor], count: int, shared: object = None) -> Tensor:
        return network(variants(torch.arange(count)).flatten(0, 1))[:, 0].detach().view(count, -1)

    return lime(images, forward, lambda name, value: notes.update({name: value}), **options), notes


def parts_of(network: Linear, images: Tensor, labels: Tensor) -> Tensor:
    """The sum of weight times value over each pixel's segment: what a linear model's parts count."""
    each, result = (network.weight[0] * images).sum(1).detach(), torch.zeros(labels.shape).double()
    for i, of_image in enumerate(labels):
        for segment in of_image.unique():
            result[i][of_image == segment] = each[i][of_image == segment].sum()
    return result


@pytest.mark.parametrize("kind", ["slic", "grid"])
def test_on_a_linear_model_a_part_counts_what_it_adds(linear: Linear, images: Tensor, kind: str) -> None:
    result, notes = run(linear, images, n=60, segments=8, superpixels=kind, penalty=0.0)
    assert_close(result, parts_of(linear, images, segment_images(images, kind, 8)[0]))
    assert_close(notes["r2"], torch.ones(2).double())


def test_reference(stacked: Callable[..., nn.Module], images: Tensor) -> None:
    """Weighted ridge by the normal equations with an intercept; images and distances one by one."""
    network, n, width, penalty = stacked(), 50, 0.4, 0.7
    result, notes = run(network, images, n=n, segments=8, width=width, penalty=penalty, seed=4)
    labels, count = segment_images(images, "slic", 8)
    on = torch.rand(n, count, generator=torch.Generator().manual_seed(4)) < 0.5
    on[0] = True
    weights = []
    for pattern in on:
        cosine = float(pattern.sum()) / math.sqrt(max(float(pattern.sum()), 1e-300) * count)
        weights.append(math.sqrt(math.exp(-((1 - cosine) ** 2) / width**2)))
    weight = torch.tensor(weights).double()
    for i, image in enumerate(images):
        scores = []
        for pattern in on:
            hidden = image.clone()
            for segment in range(count):
                if not pattern[segment]:
                    hidden[:, labels[i] == segment] = 0
            scores.append(network(hidden[None])[0, 0].detach())
        x = torch.cat([on.double(), torch.ones(n, 1).double()], dim=1)
        y = torch.stack(scores)
        punish = penalty * torch.eye(count + 1).double()
        punish[-1, -1] = 0
        beta = torch.linalg.solve(x.T @ (weight[:, None] * x) + punish, x.T @ (weight * y))
        assert_close(result[i], beta[labels[i]])
        mean = (weight * y).sum() / weight.sum()
        r2 = 1 - (weight * (y - x @ beta).square()).sum() / (weight * (y - mean).square()).sum()
        assert_close(notes["r2"][i], r2)


def test_ridge_is_that_of_scikit_learn(numbers: Callable[..., Tensor]) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    on, scores, weights = (
        (numbers(30, 5, seed=1) > 0).double(),
        numbers(30, 2, seed=2),
        numbers(30, seed=3, positive=True),
    )
    gradients, r2 = ridge(on, weights, scores, 1.0)
    for b in range(2):
        model = linear_model.Ridge(alpha=1.0).fit(on.numpy(), scores[:, b].numpy(), sample_weight=weights.numpy())
        assert_close(gradients[b], torch.from_numpy(model.coef_))
        expected = model.score(on.numpy(), scores[:, b].numpy(), sample_weight=weights.numpy())
        assert_close(float(r2[b]), expected)


def test_fewer_runs_than_parts_still_give_a_map(linear: Linear, images: Tensor) -> None:
    result, _ = run(linear, images, n=5, segments=40, penalty=0.0)
    assert result.isfinite().all()


def test_a_score_that_never_changes(images: Tensor, numbers: Callable[..., Tensor]) -> None:
    result, notes = run(Linear(numbers(2, 3, 6, 10, seed=0) * 0), images, n=20)
    assert_close(result, torch.zeros(2, 6, 10).double())
    assert_close(notes["r2"], torch.ones(2).double())


def test_other_seeds_other_maps(stacked: Callable[..., nn.Module], images: Tensor) -> None:
    one, other = (run(stacked(), images, n=30, seed=seed)[0] for seed in (0, 1))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("n", [1, 0, 2.5])
def test_refuses(linear: Linear, images: Tensor, n: float) -> None:
    with pytest.raises(MethodError, match=f"integer from 2 to 1000000 .*, not {n}"):
        attribute(linear, images, method="lime", n=n)
