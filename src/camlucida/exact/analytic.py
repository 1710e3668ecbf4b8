"""Networks that are formulas, with pictures of noise: what a metric of faithfulness must say about them is known.

A picture has 8 x 8 cells of 4 x 4 pixels; a cell's value is its mean over pixels and channels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from camlucida.data.datasets import Item
from camlucida.exact.designed import PaintedDataset
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

GRID, CELL = 8, 4
SIDE = GRID * CELL
CLASSES = ("first", "second", "third")


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
        self.cells = nn.AvgPool2d(CELL)
        self.weight = nn.Parameter(weight)

    def terms(self, x: Tensor) -> Tensor:
        """What each cell gives to each class: (b, classes, cells). The true effect of setting it to 0."""
        return self.weight * torch.tanh(4 * self.cells(x).mean(1).flatten(1))[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, classes)."""
        return self.terms(x).sum(-1)


class Interacting(nn.Module):
    """z_k = sum_(c < d) q_kcd v_c v_d of the cells' values v: no cell counts by itself.

    pairs   (classes, cells, cells), symmetric, 0 on the diagonal
    """

    def __init__(self, pairs: Tensor) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(CELL)
        self.pairs = nn.Parameter(pairs)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, classes)."""
        values = self.cells(x).mean(1).flatten(1)
        return torch.einsum("bc,kcd,bd->bk", values, self.pairs, values) / 2


def linear(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A linear network with random weights."""
    weight = torch.randn(len(CLASSES), 3, SIDE, SIDE, generator=_lot(seed)) / SIDE
    return _pair("exact:linear", Linear(weight, torch.zeros(len(CLASSES))), count, seed)


def additive(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A sum over cells, each through a curve."""
    return _pair("exact:additive", Additive(torch.randn(len(CLASSES), GRID**2, generator=_lot(seed))), count, seed)


def interaction(count: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A sum over pairs of cells."""
    drawn = torch.randn(len(CLASSES), GRID**2, GRID**2, generator=_lot(seed)).triu(1)
    return _pair("exact:interaction", Interacting(drawn + drawn.mT), count, seed)


def _pair(name: str, network: nn.Module, count: int, seed: int) -> tuple[Model, PaintedDataset]:
    how = Preprocessing((SIDE, SIDE), None, "squash", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

    def paint(index: int) -> Item:
        rng = np.random.default_rng((seed, index))
        return Item(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), f"noise {index}")

    return Model(network.eval(), how, CLASSES, spec=name), PaintedDataset(name, CLASSES, count, paint)


def _lot(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
