"""Networks that are formulas, on images of noise, for which the correct value of a faithfulness metric is known.

An image has 8 x 8 cells of 4 x 4 pixels; the value of a cell is its mean over pixels and channels.
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
    """A linear model `z_k = sum_p w_kp x_p + b_k`: gradient x input is exact, and pixels contribute independently.

    Args:
        weight: `(classes, 3, h, w)` the weights.
        bias: `(classes,)` the biases.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute class scores `(b, classes)` of inputs `(b, 3, h, w)`."""
        return x.flatten(1) @ self.weight.flatten(1).T + self.bias


class Additive(nn.Module):
    """An additive model `z_k = sum_c a_kc tanh(4 v_c)` of cell values v: non-linear, without interactions.

    Args:
        weight: `(classes, cells)` the weights a.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(CELL_PX)
        self.weight = nn.Parameter(weight)

    def cell_contributions(self, x: Tensor) -> Tensor:
        """Compute each cell's contribution to each class `(b, classes, cells)`: the exact effect of setting it to 0."""
        return self.weight * torch.tanh(4 * self.cells(x).mean(1).flatten(1))[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Compute class scores `(b, classes)` of inputs `(b, 3, h, w)`."""
        return self.cell_contributions(x).sum(-1)


class Interacting(nn.Module):
    """A model of pairwise interactions `z_k = sum_(c < d) q_kcd v_c v_d` of cell values v, without main effects.

    Args:
        pairs: `(classes, cells, cells)` the coefficients q, symmetric, 0 on the diagonal.
    """

    def __init__(self, pairs: Tensor) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(CELL_PX)
        self.pairs = nn.Parameter(pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Compute class scores `(b, classes)` of inputs `(b, 3, h, w)`."""
        values = self.cells(x).mean(1).flatten(1)
        return torch.einsum("bc,kcd,bd->bk", values, self.pairs, values) / 2


def linear(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A linear network with random weights."""
    weight = (
        torch.randn(len(CLASS_NAMES), 3, SIDE_PX, SIDE_PX, generator=_generator(seed), dtype=torch.float32) / SIDE_PX
    )
    return _model_and_data(
        "exact:linear", Linear(weight, torch.zeros(len(CLASS_NAMES), dtype=torch.float32)), n_images, seed
    )


def additive(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A sum over cells of a non-linear function of each cell."""
    return _model_and_data(
        "exact:additive",
        Additive(torch.randn(len(CLASS_NAMES), GRID_CELLS**2, generator=_generator(seed), dtype=torch.float32)),
        n_images,
        seed,
    )


def interaction(n_images: int, seed: int = 0) -> tuple[Model, PaintedDataset]:
    """A sum over products of pairs of cells."""
    upper = torch.randn(
        len(CLASS_NAMES), GRID_CELLS**2, GRID_CELLS**2, generator=_generator(seed), dtype=torch.float32
    ).triu(1)
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
