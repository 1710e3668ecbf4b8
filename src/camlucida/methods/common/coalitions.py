"""Coalitions of segments: which segments are shown, and the contribution of each to the score (LIME, KernelSHAP)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.methods.common.infill import infill_image
from camlucida.seeds import generator


def show_segments(inputs: Tensor, labels: Tensor, patterns: Tensor, infill: str) -> Callable[[Tensor], Tensor]:
    """Return the function from pattern indices to network inputs in which only some segments are shown.

    Args:
        inputs: Network inputs `(b, c, H, W)`.
        labels: Segment of each pixel `(b, H, W)`.
        patterns: Which segments each pattern shows `(n_patterns, n_segments)`.
        infill: What replaces hidden segments, as of `infill_image`.

    Returns:
        A function from pattern indices `(n,)` to inputs `(n, b, c, H, W)`.
    """
    hidden, visible = infill_image(inputs, infill), patterns.to(inputs.device, torch.bool)
    return lambda which: torch.where(visible[which.to(visible.device)][:, labels][:, :, None], inputs, hidden)


def segments_to_map(values: Tensor, labels: Tensor) -> Tensor:
    """Assign values of segments `(b, s)` to their pixels: `(b, H, W)`."""
    return values.to(labels.device).gather(1, labels.flatten(1)).view(labels.shape)


def ridge(patterns: Tensor, weights: Tensor, scores: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Fit a weighted ridge regression of scores on patterns, with an unpenalised intercept.

    It is solved as least squares of an augmented system, which also handles patterns that do not separate segments.

    Args:
        patterns: `(n, s)`.
        weights: Weights of the samples `(n,)`.
        scores: `(n, b)`.
        penalty: Penalty of the squared coefficients, relative to the sum over samples.

    Returns:
        The coefficients `(b, s)` and the weighted R² `(b,)`.
    """
    penalty = penalty / float(weights.sum())
    weights = (weights / weights.sum())[:, None]
    x, y = patterns - (weights * patterns).sum(0), scores - (weights * scores).sum(0)
    design = torch.cat([weights.sqrt() * x, penalty**0.5 * torch.eye(patterns.shape[1]).to(patterns)])
    responses = torch.cat([weights.sqrt() * y, torch.zeros(patterns.shape[1], scores.shape[1]).to(y)])
    coefficients = torch.linalg.lstsq(design, responses, driver="gelsd").solution
    residual, total = (weights * (y - x @ coefficients).square()).sum(0), (weights * y.square()).sum(0)
    return coefficients.T, torch.where(total > 0, 1 - residual / total.clamp_min(torch.finfo(total.dtype).tiny), 1.0)


def shapley_coalitions(n_segments: int, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """Sample coalitions by the Shapley kernel, pi = (M - 1) / (C(M, |z|) |z| (M - |z|)).

    All coalitions are returned where n suffices. Otherwise they are sampled by the kernel, each followed by its
    complement.

    Args:
        n_segments: Number of segments, M.
        n: Maximum number of coalitions.
        seed: Seed of the samples.

    Returns:
        Patterns `(at most n, n_segments)`: all segments shown, all hidden, then others; and the kernel weights of those
        others, or None where they were sampled and are all equal.
    """
    extremes = torch.tensor([[True] * n_segments, [False] * n_segments])
    if 2**n_segments <= n:
        coalitions = torch.tensor(list(itertools.product([False, True], repeat=n_segments)))[1:-1]
        sizes = coalitions.sum(1).tolist()
        kernel = [(n_segments - 1) / (math.comb(n_segments, size) * size * (n_segments - size)) for size in sizes]
        return torch.cat([extremes, coalitions]), torch.tensor(kernel, dtype=torch.float64)
    rng = generator(seed)
    size = torch.arange(1, n_segments)
    drawn_sizes = 1 + torch.multinomial(
        1.0 / (size * (n_segments - size)).float(), (n - 2) // 2, replacement=True, generator=rng
    )
    ranks = torch.rand(len(drawn_sizes), n_segments, generator=rng, dtype=torch.float64).argsort(1).argsort(1)
    first = ranks < drawn_sizes[:, None]
    return torch.cat([extremes, torch.stack([first, ~first], dim=1).flatten(0, 1)]), None


def shapley_values(patterns: Tensor, kernel: Tensor | None, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate Shapley values by least squares, under the condition that they add up exactly.

    Args:
        patterns: Coalitions `(n, s)`, as `shapley_coalitions` returns them.
        kernel: Weights of the coalitions, or None for sampled ones.
        scores: Scores of the coalitions `(n, b)`.

    Returns:
        The values `(b, s)` and their standard errors `(b, s)` from the sampling, estimated from the residuals of pairs
        of complements; 0 where all coalitions were run.
    """
    full_score, empty_score, coalitions = scores[0], scores[1], patterns[2:].to(scores)
    n_segments = patterns.shape[1]
    equal = torch.full((len(coalitions),), 1 / max(1, len(coalitions)), dtype=torch.float64)
    weights = (equal if kernel is None else kernel).to(scores)[:, None]
    # The last row is the condition that the values add up: [A 1; 1' 0] [values; multiplier] = [Z'Wy; full - empty].
    system = torch.ones(n_segments + 1, n_segments + 1).to(scores)
    system[:n_segments, :n_segments], system[n_segments, n_segments] = coalitions.T @ (weights * coalitions), 0
    rhs = torch.cat([coalitions.T @ (weights * (scores[2:] - empty_score)), (full_score - empty_score)[None]])
    inverse = torch.linalg.pinv(system, hermitian=True)
    values = (inverse @ rhs)[:n_segments]
    values = values + (full_score - empty_score - values.sum(0)) / n_segments  # remove the rounding error
    if kernel is not None:
        return values.T, torch.zeros_like(values.T)
    residuals = (scores[2:] - empty_score - coalitions @ values)[:, None] * coalitions[:, :, None]  # (n, s, b)
    pairs = residuals.unflatten(0, (-1, 2)).sum(1) / len(coalitions)
    effects = torch.einsum("st,ptb->psb", inverse[:n_segments, :n_segments], pairs)
    correction = len(pairs) / max(1, len(pairs) - n_segments + 1)
    return values.T, (correction * effects.square().sum(0)).sqrt().T
