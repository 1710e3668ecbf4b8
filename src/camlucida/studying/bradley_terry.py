"""Strengths from pairs: who wins against whom, how often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS, CLOSE = 10_000, 1e-10

PRIOR = 0.1
"""Wins and losses of everybody against everybody that are added: a method that always won is strong, not infinite."""


def strengths(wins: NDArray[np.float64], *, prior: float = PRIOR) -> NDArray[np.float64]:
    """The strengths (..., k) of k methods, on the scale of logits, mean 0: P(i beats j) = sigmoid(s_i - s_j).

    wins    (..., k, k) how often i won against j; many tables at once take little longer than one
    prior   added to every pair, both ways

    Bradley & Terry, 1952; found by minorisation-maximisation (Hunter, 2004, eq. 3).
    """
    played = np.asarray(wins, dtype=np.float64) + prior * (1 - np.eye(wins.shape[-1]))
    games = played + played.swapaxes(-1, -2)
    won = played.sum(-1)
    found = np.ones(won.shape)
    for _ in range(ROUNDS):
        before = found
        found = won / (games / (found[..., :, None] + found[..., None, :])).sum(-1)
        found /= np.exp(np.log(found).mean(-1, keepdims=True))
        if np.abs(np.log(found / before)).max() < CLOSE:
            break
    logits: NDArray[np.float64] = np.log(found)
    return logits
