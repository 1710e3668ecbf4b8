"""RISE: the authors' masks, a reference implementation, and the map that a linear model must come to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods.common.masks import rise_masks
from camlucida.methods.rise import rise


def randomized(size: tuple[int, int], n: int, cells: int, p: float, seed: int) -> Any:
    """The grids and the shifts, as they come from the generator."""
    random = torch.Generator().manual_seed(seed)
    grids = torch.rand(n, cells, cells, generator=random) < p
    shifts = [torch.randint(0, math.ceil(side / cells), (n,), generator=random) for side in size]
    return grids, shifts


def reference_mask(grid: Tensor, size: tuple[int, int], down: int, across: int) -> Tensor:
    """The authors' rule, pixel by pixel: resize to (cells + 1) cells, order 1, mirrored; then a cut."""
    cells = len(grid)
    mask = torch.zeros(size, dtype=torch.float64)

    def seen(i: int) -> int:
        if cells == 1:
            return 0
        i = abs(i)
        return i if i < cells else 2 * (cells - 1) - i

    for y, x in itertools.product(*map(range, size)):
        offsets = []
        for at, side in ((y + down, size[0]), (x + across, size[1])):
            total = (cells + 1) * math.ceil(side / cells)
            offsets.append((at + 0.5) * cells / total - 0.5)
        for i, j in itertools.product((0, 1), repeat=2):
            rows = math.floor(offsets[0]) + i
            columns = math.floor(offsets[1]) + j
            weight = (1 - abs(offsets[0] - rows)) * (1 - abs(offsets[1] - columns))
            mask[y, x] += weight * float(grid[seen(rows), seen(columns)])
    return mask


@pytest.mark.parametrize(("size", "cells"), [((6, 10), 3), ((7, 5), 4), ((8, 8), 2), ((5, 9), 1), ((4, 4), 7)])
def test_masks_are_made_by_the_authors_rule(size: tuple[int, int], cells: int) -> None:
    result = rise_masks(size, 6, cells, 0.4, seed=3)(torch.arange(6))
    grids, shifts = randomized(size, 6, cells, 0.4, seed=3)
    expected = torch.stack([reference_mask(grids[i], size, int(shifts[0][i]), int(shifts[1][i])) for i in range(6)])
    assert_close(result, expected)


def test_masks_are_those_of_skimage() -> None:
    """skimage.transform.resize(order=1, mode="reflect", anti_aliasing=False) is this call of scipy's."""
    ndimage = pytest.importorskip("scipy.ndimage")
    grids, shifts = randomized((22, 30), 5, 7, 0.5, seed=1)
    cell = (math.ceil(22 / 7), math.ceil(30 / 7))
    result = rise_masks((22, 30), 5, 7, 0.5, seed=1)(torch.arange(5))
    for i in range(5):
        zoom = (8 * cell[0] / 7, 8 * cell[1] / 7)
        large = ndimage.zoom(grids[i].double().numpy(), zoom, order=1, mode="mirror", grid_mode=True)
        assert large.shape == (8 * cell[0], 8 * cell[1])
        y, x = int(shifts[0][i]), int(shifts[1][i])
        assert_close(result[i], torch.from_numpy(large[y : y + 22, x : x + 30].copy()))


def test_masks_do_not_depend_on_the_chunks() -> None:
    masks = rise_masks((9, 7), 12, 3, 0.5, seed=0)
    assert_close(torch.cat([masks(w) for w in torch.arange(12).split(5)]), masks(torch.arange(12)), rtol=0, atol=0)


