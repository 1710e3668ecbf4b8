"""The masks that Score-CAM and its kin put on the picture: a channel, as large as the picture, from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from camlucida.options import OneOf
from camlucida.tensors import upsample


@dataclass(frozen=True)
class Masks:
    """Every different mask once. Mask 0 hides everything; a channel that is the same everywhere has it, too.

    grids  (count, b, h, w)  the masks on the layer's grid
    rows   (b, c)            which mask each channel has
    size   of the picture: height, width
    """

    grids: Tensor
    rows: Tensor
    size: tuple[int, int]

    @property
    def count(self) -> int:
        return len(self.grids)

    def __call__(self, which: Tensor) -> Tensor:
        """Mask numbers (n,) in, masks (n, b, H, W) out: first as large as the picture, then from 0 to 1."""
        grids = self.grids[which]
        large = upsample(grids.flatten(0, 1), self.size)
        return from_0_to_1(large).view(*grids.shape[:2], *self.size)

    def of_channels(self, scores: Tensor) -> Tensor:
        """A number a mask (count, b) as a number a channel (b, c)."""
        return scores.T.gather(1, self.rows)


def masks_of(activations: Tensor, size: tuple[int, int]) -> Masks:
    """The masks of activations (b, c, h, w). Equal channels and dead ones are found, so that they cost no run."""
    b, c, h, w = activations.shape
    kept, rows = [], []
    for image in from_0_to_1(activations):
        nothing_first = torch.cat([image.new_zeros(1, h * w), image.flatten(1)])
        different, row = torch.unique(nothing_first, dim=0, return_inverse=True)  # sorted: nothing stays first
        kept.append(different.view(-1, h, w))
        rows.append(row[1:])
    return Masks(torch.nn.utils.rnn.pad_sequence(kept), torch.stack(rows).view(b, c), size)


def from_0_to_1(maps: Tensor) -> Tensor:
    """Maps (..., h, w), each stretched to 0..1; all 0 where it is the same everywhere."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).where(high > low, 1)


def weighted(activations: Tensor, worth: Tensor, *, softmax: bool) -> Tensor:
    """sum_k alpha_k A^k: alpha is `worth` (b, c), or its softmax over the channels."""
    weights = worth.softmax(1) if softmax else worth
    return torch.einsum("bc,bchw->bhw", weights, activations.to(weights.dtype)).to(activations.dtype)


BASELINES = ("black", "none")
ScoreBaseline: TypeAlias = Annotated[str, OneOf(BASELINES)]
"""What is taken off every score."""


def less_baseline(scores: Tensor, baseline: str, black: Tensor) -> Tensor:
    """Scores less what the picture without anything scores, `black`; with "none" the scores themselves."""
    return scores - black if baseline == "black" else scores
