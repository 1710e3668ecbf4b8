"""Nearest neighbours by the cosine similarity of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS_PER_CHUNK = 1024
"""Number of images compared with all others at a time."""


def l2_normalised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features `(n, c)` divided by their L2 norm; a zero vector stays zero and is similar to none."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    return unit


def nearest_neighbours(
    features: NDArray[np.float32], query_rows: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the nearest neighbours of some rows by cosine similarity.

    Args:
        features: Features `(m, c)`.
        query_rows: Indices of the q query rows.
        n: Number of neighbours; a row is no neighbour of itself.

    Returns:
        Indices and cosine similarities of the neighbours, both `(q, n)`, most similar first. Ties are sorted by index.
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
    """Return whether the nearest neighbour of each image has its label `(n,)`; empty for fewer than two images."""
    if len(features) < 2:
        return np.zeros(0, dtype=np.bool_)
    indices, _ = nearest_neighbours(features, np.arange(len(features)), 1)
    same: NDArray[np.bool_] = labels[indices[:, 0]] == labels
    return same


def has_classmate(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether another image has the label of each image `(n,)`."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    several: NDArray[np.bool_] = counts[inverse] > 1
    return several


def neighbour_agreement(features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the fraction of images whose nearest neighbour has their label.

    Images that are the only one of their class cannot agree and are not counted, but they can be neighbours of others.

    Args:
        features: Features `(n, c)`.
        labels: Labels `(n,)`.

    Returns:
        The fraction, in [0, 1]; NaN if no class has two images.
    """
    counted = has_classmate(labels)
    return float(neighbour_agrees(features, labels)[counted].mean()) if counted.any() else float("nan")