@pytest.mark.parametrize("n", [40, 4000])
def test_centring_removes_a_constant_in_expectation_only(n: int) -> None:
    """What centring leaves out is the mean score times the mean mask / p, which differs from pixel to pixel."""
    weights = torch.randn(3, 8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs = torch.randn(1, 3, 8, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    class Weighted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 5 + (x * weights).flatten(1).sum(1, keepdim=True)

    options: dict[str, Any] = {"n": n, "cells": 3, "p": 0.4, "seed": 2}
    masks = rise_masks((8, 6), n, 3, 0.4, seed=2)(torch.arange(n))
    scores = 5 + torch.einsum("nhw,chw->n", masks, inputs[0] * weights)

    def score_inputs(variants: Callable[[Tensor], Tensor], count: int, shared: object = None) -> Tensor:
        return (variants(torch.arange(count)) * weights).flatten(2).sum(2) + 5

    plain, centred = (rise(inputs, score_inputs, lambda *_: None, centred=c, **options)[0] for c in (False, True))
    assert_close((plain - centred).double(), scores.mean() * masks.mean(0) / 0.4, rtol=1e-9, atol=1e-9)
    spread = float((plain - centred).std() / (plain - centred).mean().abs())
    assert 0.2 / n**0.5 < spread < 5 / n**0.5, "it becomes constant with the square root of n"


def test_every_pixel_is_kept_equally_often() -> None:
    masks = rise_masks((9, 12), 20_000, 4, 0.3, seed=0)(torch.arange(20_000))
    assert_close(masks.mean(0), torch.full((9, 12), 0.3).double(), rtol=0, atol=0.012)
    assert masks.min() >= 0
    assert masks.max() <= 1


@pytest.mark.parametrize("centred", [False, True])
def test_reference(stacked: Callable[..., nn.Module], images: Tensor, centred: bool) -> None:
    """Eq. 6, one mask after the other."""
    network, n, p = stacked(), 70, 0.4  # more than one chunk
    result = attribute(network, images, method="rise", target=1, n=n, cells=3, p=p, seed=5, centred=centred)
    masks = rise_masks((6, 10), n, 3, p, seed=5)(torch.arange(n))
    for image, map_ in zip(images, result, strict=True):
        scores = [network((image * mask)[None])[0, 1].detach() for mask in masks]
        mean = sum(scores) / n if centred else 0.0
        total = torch.zeros(6, 10).double()
        for score, mask in zip(scores, masks, strict=True):
            total += (score - mean) * mask
        assert_close(map_, total / n / p)


class Pixels(nn.Module):
    """A linear model of the pixels."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", x, self.weight) + 3


def spread(size: tuple[int, int], cells: int, p: float) -> Tensor:
    """Cov(M_i, M_j) of the pixels of a mask: p (1 - p) times the mean over all shifts of sum_k W_ik W_jk."""
    large = [math.ceil(side / cells) for side in size]
    total: Tensor = torch.zeros(1)
    for down, across in itertools.product(range(large[0]), range(large[1])):
        shares = []
        for cell in range(cells * cells):
            grid = torch.zeros(cells * cells)
            grid[cell] = 1
            shares.append(reference_mask(grid.view(cells, cells), size, down, across).flatten())
        weights = torch.stack(shares)
        total = total + weights.T @ weights
    return p * (1 - p) * total / (large[0] * large[1])


def test_comes_to_the_closed_form_of_a_linear_model(numbers: Callable[..., Tensor]) -> None:
    """E[(f - E f) M_i] / p = sum_j w_j x_j Cov(M_j, M_i) / p; and it reports the error that it makes, on average."""
    size, p, n = (6, 5), 0.5, 20_000
    image, weight = numbers(1, 3, *size, seed=1), numbers(1, 3, *size, seed=2)
    network = Pixels(weight)
    parts = (weight * image).sum(1).flatten().double()
    expected = (spread(size, 3, p) @ parts / p).view(size)
    notes: dict[str, Tensor] = {}

    def forward(variants: Callable[[Tensor], Tensor], count: int, shared: object = None) -> Tensor:
        return network(variants(torch.arange(count)).flatten(0, 1)).detach()

    result = rise(image, forward, lambda name, value: notes.update({name: value}), n=n, cells=3, p=p, seed=0)[0]
    error = (result - expected).square().mean().sqrt()
    assert error < 0.02 * expected.abs().max()
    assert_close(notes["noise"][0], notes["standard_error"][0] / result.std())
    wrong, reported = [], []
    for seed in range(20):
        map_ = rise(image, forward, lambda name, value: notes.update({name: value}), n=800, cells=3, p=p, seed=seed)[0]
        wrong.append((map_ - expected).square().mean())
        reported.append(notes["standard_error"][0].square())
    assert 0.8 < (torch.stack(reported).mean() / torch.stack(wrong).mean()).sqrt() < 1.25
    plain = rise(image, forward, lambda *_: None, n=n, cells=3, p=p, seed=0, centred=False)[0]
    offset = network(image * p)[0, 0].detach()  # E f
    assert_close(plain, expected + offset, rtol=0, atol=float(0.1 * expected.abs().max()))


def test_four_times_the_masks_half_the_error(stacked: Callable[..., nn.Module], images: Tensor) -> None:
    def standard_error(n: int) -> Tensor:
        notes: dict[str, Tensor] = {}
        network = stacked()

        def forward(variants: Callable[[Tensor], Tensor], count: int, shared: object = None) -> Tensor:
            return network(variants(torch.arange(count)).flatten(0, 1))[:, 0].detach().view(count, -1)

        rise(images, forward, lambda name, value: notes.update({name: value}), n=n)
        return notes["standard_error"]

    assert_close(standard_error(400) / standard_error(1600), torch.full((2,), 2.0).double(), rtol=0.2, atol=0)


def test_seeds_differ(stacked: Callable[..., nn.Module], images: Tensor) -> None:
    one, other = (attribute(stacked(), images, method="rise", n=20, seed=seed) for seed in (0, 1))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("wrong", [{"n": 1}, {"n": 2.5}, {"cells": 0}, {"p": 0.0}, {"p": 1.0}])
def test_refuses(stacked: Callable[..., nn.Module], images: Tensor, wrong: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match=f"rise: {next(iter(wrong))} is a"):
        attribute(stacked(), images, method="rise", **wrong)
