"""Nearest neighbours by the angle between features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS = 1024
"""Pictures compared with all others at a time."""


def directions(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (n, c), each divided by its length; one that is all zero stays so, and is like nothing."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    found: NDArray[np.float32] = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    return found


def nearest(
    features: NDArray[np.float32], of: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of the rows `of`: the n other rows with the largest cosine, and the cosines; both (len(of), n).

    Of equal ones the first comes first.
    """
    unit = directions(features)
    n = min(n, len(features) - 1)
    found = np.empty((len(of), n), dtype=np.int64)
    cosines = np.empty((len(of), n), dtype=np.float32)
    for start in range(0, len(of), ROWS):
        rows = of[start : start + ROWS]
        alike = unit[rows] @ unit.T
        alike[np.arange(len(rows)), rows] = -np.inf
        order = alike.argmax(1)[:, None] if n == 1 else np.argsort(-alike, axis=1, kind="stable")[:, :n]
        found[start : start + ROWS] = order
        cosines[start : start + ROWS] = np.take_along_axis(alike, order, 1)
    return found, cosines


def agreeing(features: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of each picture (n,), whether the nearest other one has its label. Nothing for fewer than two."""
    if len(features) < 2:
        return np.zeros(0, dtype=np.bool_)
    found, _ = nearest(features, np.arange(len(features)), 1)
    same: NDArray[np.bool_] = labels[found[:, 0]] == labels
    return same


def agreement(features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The share of pictures whose nearest other one has their label. NaN for fewer than two."""
    found = agreeing(features, labels)
    return float(found.mean()) if len(found) else float("nan")
