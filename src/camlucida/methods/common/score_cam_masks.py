"""The masks of Score-CAM and its variants: each channel, upsampled to the size of the input and scaled to [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from camlucida.maps import upsample
from camlucida.options import OneOf


@dataclass(frozen=True)
class ChannelMasks:
    """The distinct masks of the channels. Mask 0 is zero everywhere; constant channels use it.

    Attributes:
        grids: The masks on the layer's grid `(n_masks, b, *grid)`.
        mask_of_channel: Index of the mask of each channel `(b, c)`.
        size: (height, width) of the network input; of volumes (depth, height, width).
    """

    grids: Tensor
    mask_of_channel: Tensor
    size: Sequence[int]

    @property
    def n_masks(self) -> int:
        return len(self.grids)

    def __call__(self, indices: Tensor) -> Tensor:
        """Return the masks `(n, b, *size)` with indices `(n,)`: first upsampled, then scaled to [0, 1]."""
        grids = self.grids[indices]
        upsampled = upsample(grids.flatten(0, 1), self.size)
        return minmax_scale(upsampled, len(self.size)).view(*grids.shape[:2], *self.size)

    def per_channel(self, scores: Tensor) -> Tensor:
        """Return one number per channel `(b, c)` from one number per mask `(n_masks, b)`."""
        return scores.T.gather(1, self.mask_of_channel)


def channel_masks(activations: Tensor, size: Sequence[int]) -> ChannelMasks:
    """Return the masks of activations `(b, c, *grid)` for inputs of `size`.

    Equal channels, and constant ones, share a mask, so that each mask is evaluated once.
    """
    b, c, *grid = activations.shape
    grids, rows = [], []
    for image in minmax_scale(activations, len(grid)):
        candidates = torch.cat([image.new_zeros(1, math.prod(grid)), image.flatten(1)])
        unique_masks, row = torch.unique(
            candidates, dim=0, return_inverse=True
        )  # sorted, so that the zero mask stays first
        grids.append(unique_masks.view(-1, *grid))
        rows.append(row[1:])
    return ChannelMasks(torch.nn.utils.rnn.pad_sequence(grids), torch.stack(rows).view(b, c), size)


def minmax_scale(maps: Tensor, n_axes: int = 2) -> Tensor:
    """Scale maps `(..., *grid)` to [0, 1] each, with `n_axes` axes in the grid; a constant map becomes 0."""
    positions = tuple(range(-n_axes, 0))
    low, high = maps.amin(positions, keepdim=True), maps.amax(positions, keepdim=True)
    return (maps - low) / (high - low).where(high > low, 1)


def weighted_sum(activations: Tensor, channel_scores: Tensor, *, softmax: bool) -> Tensor:
    """Return sum_k alpha_k A^k `(b, *grid)`; alpha is `channel_scores` (b, c), or its softmax over the channels."""
    weights = channel_scores.softmax(1) if softmax else channel_scores
    return torch.einsum("bc,bc...->b...", weights, activations.to(weights.dtype)).to(activations.dtype)


BASELINES = ("black", "none")
ScoreBaseline: TypeAlias = Annotated[str, OneOf(BASELINES)]
"""Name of the score that is subtracted."""


def subtract_baseline(scores: Tensor, baseline: str, baseline_score: Tensor) -> Tensor:
    """Subtract the score of an empty input, `baseline_score`, if `baseline` is "black"; else return the scores."""
    return scores - baseline_score if baseline == "black" else scores
