"""Networks that are formulas, with pictures of noise: what a metric of faithfulness must say about them is known.

A picture has 8 x 8 cells of 4 x 4 pixels; a cell's value is its mean over pixels and channels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from camlucida.data.datasets import Item
from camlucida.evaluation.benchmarks.designed import PaintedDataset
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

GRID_CELLS, CELL_PX = 8, 4
SIDE_PX = GRID_CELLS * CELL_PX
CLASS_NAMES = ("first", "second", "third")


class Linear(nn.Module):
    """z_k = sum_p w_kp x_p + b_k: gradient times input is exact, and every pixel counts by itself.

    weight   (classes, 3, h, w)
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, classes)."""
        return x.flatten(1) @ self.weight.flatten(1).T + self.bias


class Additive(nn.Module):
    """z_k = sum_c a_kc tanh(4 v_c) of the cells' values v: not linear, but cells do not know of each other.

    weight   (classes, cells)
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(CELL_PX)
        self.weight = nn.Parameter(weight)

    def cell_contributions(self, x: Tensor) -> Tensor:
        """What each cell gives to each class: (b, classes, cells). The true effect of setting it to 0."""
        return self.weight * torch.tanh(4 * self.cells(x).mean(1).flatten(1))[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, classes)."""
        return self.cell_contributions(x).sum(-1)


class Interacting(nn.Module):
    """z_k = sum_(c < d) q_kcd v_c v_d of the cells' values v: no cell counts by itself.

    pairs   (classes, cells, cells), symmetric, 0 on the diagonal
    """

    def __init__(self, pairs: Tensor) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(CELL_PX)
        self.pairs = nn.Parameter(pairs)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, classes)."""
        values = self.cells(x).mean(1).flatten(1)
        return torch.einsum("bc,kcd,bd->bk", values, self.pairs, values) / 2


def linear(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A linear network with random weights."""
    weight = torch.randn(len(CLASS_NAMES), 3, SIDE_PX, SIDE_PX, generator=_generator(seed)) / SIDE_PX
    return _model_and_data("exact:linear", Linear(weight, torch.zeros(len(CLASS_NAMES))), n_images, seed)


def additive(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A sum over cells, each through a curve."""
    return _model_and_data(
        "exact:additive",
        Additive(torch.randn(len(CLASS_NAMES), GRID_CELLS**2, generator=_generator(seed))),
        n_images,
        seed,
    )


def interaction(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A sum over pairs of cells."""
    upper = torch.randn(len(CLASS_NAMES), GRID_CELLS**2, GRID_CELLS**2, generator=_generator(seed)).triu(1)
    return _model_and_data("exact:interaction", Interacting(upper + upper.mT), n_images, seed)


def _model_and_data(name: str, network: nn.Module, n_images: int, seed: int) -> tuple[Model, PaintedDataset]:
    preprocessing = Preprocessing((SIDE_PX, SIDE_PX), None, "squash", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        return Item(rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8), f"noise {index}")

    return Model(network.eval(), preprocessing, CLASS_NAMES, spec=name), PaintedDataset(
        name, CLASS_NAMES, n_images, paint
    )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
