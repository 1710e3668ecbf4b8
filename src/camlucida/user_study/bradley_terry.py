"""Strengths from pairs: who wins against whom, how often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_ITERATIONS, TOLERANCE = 10_000, 1e-10

PRIOR = 0.1
"""Wins and losses of everybody against everybody that are added: a method that always won is strong, not infinite."""


def bradley_terry_strengths(wins: NDArray[np.float64], *, prior: float = PRIOR) -> NDArray[np.float64]:
    """The strengths (..., k) of k methods, on the scale of logits, mean 0: P(i beats j) = sigmoid(s_i - s_j).

    wins    (..., k, k) how often i won against j; many tables at once take little longer than one
    prior   added to every pair, both ways

    Bradley & Terry, 1952; found by minorisation-maximisation (Hunter, 2004, eq. 3).
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
