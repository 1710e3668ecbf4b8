"""Relevance of tokens of which points are sampled: Chefer et al., ICCV 2021, eq. 5 to 10, for deformable attention.

The attention matrix of queries × tokens is sparse: A[q, k] is the sum over heads and points of the positive part of
weight times gradient, divided by the number of heads, times the bilinear coefficient of token k at the point. A matrix
of tokens × tokens would have 10^8 to 10^9 entries, so none is built: the relevance of one row of queries is propagated
from the output to the tokens, r = r + r A, which gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.maps import upsample
from camlucida.methods.common.decoder_relevance import normalised
from camlucida.types import Attention, Map, SampledAttention, SampledPoints


@dataclass(frozen=True, eq=False)
class SparseAttention:
    """The matrix `(b, q, t)` of one attention to sampled points.

    Attributes:
        attended: The attention.
        positive: Positive part of weight times gradient, divided by the number of heads: `(b, heads, q, n)`.
        grids: (h, w) of each grid.
    """

    attended: SampledPoints
    positive: Tensor
    grids: tuple[tuple[int, int], ...]

    @property
    def n_tokens(self) -> int:
        """Return the number of tokens of all grids."""
        return sum(h * w for h, w in self.grids)

    def from_left(self, rows: Tensor) -> Tensor:
        """Return `rows (b, q)` times the matrix: `(b, t)`."""
        result = rows.new_zeros(len(rows), self.n_tokens)
        for tokens, coefficients in self._corners():
            result.scatter_add_(1, tokens.flatten(1), (rows[:, None, :, None] * coefficients).flatten(1))
        return result

    def from_right(self, columns: Tensor) -> Tensor:
        """Return the matrix times `columns (b, t)`: `(b, q)`."""
        result = columns.new_zeros(len(columns), self.positive.shape[2])
        for tokens, coefficients in self._corners():
            values = columns.gather(1, tokens.flatten(1)).view_as(coefficients)
            result += (values * coefficients).sum((1, 3))
        return result

    def _corners(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, per grid and corner of the cell around each point, the tokens and their entries `(b, heads, q, n)`."""
        start, first = 0, 0
        for points, (h, w) in zip(self.attended.points, self.grids, strict=True):
            positive = self.positive[..., start : start + points.shape[3]]
            x, y = ((points[..., 0] + 1) * w - 1) / 2, ((points[..., 1] + 1) * h - 1) / 2
            left, top = x.floor(), y.floor()
            for column, across in ((left, left + 1 - x), (left + 1, x - left)):
                for row, down in ((top, top + 1 - y), (top + 1, y - top)):
                    is_inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
                    token = first + row.clamp(0, h - 1).long() * w + column.clamp(0, w - 1).long()
                    yield token, positive * torch.where(is_inside, across * down, 0).to(positive)
            start, first = start + points.shape[3], first + h * w


def sampled_relevance_map(attention: Attention, gradients: Sequence[Tensor]) -> Map:
    """Return the relevance of the image for the queries that contribute to the output, `(b, H, W)`.

    The tokens of each grid are laid out on it and upsampled, and the maps of all grids are added.

    Args:
        attention: The attention, with `sampled`.
        gradients: Its gradients, see `AttentionGradients`.
    """
    assert attention.sampled is not None
    tokens = relevance_of_tokens(attention.sampled, gradients, attention.token_contributions)
    of_grids = torch.split(tokens, [math.prod(grid) for grid in attention.sampled.grids], 1)
    maps = [
        upsample(part.reshape(len(part), *grid), attention.image)
        for part, grid in zip(of_grids, attention.sampled.grids, strict=True)
    ]
    return torch.stack(maps).sum(0)


def relevance_of_tokens(sampled: SampledAttention, gradients: Sequence[Tensor], contributions: Tensor) -> Tensor:
    """Return the relevance `(b, t)` of the tokens for queries of the decoder with `contributions (q,)`.

    The rule is that of `decoder_relevance.relevance_for_queries`.
    """
    blocks = len(sampled.encoder)
    own, crossings, normalised_own = [], [], []
    between: Tensor = torch.eye(len(contributions)).to(sampled.decoder[0][0])
    for (weights, attended), own_gradient, gradient in zip(
        sampled.decoder, gradients[blocks::2], gradients[blocks + 1 :: 2], strict=True
    ):
        own.append((own_gradient * weights).relu().mean(1))
        between = between + own[-1] @ between
        normalised_own.append(normalised(between))
        crossings.append(_sparse(attended, gradient, sampled))
    rows = contributions.to(between).expand(len(between), 1, -1)
    tokens = rows.new_zeros(len(rows), crossings[0].n_tokens)
    for own_matrix, crossing, queries in zip(reversed(own), reversed(crossings), reversed(normalised_own), strict=True):
        tokens = tokens + crossing.from_left((rows @ queries.mT)[:, 0])
        rows = rows + rows @ own_matrix
    encoder = [_sparse(*pair, sampled) for pair in zip(sampled.encoder, gradients[:blocks], strict=True)]
    return _through_encoder(encoder, tokens)


def _through_encoder(encoder: Sequence[SparseAttention], tokens: Tensor) -> Tensor:
    """Return `tokens (b, t)` times the encoder's relevance, normalised as in eq. 8 and 9.

    R - identity has the row sums s and stays implicit: tokens R_ = tokens + (tokens / s) (R - identity).
    """
    sums = torch.zeros_like(tokens)
    for block in encoder:
        sums = sums + block.from_right(1 + sums)
    scaled = torch.where(sums > 0, tokens / sums.masked_fill(sums <= 0, 1), 0)
    added = torch.zeros_like(tokens)
    for block in reversed(encoder):
        added = added + block.from_left(scaled + added)
    return tokens + added


def _sparse(attended: SampledPoints, gradient: Tensor, sampled: SampledAttention) -> SparseAttention:
    return SparseAttention(attended, (gradient * attended.weights).relu() / gradient.shape[1], sampled.grids)
