"""Coalitions of superpixels: which are shown and which hidden, and what each adds to the score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from camlucida.methods.parts.fills import filled
from camlucida.seeds import generator


def showing(inputs: Tensor, labels: Tensor, patterns: Tensor, infill: str) -> Callable[[Tensor], Tensor]:
    """Pattern numbers (n,) in, pictures (n, b, c, H, W) out that show the segments `patterns` (all, s) has on."""
    cover, on = filled(inputs, infill), patterns.to(inputs.device, torch.bool)
    return lambda which: torch.where(on[which.to(on.device)][:, labels][:, :, None], inputs, cover)


def painted(values: Tensor, labels: Tensor) -> Tensor:
    """Values of segments (b, s) on their pixels: (b, H, W)."""
    return values.to(labels.device).gather(1, labels.flatten(1)).view(labels.shape)


def ridge(on: Tensor, weights: Tensor, scores: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weighted ridge regression of scores (n, b) on patterns (n, s), intercept free: slopes (b, s), weighted R² (b,).

    Solved as least squares of a longer system, which also stands patterns that do not tell segments apart.
    """
    penalty = penalty / float(weights.sum())
    weights = (weights / weights.sum())[:, None]
    x, y = on - (weights * on).sum(0), scores - (weights * scores).sum(0)
    long = torch.cat([weights.sqrt() * x, penalty**0.5 * torch.eye(on.shape[1]).to(on)])
    wanted = torch.cat([weights.sqrt() * y, torch.zeros(on.shape[1], scores.shape[1]).to(y)])
    slopes = torch.linalg.lstsq(long, wanted, driver="gelsd").solution
    left, all_ = (weights * (y - x @ slopes).square()).sum(0), (weights * y.square()).sum(0)
    return slopes.T, torch.where(all_ > 0, 1 - left / all_.clamp_min(torch.finfo(all_.dtype).tiny), 1.0)


def shapley_coalitions(count: int, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """Patterns (at most n, count): all on, all off, then others; and the Shapley kernel's weights of those others.

    All coalitions where n is enough for them. Else sizes and members are drawn as the kernel weighs them, each
    coalition followed by its complement; then the weights are None, for they are all alike.
    """
    ends = torch.tensor([[True] * count, [False] * count])
    if 2**count <= n:
        every = torch.tensor(list(itertools.product([False, True], repeat=count)))[1:-1]
        sizes = every.sum(1).tolist()
        kernel = [(count - 1) / (math.comb(count, size) * size * (count - size)) for size in sizes]
        return torch.cat([ends, every]), torch.tensor(kernel, dtype=torch.float64)
    random = generator(seed)
    size = torch.arange(1, count)
    drawn = 1 + torch.multinomial(1.0 / (size * (count - size)), (n - 2) // 2, replacement=True, generator=random)
    order = torch.rand(len(drawn), count, generator=random, dtype=torch.float64).argsort(1).argsort(1)
    first = order < drawn[:, None]
    return torch.cat([ends, torch.stack([first, ~first], dim=1).flatten(0, 1)]), None


def shapley_values(patterns: Tensor, kernel: Tensor | None, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Shapley values (b, s) by least squares on scores (n, b), adding up exactly; their standard errors (b, s).

    The errors are of the draw, from how the residuals of pairs scatter; 0 where all coalitions were run.
    """
    whole, none, rest = scores[0], scores[1], patterns[2:].to(scores)
    count = patterns.shape[1]
    weights = (torch.ones(len(rest)) / max(1, len(rest)) if kernel is None else kernel).to(scores)[:, None]
    # The condition that all values add up is the last row: [A 1; 1' 0] [values; multiplier] = [Z'Wy; whole - none].
    system = torch.ones(count + 1, count + 1).to(scores)
    system[:count, :count], system[count, count] = rest.T @ (weights * rest), 0
    right = torch.cat([rest.T @ (weights * (scores[2:] - none)), (whole - none)[None]])
    inverse = torch.linalg.pinv(system, hermitian=True)
    values = (inverse @ right)[:count]
    values = values + (whole - none - values.sum(0)) / count  # what rounding leaves
    if kernel is not None:
        return values.T, torch.zeros_like(values.T)
    left = (scores[2:] - none - rest @ values)[:, None] * rest[:, :, None]  # (n, s, b)
    pairs = left.unflatten(0, (-1, 2)).sum(1) / len(rest)
    moved = torch.einsum("st,ptb->psb", inverse[:count, :count], pairs)
    spare = len(pairs) / max(1, len(pairs) - count + 1)
    return values.T, (spare * moved.square().sum(0)).sqrt().T
