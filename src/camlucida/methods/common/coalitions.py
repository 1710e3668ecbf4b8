"""Coalitions of superpixels: which are shown and which hidden, and what each adds to the score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.methods.common.infill import infill_image
from camlucida.seeds import generator


def show_segments(inputs: Tensor, labels: Tensor, patterns: Tensor, infill: str) -> Callable[[Tensor], Tensor]:
    """Pattern numbers (n,) in, pictures (n, b, c, H, W) out that show the segments `patterns` (all, s) has on."""
    hidden, visible = infill_image(inputs, infill), patterns.to(inputs.device, torch.bool)
    return lambda which: torch.where(visible[which.to(visible.device)][:, labels][:, :, None], inputs, hidden)


def segments_to_map(values: Tensor, labels: Tensor) -> Tensor:
    """Values of segments (b, s) on their pixels: (b, H, W)."""
    return values.to(labels.device).gather(1, labels.flatten(1)).view(labels.shape)


def ridge(patterns: Tensor, weights: Tensor, scores: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weighted ridge regression of scores (n, b) on patterns (n, s), intercept free: slopes (b, s), weighted R² (b,).

    Solved as least squares of a longer system, which also stands patterns that do not tell segments apart.
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
    """Patterns (at most n, count): all on, all off, then others; and the Shapley kernel's weights of those others.

    All coalitions where n is enough for them. Else sizes and members are drawn as the kernel weighs them, each
    coalition followed by its complement; then the weights are None, for they are all alike.
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
        1.0 / (size * (n_segments - size)), (n - 2) // 2, replacement=True, generator=rng
    )
    ranks = torch.rand(len(drawn_sizes), n_segments, generator=rng, dtype=torch.float64).argsort(1).argsort(1)
    first = ranks < drawn_sizes[:, None]
    return torch.cat([extremes, torch.stack([first, ~first], dim=1).flatten(0, 1)]), None


def shapley_values(patterns: Tensor, kernel: Tensor | None, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Shapley values (b, s) by least squares on scores (n, b), adding up exactly; their standard errors (b, s).

    The errors are of the draw, from how the residuals of pairs scatter; 0 where all coalitions were run.
    """
    full_score, empty_score, coalitions = scores[0], scores[1], patterns[2:].to(scores)
    n_segments = patterns.shape[1]
    weights = (torch.ones(len(coalitions)) / max(1, len(coalitions)) if kernel is None else kernel).to(scores)[:, None]
    # The condition that all values add up is the last row: [A 1; 1' 0] [values; multiplier] = [Z'Wy; whole - none].
    system = torch.ones(n_segments + 1, n_segments + 1).to(scores)
    system[:n_segments, :n_segments], system[n_segments, n_segments] = coalitions.T @ (weights * coalitions), 0
    rhs = torch.cat([coalitions.T @ (weights * (scores[2:] - empty_score)), (full_score - empty_score)[None]])
    inverse = torch.linalg.pinv(system, hermitian=True)
    values = (inverse @ rhs)[:n_segments]
    values = values + (full_score - empty_score - values.sum(0)) / n_segments  # what rounding leaves
    if kernel is not None:
        return values.T, torch.zeros_like(values.T)
    residuals = (scores[2:] - empty_score - coalitions @ values)[:, None] * coalitions[:, :, None]  # (n, s, b)
    pairs = residuals.unflatten(0, (-1, 2)).sum(1) / len(coalitions)
    effects = torch.einsum("st,ptb->psb", inverse[:n_segments, :n_segments], pairs)
    correction = len(pairs) / max(1, len(pairs) - n_segments + 1)
    return values.T, (correction * effects.square().sum(0)).sqrt().T
