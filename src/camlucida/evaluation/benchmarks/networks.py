"""The networks of `designed`, whose weights are set by hand: a counter of colours, a pattern matcher, an exclusive or.

Each is small enough to say by reading it which pixels its score depends on.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE_PX = 64
"""Pixels on each side of an image."""
CELL_PX = 8
"""The stride of the last layer: pixels a cell."""
GRID_CELLS = SIDE_PX // CELL_PX
"""Cells on each side."""


class ColourCounter(nn.Module):
    """How much of some colours a picture has: averaged over cells, then over the picture, weighed by a linear layer.

    A channel is relu(w · pixel + b).

    weights, biases   (channels, 3), (channels,)
    ends              (classes, channels) of the linear layer; its biases are `offsets` (classes,)
    cell              pixels a cell of the last layer, `cells`; 1 keeps them apart
    """

    def __init__(
        self,
        weights: NDArray[np.float32],
        biases: NDArray[np.float32],
        class_weights: NDArray[np.float32],
        class_biases: NDArray[np.float32],
        *,
        cell: int = CELL_PX,
    ) -> None:
        super().__init__()
        self.colour = _conv(torch.tensor(weights)[:, :, None, None], torch.tensor(biases))
        self.relu = nn.ReLU()
        self.cells = nn.AvgPool2d(cell)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = _linear(torch.tensor(class_weights), torch.tensor(class_biases))

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, classes)."""
        scores: Tensor = self.fc(self.pool(self.cells(self.relu(self.colour(x)))).flatten(1))
        return scores


class PatternMatcher(nn.Module):
    """One cell of a picture against a pattern of black and white: fires on that pattern alone.

    pattern   (cell, cell) of 0 and 1
    """

    def __init__(self, pattern: NDArray[np.float32]) -> None:
        super().__init__()
        # Read from one channel (they are equal), so that the sums are of whole numbers and exact. The whole pattern
        # gives the number of its white pixels; anything else at least one less.
        weight = torch.zeros(1, 3, *pattern.shape)
        weight[:, 1] = torch.tensor(2 * pattern - 1)
        self.match = _conv(weight, torch.tensor([1.0 - float(pattern.sum())]), len(pattern))
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = _linear(torch.tensor([[float(GRID_CELLS**2)], [0.0]]), torch.tensor([0.0, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, 2): there, not there."""
        scores: Tensor = self.fc(self.pool(self.relu(self.match(x))).flatten(1))
        return scores


class Xor(nn.Module):
    """Whether exactly one of two cells is white: a + b - 2 relu(a + b - 1).

    first, second   (row, column) of the cells
    """

    def __init__(self, first: tuple[int, int], second: tuple[int, int]) -> None:
        super().__init__()
        self.grey = _conv(torch.full((1, 3, 1, 1), 1 / 3), torch.zeros(1))
        self.cells = nn.AvgPool2d(CELL_PX)
        weights = torch.zeros(2, 1, GRID_CELLS, GRID_CELLS)
        for row, column in (first, second):
            weights[:, :, row, column] = 1
        self.both = _linear(weights.flatten(1), torch.tensor([0.0, -1.0]))
        self.relu = nn.ReLU()
        self.fc = _linear(torch.tensor([[1.0, -2.0], [0.0, 0.0]]), torch.tensor([0.0, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, 64, 64) -> (b, 2): one of them, none or both."""
        scores: Tensor = self.fc(self.relu(self.both(self.cells(self.grey(x)).flatten(1))))
        return scores


def _conv(weight: Tensor, bias: Tensor, stride: int = 1) -> nn.Conv2d:
    n_out, n_in, height, width = weight.shape
    conv = nn.Conv2d(n_in, n_out, (height, width), stride)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear
