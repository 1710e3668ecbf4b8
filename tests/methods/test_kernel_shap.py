"""KernelSHAP against Shapley values counted out over all orders of the parts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods.common.coalitions import shapley_coalitions, shapley_values
from camlucida.methods.common.infill import infill_image
from camlucida.methods.common.superpixels import segment_images
from camlucida.methods.kernel_shap import kernel_shap


def run(network: nn.Module, images: Tensor, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The map of class 0 and what is reported beside it."""
    notes: dict[str, Tensor] = {}

    def forward(variants: Callable[[Tensor], Tensor], count: int, shared: object = None) -> Tensor:
        return network(variants(torch.arange(count)).flatten(0, 1))[:, 0].detach().view(count, -1)

    return kernel_shap(images, forward, lambda name, value: notes.update({name: value}), **options), notes


def by_definition(value: Callable[[frozenset[int]], float], count: int) -> list[float]:
    """The mean over all orders of what each part adds when its turn comes."""
    result, orders = [0.0] * count, list(itertools.permutations(range(count)))
    for order in orders:
        there: frozenset[int] = frozenset()
        for part in order:
            result[part] += value(there | {part}) - value(there)
            there |= {part}
    return [f / len(orders) for f in result]


@pytest.mark.parametrize("kind", ["slic", "grid"])
@pytest.mark.parametrize("infill", ["mean", "blur"])
def test_all_coalitions_give_shapley_values(
    stacked: Callable[..., nn.Module], images: Tensor, kind: str, infill: str
) -> None:
    network = stacked()
    result, notes = run(network, images, n=64, segments=6, superpixels=kind, infill=infill)
    labels, count = segment_images(images, kind, 6)
    assert count == 6
    for i, image in enumerate(images):
        scores: dict[frozenset[int], float] = {}
        for there in itertools.chain.from_iterable(itertools.combinations(range(count), k) for k in range(count + 1)):
            hidden = infill_image(images, infill)[i].clone()
            for part in there:
                hidden[:, labels[i] == part] = image[:, labels[i] == part]
            scores[frozenset(there)] = float(network(hidden[None])[0, 0].detach())
        expected = torch.tensor(by_definition(scores.__getitem__, count)).double()
        assert_close(result[i], expected[labels[i]])
        assert_close(float(notes["baseline_score"][i]), scores[frozenset()])
    assert_close(notes["standard_error"], torch.zeros(2).double())


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_game(count: int, numbers: Callable[..., Tensor]) -> None:
    patterns, kernel = shapley_coalitions(count, 64, seed=0)
    scores = numbers(len(patterns), 1, seed=count)
    of = {frozenset(p.nonzero().flatten().tolist()): float(s) for p, s in zip(patterns, scores, strict=True)}
    assert len(of) == 2**count
    values, _ = shapley_values(patterns, kernel, scores)
    assert_close(values[0], torch.tensor(by_definition(of.__getitem__, count)).double())


class Linear(nn.Module):
    """One weight per value of the image."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", x, self.weight) + 3


@pytest.mark.parametrize("n", [100, 10_000])
def test_on_a_linear_model_a_part_counts_what_it_adds(numbers: Callable[..., Tensor], images: Tensor, n: int) -> None:
    """Drawn or counted out: the fit is exact either way."""
    network = Linear(numbers(2, 3, 6, 10, seed=7))
    result, notes = run(network, images, n=n, segments=12)
    labels, _ = segment_images(images, "slic", 12)
    each = (network.weight[0] * images).sum(1).detach()
    for i in range(2):
        for segment in labels[i].unique():
            there = labels[i] == segment
            assert_close(result[i][there], each[i][there].sum().expand(int(there.sum())))
    assert_close(notes["standard_error"], torch.zeros(2).double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [4, 7, 30, 500])
def test_values_add_up_exactly_however_few_runs(stacked: Callable[..., nn.Module], images: Tensor, n: int) -> None:
    network = stacked()
    result, notes = run(network, images, n=n, segments=12, superpixels="grid")
    labels, count = segment_images(images, "grid", 12)
    parts = torch.stack([result[:, labels[0] == s][:, 0] for s in range(count)], dim=1)
    assert_close(parts.sum(1), (network(images) - network(images * 0))[:, 0].detach())
    assert_close(notes["baseline_score"], network(images * 0)[:, 0].detach())


def test_sampled_values_converge_with_a_correct_error() -> None:
    """A game of pairs and triples of ten parts: the error over seeds is the one that is reported."""
    count, random = 10, torch.Generator().manual_seed(0)
    pull = torch.randn(count, count, generator=random, dtype=torch.float64)

    def game(patterns: Tensor) -> Tensor:
        on = patterns.double()
        return (torch.einsum("ni,ij,nj->n", on, pull, on) + on[:, 0] * on[:, 1] * on[:, 2])[:, None]

    every, kernel = shapley_coalitions(count, 2**count, seed=0)
    exact, _ = shapley_values(every, kernel, game(every))
    wrong, reported = [], []
    for seed in range(40):
        patterns, similarity = shapley_coalitions(count, 300, seed)
        assert similarity is None
        values, errors = shapley_values(patterns, similarity, game(patterns))
        wrong.append((values - exact).square().mean())
        reported.append(errors.square().mean())
    assert 0.7 < (torch.stack(reported).mean() / torch.stack(wrong).mean()).sqrt() < 1.4


def test_coalitions_are_sampled_in_proportion_to_the_kernel() -> None:
    patterns, _ = shapley_coalitions(16, 20_002, seed=1)
    sizes = patterns[2:].sum(1)
    expected = torch.tensor([1 / (k * (16 - k)) for k in range(1, 16)])
    result = torch.bincount(sizes, minlength=17)[1:16] / 20_000
    assert_close(result, expected / expected.sum(), rtol=0, atol=0.01)
    assert_close(patterns[2:].float().mean(0), torch.full((16,), 0.5), rtol=0, atol=1e-6)  # pairs of opposites
    assert torch.equal(patterns[2::2], ~patterns[3::2])
    assert patterns[0].all()
    assert not patterns[1].any()


@pytest.mark.parametrize("n", [3, 0, 4.5])
def test_refuses(stacked: Callable[..., nn.Module], images: Tensor, n: float) -> None:
    with pytest.raises(MethodError, match=f"integer from 4 to 1000000 .*, not {n}"):
        attribute(stacked(), images, method="kernel_shap", n=n)
