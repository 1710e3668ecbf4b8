"""The masks that Score-CAM and its kin put on the picture: a channel, as large as the picture, from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from camlucida.maps import upsample
from camlucida.options import OneOf


@dataclass(frozen=True)
class ChannelMasks:
    """Every different mask once. Mask 0 hides everything; a channel that is the same everywhere has it, too.

    grids  (count, b, h, w)  the masks on the layer's grid
    rows   (b, c)            which mask each channel has
    size   of the picture: height, width
    """

    grids: Tensor
    mask_of_channel: Tensor
    size: tuple[int, int]

    @property
    def n_masks(self) -> int:
        return len(self.grids)

    def __call__(self, indices: Tensor) -> Tensor:
        """Mask numbers (n,) in, masks (n, b, H, W) out: first as large as the picture, then from 0 to 1."""
        grids = self.grids[indices]
        upsampled = upsample(grids.flatten(0, 1), self.size)
        return minmax_scale(upsampled).view(*grids.shape[:2], *self.size)

    def per_channel(self, scores: Tensor) -> Tensor:
        """A number a mask (count, b) as a number a channel (b, c)."""
        return scores.T.gather(1, self.mask_of_channel)


def channel_masks(activations: Tensor, size: tuple[int, int]) -> ChannelMasks:
    """The masks of activations (b, c, h, w). Equal channels and dead ones are found, so that they cost no run."""
    b, c, h, w = activations.shape
    grids, rows = [], []
    for image in minmax_scale(activations):
        candidates = torch.cat([image.new_zeros(1, h * w), image.flatten(1)])
        unique_masks, row = torch.unique(candidates, dim=0, return_inverse=True)  # sorted: nothing stays first
        grids.append(unique_masks.view(-1, h, w))
        rows.append(row[1:])
    return ChannelMasks(torch.nn.utils.rnn.pad_sequence(grids), torch.stack(rows).view(b, c), size)


def minmax_scale(maps: Tensor) -> Tensor:
    """Maps (..., h, w), each stretched to 0..1; all 0 where it is the same everywhere."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).where(high > low, 1)


def weighted_sum(activations: Tensor, channel_scores: Tensor, *, softmax: bool) -> Tensor:
    """sum_k alpha_k A^k: alpha is `worth` (b, c), or its softmax over the channels."""
    weights = channel_scores.softmax(1) if softmax else channel_scores
    return torch.einsum("bc,bchw->bhw", weights, activations.to(weights.dtype)).to(activations.dtype)


BASELINES = ("black", "none")
ScoreBaseline: TypeAlias = Annotated[str, OneOf(BASELINES)]
"""What is taken off every score."""


def subtract_baseline(scores: Tensor, baseline: str, baseline_score: Tensor) -> Tensor:
    """Scores less what the picture without anything scores, `black`; with "none" the scores themselves."""
    return scores - baseline_score if baseline == "black" else scores
