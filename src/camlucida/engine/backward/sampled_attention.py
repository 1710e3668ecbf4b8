"""Deformable attention: queries that read a few sampled points of several grids, and weight them with a softmax.

Each grid is read by one call of `grid_sample` after the softmax whose weights multiply the samples. That the weights
belong to these samples, in this order, is verified with numbers in every backward pass: of a sum of products of weights
and samples, weight times gradient is sample times gradient, point by point.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.trace import at_least_float32
from camlucida.types import SampledAttention, SampledPoints

MAX_DIFFERENCE = 1e-2
"""Largest difference of weight times gradient and sample times gradient, relative to the largest of an attention."""


@dataclass(eq=False)
class Sampling:
    """One call of `grid_sample`.

    Attributes:
        values: The sampled grid `(b heads, d, h, w)`.
        points: Positions `(b heads, q, p, 2)` as (x, y), from -1 to 1 over the grid.
        samples: What the call returned, `(b heads, d, q, p)`, with its graph.
        contributions: Sum over d of sample times gradient, `(b heads, q, p)`, of the last backward pass; None before
            one, or if it did not reach the samples.
    """

    values: Tensor
    points: Tensor
    samples: Tensor
    contributions: Tensor | None = None

    @classmethod
    def of(cls, values: Tensor, points: Tensor, samples: Tensor) -> Sampling:
        """Return the record of a call that returned `samples (b heads, d, q, p)`, and note what they contribute."""
        sampling, kept = cls(values.detach(), points.detach(), samples), samples.detach()
        reference = weakref.ref(sampling)  # the hook is a part of the samples, which the record refers to

        def note(gradient: Tensor) -> None:
            if (record := reference()) is not None:
                record.contributions = (kept * gradient).sum(1)

        hooked: Any = samples
        hooked.register_hook(note)
        return sampling


def may_sample(
    weights: Tensor, samplings: Sequence[Sampling], values: Tensor, points: Tensor, options: tuple[str, str, bool]
) -> bool:
    """Return whether a call of `grid_sample` takes the next points of attention weights `(b, q, heads, n)`.

    Args:
        weights: The last attention weights.
        samplings: The calls that have taken points of them already.
        values: The sampled grid.
        points: The positions.
        options: Mode, padding and alignment of `grid_sample`: only bilinear samples, of zeros outside, are followed.
    """
    if weights.ndim != 4 or values.ndim != 4 or points.ndim != 4:
        return False
    b, q, heads, n = weights.shape
    return (
        values.shape[0] == points.shape[0] == b * heads
        and points.shape[1] == q
        and sum(sampling.points.shape[2] for sampling in samplings) + points.shape[2] <= n
        and options == ("bilinear", "zeros", False)
    )


def is_complete(weights: Tensor, samplings: Sequence[Sampling]) -> bool:
    """Return whether every weight of `(b, q, heads, n)` has a sampled point."""
    return weights.ndim == 4 and sum(s.points.shape[2] for s in samplings) == weights.shape[3]


def grids_of(samplings: Sequence[Sampling]) -> tuple[tuple[int, int], ...]:
    """Return (h, w) of the sampled grids."""
    return tuple((s.values.shape[2], s.values.shape[3]) for s in samplings)


def sampled_points(weights: Tensor, samplings: Sequence[Sampling]) -> SampledPoints:
    """Return the attention of weights `(b, q, heads, n)` whose points were sampled."""
    b, heads = weights.shape[0], weights.shape[2]
    return SampledPoints(
        at_least_float32(weights.detach().transpose(1, 2)),
        tuple(at_least_float32(s.points).reshape(b, heads, *s.points.shape[1:]) for s in samplings),
    )


def contradiction(weights: Tensor, gradient: Tensor, samplings: Sequence[Sampling]) -> str:
    """Return why weights `(b, q, heads, n)` are not those of the samples, after a backward pass; empty if they are."""
    b, heads = weights.shape[0], weights.shape[2]
    parts = [s.points.new_zeros(s.points.shape[:3]) if s.contributions is None else s.contributions for s in samplings]
    of_samples = torch.cat(parts, -1).reshape(b, heads, weights.shape[1], -1).float()
    of_weights = (weights.detach() * gradient).transpose(1, 2).float()
    size = float(torch.maximum(of_samples.abs().max(), of_weights.abs().max()))
    if float((of_samples - of_weights).abs().max()) <= MAX_DIFFERENCE * size:
        return ""
    return "the points that one of its attentions samples are not weighted by the softmax before them"


@dataclass(frozen=True, eq=False)
class SampledBlocks:
    """The attentions of a deformable transformer among all that were recorded.

    Attributes:
        encoder: Indices of the attentions of the encoder.
        decoder: Index of the attention between queries, and of that to sampled points, of each block of the decoder.
        grids: (h, w) of the sampled grids.
    """

    encoder: tuple[int, ...]
    decoder: tuple[tuple[int, int], ...]
    grids: tuple[tuple[int, int], ...]

    @property
    def indices(self) -> tuple[int, ...]:
        """Return the indices in the order of the blocks."""
        return (*self.encoder, *(index for pair in self.decoder for index in pair))

    def attention(
        self, recorded: Sequence[Tensor], samplings: Mapping[int, Sequence[Sampling]], images: int
    ) -> SampledAttention:
        """Return the attention that methods receive."""

        def sampled(index: int) -> SampledPoints:
            return sampled_points(recorded[index], samplings[index])

        def dense(index: int) -> Tensor:
            weights = at_least_float32(recorded[index].detach())
            return weights.reshape(images, -1, *weights.shape[-2:])

        return SampledAttention(
            tuple(sampled(index) for index in self.encoder),
            tuple((dense(own), sampled(crossing)) for own, crossing in self.decoder),
            self.grids,
        )


def find_blocks(
    recorded: Sequence[Tensor], samplings: Mapping[int, Sequence[Sampling]], images: int
) -> SampledBlocks | str:
    """Find the blocks of a deformable transformer, or return why there are none that can be followed.

    The last attentions are those of the decoder: between its queries, and to sampled points of the tokens. Before them
    are those of an encoder, in which every token samples points of all tokens. An attention before these, as in the
    hybrid encoder of RT-DETR or a backbone with attention, is part of what computes the tokens, and not followed.

    Args:
        recorded: All attention weights in the order of the calls; those after the last sampled one are no attention
            between tokens (D-FINE: bins of an edge).
        samplings: The samples of each attention with sampled points.
        images: Number of images.
    """
    end = max(samplings) + 1
    grids = grids_of(samplings[end - 1])
    n_tokens = sum(h * w for h, w in grids)
    decoder: list[tuple[int, int]] = []
    while end >= 2 and end - 1 in samplings and end - 2 not in samplings:
        queries, shape = recorded[end - 1].shape[1], tuple(recorded[end - 2].shape)
        is_own = shape[-2:] == (queries, queries) and shape[0] % images == 0 and (len(shape) == 3 or shape[0] == images)
        if not is_own:
            break
        decoder.insert(0, (end - 2, end - 1))
        end -= 2
    encoder: list[int] = []
    while end and end - 1 in samplings:
        encoder.insert(0, end - 1)
        end -= 1
    if not decoder:
        return "it samples points of its tokens, but has no decoder whose queries do"
    if any(index in samplings for index in range(end)):
        return "its attentions to sampled points are interrupted by others"
    if any(recorded[index].shape[1] != n_tokens for index in encoder):
        return f"other queries than its {n_tokens} tokens sample points of them"
    followed = (*encoder, *(crossing for _, crossing in decoder))
    if any(grids_of(samplings[index]) != grids for index in followed):
        return "its blocks sample points of different grids"
    later = [*encoder[1:], *(index for pair in decoder for index in pair if index != decoder[0][0])]
    if any(recorded[index].is_leaf for index in later):
        return "one of its attentions does not depend on those before it"
    return SampledBlocks(tuple(encoder), tuple(decoder), grids)
