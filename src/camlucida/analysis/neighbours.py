"""Nearest neighbours by the angle between features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS_PER_CHUNK = 1024
"""Pictures compared with all others at a time."""


def l2_normalised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (n, c), each divided by its length; one that is all zero stays so, and is like nothing."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    return unit


def nearest_neighbours(
    features: NDArray[np.float32], query_rows: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of the rows `of`: the n other rows with the largest cosine, and the cosines; both (len(of), n).

    Of equal ones the first comes first.
    """
    unit = l2_normalised(features)
    n = min(n, len(features) - 1)
    indices = np.empty((len(query_rows), n), dtype=np.int64)
    cosines = np.empty((len(query_rows), n), dtype=np.float32)
    for start in range(0, len(query_rows), ROWS_PER_CHUNK):
        rows = query_rows[start : start + ROWS_PER_CHUNK]
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        order = similarity.argmax(1)[:, None] if n == 1 else np.argsort(-similarity, axis=1, kind="stable")[:, :n]
        indices[start : start + ROWS_PER_CHUNK] = order
        cosines[start : start + ROWS_PER_CHUNK] = np.take_along_axis(similarity, order, 1)
    return indices, cosines


def neighbour_agrees(features: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of each picture (n,), whether the nearest other one has its label. Nothing for fewer than two."""
    if len(features) < 2:
        return np.zeros(0, dtype=np.bool_)
    indices, _ = nearest_neighbours(features, np.arange(len(features)), 1)
    same: NDArray[np.bool_] = labels[indices[:, 0]] == labels
    return same


def neighbour_agreement(features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The share of pictures whose nearest other one has their label. NaN for fewer than two."""
    agrees = neighbour_agrees(features, labels)
    return float(agrees.mean()) if len(agrees) else float("nan")
