"""The networks of `designed` with hand-set weights: a colour counter, a pattern matcher and an exclusive or.

Each is small enough that the pixels on which its score depends can be read from the code.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE_PX = 64
"""Side of an image in pixels."""
CELL_PX = 8
"""Stride of the last layer in pixels."""
GRID_CELLS = SIDE_PX // CELL_PX
"""Cells per side."""


class ColourCounter(nn.Module):
    """Counts pixels of some colours: average over cells, then over the image, and a linear layer.

    A channel is relu(w · pixel + b).

    Args:
        weights: `(channels, 3)` the colour weights w.
        biases: `(channels,)` the biases b.
        class_weights: `(classes, channels)` weights of the linear layer.
        class_biases: `(classes,)` biases of the linear layer.
        cell: Side of a cell of the last layer, `cells`, in pixels; 1 keeps all pixels separate.
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
        """Compute class scores `(b, classes)` of inputs `(b, 3, h, w)`."""
        scores: Tensor = self.fc(self.pool(self.cells(self.relu(self.colour(x)))).flatten(1))
        return scores


class PatternMatcher(nn.Module):
    """Matches each cell with a black and white pattern; it responds only to an exact match.

    Args:
        pattern: `(cell, cell)` of 0 and 1.
    """

    def __init__(self, pattern: NDArray[np.float32]) -> None:
        super().__init__()
        # Only one of the equal channels is used, so that sums are of integers and exact. A full match scores the
        # number of white pixels; any other cell at least one less.
        weight = torch.zeros(1, 3, *pattern.shape)
        weight[:, 1] = torch.tensor(2 * pattern - 1)
        self.match = _conv(weight, torch.tensor([1.0 - float(pattern.sum())]), len(pattern))
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = _linear(torch.tensor([[float(GRID_CELLS**2)], [0.0]]), torch.tensor([0.0, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores `(b, 2)` for "pattern" and "noise" of inputs `(b, 3, h, w)`."""
        scores: Tensor = self.fc(self.pool(self.relu(self.match(x))).flatten(1))
        return scores


class Xor(nn.Module):
    """Computes whether exactly one of two cells is white: a + b - 2 relu(a + b - 1).

    Args:
        first: Row and column of the first cell.
        second: Row and column of the second cell.
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
        """Compute the scores `(b, 2)` for "one" and "none or both" of inputs `(b, 3, 64, 64)`."""
        scores: Tensor = self.fc(self.relu(self.both(self.cells(self.grey(x)).flatten(1))))
        return scores


def _conv(weight: Tensor, bias: Tensor, stride: int = 1) -> nn.Conv2d:
    n_out, n_in, height, width = weight.shape
    conv = nn.Conv2d(n_in, n_out, (height, width), stride, dtype=torch.float32)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float32)
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear
