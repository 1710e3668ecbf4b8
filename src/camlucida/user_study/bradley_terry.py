"""The Bradley-Terry model: strengths from pairwise comparisons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_ITERATIONS, TOLERANCE = 10_000, 1e-10

PRIOR = 0.1
"""Number of wins added to each pair in both directions, so that a method that always won has a finite strength."""


def bradley_terry_strengths(wins: NDArray[np.float64], *, prior: float = PRIOR) -> NDArray[np.float64]:
    """Compute the strengths of k methods (Bradley & Terry, 1952), on the scale of logits with mean 0.

    The model is P(i beats j) = sigmoid(s_i - s_j). It is fitted by minorisation-maximisation (Hunter, 2004, eq. 3).

    Args:
        wins: How often i won against j `(..., k, k)`; many tables are fitted at once at little extra cost.
        prior: Number of wins added to every pair, in both directions.

    Returns:
        The strengths `(..., k)`.
    """
    smoothed = np.asarray(wins, dtype=np.float64) + prior * (1 - np.eye(wins.shape[-1]))
    games = smoothed + smoothed.swapaxes(-1, -2)
    total_wins = smoothed.sum(-1)
    abilities = np.ones(total_wins.shape)
    for _ in range(MAX_ITERATIONS):
        previous = abilities
        abilities = total_wins / (games / (abilities[..., :, None] + abilities[..., None, :])).sum(-1)
        abilities /= np.exp(np.log(abilities).mean(-1, keepdims=True))
        if np.abs(np.log(abilities / previous)).max() < TOLERANCE:
            break
    log_abilities: NDArray[np.float64] = np.log(abilities)
    return log_abilities
