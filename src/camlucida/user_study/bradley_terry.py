"""The Bradley-Terry model: strengths of methods from the outcomes of paired comparisons."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRIOR = 0.1
"""Number of wins added to each pair in both directions, so that a method that always won has a finite strength."""
MAX_ITERATIONS, TOLERANCE = 100, 1e-9
"""Limits of Newton's method: number of steps, and the largest change of a strength in the last one."""
MAX_HALVINGS = 30
"""How often a step that does not decrease the loss is halved."""
LOSS_ROUNDING = 1e-12
"""Relative rounding error of the loss, below which two values count as equal."""
RIDGE = 1e-12
"""Added to the diagonal of the Hessian, relative to its largest entry, for tables whose strengths are not unique."""


def bradley_terry_strengths(wins: Floats, *, prior: float = PRIOR) -> Floats:
    """Compute the strengths of k methods (Bradley & Terry, 1952), on the scale of logits with mean 0.

    The model is P(i beats j) = sigmoid(s_i - s_j). The negative log-likelihood is convex; it is minimised by Newton's
    method with step halving, which needs about ten steps also where the comparisons form a long chain.

    Args:
        wins: How often i won against j `(..., k, k)`; many tables are fitted at once at little extra cost.
        prior: Number of wins added to every pair, in both directions.

    Returns:
        The strengths `(..., k)`.

    Warns:
        RuntimeWarning: If the iteration did not converge: with `prior=0`, a method that won or lost all of its
            comparisons has no finite strength.
    """
    smoothed = np.asarray(wins, dtype=np.float64) + prior * (1 - np.eye(wins.shape[-1]))
    games = smoothed + smoothed.swapaxes(-1, -2)
    strengths = np.zeros(smoothed.shape[:-1])
    for _ in range(MAX_ITERATIONS):
        step = _newton_step(strengths, smoothed, games)
        strengths = strengths + _halved(step, strengths, smoothed)
        if np.abs(step).max(initial=0.0) < TOLERANCE:
            return strengths
    warnings.warn(
        f"The Bradley-Terry strengths did not converge in {MAX_ITERATIONS} steps of Newton's method: a method that "
        "won or lost all of its comparisons has no finite strength. Use prior > 0.",
        RuntimeWarning,
        stacklevel=2,
    )
    return strengths


def _newton_step(strengths: Floats, wins: Floats, games: Floats) -> Floats:
    """Return the step `(..., k)` that minimises the quadratic approximation of the loss; its mean is 0."""
    chance = _win_probability(strengths)
    gradient = (games * chance - wins).sum(-1)
    weights = games * chance * (1 - chance)
    k = strengths.shape[-1]
    hessian = weights.sum(-1)[..., None] * np.eye(k) - weights
    # The loss does not change if all strengths change together: the constant direction is fixed at mean 0.
    scale = hessian.max((-2, -1), keepdims=True, initial=np.finfo(np.float64).tiny)
    step: Floats = -np.linalg.solve(hessian + scale * (1 / k + RIDGE * np.eye(k)), gradient[..., None])[..., 0]
    centred: Floats = step - step.mean(-1, keepdims=True)
    return centred


def _halved(step: Floats, strengths: Floats, wins: Floats) -> Floats:
    """Return the steps, halved for each table until its loss does not increase."""
    before = _loss(strengths, wins)
    for _ in range(MAX_HALVINGS):
        worse = _loss(strengths + step, wins) > before + LOSS_ROUNDING * np.abs(before)
        if not worse.any():
            break
        step = np.where(worse[..., None], step / 2, step)
    return step


def _win_probability(strengths: Floats) -> Floats:
    """Return the probability `(..., k, k)` that i beats j."""
    differences = strengths[..., :, None] - strengths[..., None, :]
    probability: Floats = np.exp(-np.logaddexp(0, -differences))
    return probability


def _loss(strengths: Floats, wins: Floats) -> Floats:
    """Return the negative log-likelihood `(...)` of the tables."""
    loss: Floats = (wins * np.logaddexp(0, strengths[..., None, :] - strengths[..., :, None])).sum((-2, -1))
    return loss
