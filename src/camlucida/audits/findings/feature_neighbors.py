"""Nearest neighbors of the images of an audit by the features of its layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from camlucida.analysis.neighbours import l2_normalised
from camlucida.audits.audit_result import Audit
from camlucida.audits.findings.attributes import standardised
from camlucida.audits.plan import FEATURES

MAX_REFERENCES = 20_000
"""Largest number of images among which neighbors are looked for; of more, a random sample."""
SIMILARITIES = 20_000_000
"""Number of similarities held in memory at a time."""


def unit_features(audit: Audit) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features, standardised by channel and of length 1, and the indices of their rows.

    Rows without features, whose images are broken, are left out; both are empty if the audit has no features.
    """
    if FEATURES not in audit.store.array_names:
        return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.int64)
    features = audit.features().astype(np.float32)
    usable = np.flatnonzero(np.isfinite(features).all(1)) if features.shape[1] else np.zeros(0, dtype=np.int64)
    return l2_normalised(standardised(features[usable])), usable


def neighbors(features: NDArray[np.float32], n: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the nearest neighbors of every row by cosine similarity.

    Args:
        features: `(m, c)`, each of length 1 or 0.
        n: Number of neighbors; a row is no neighbor of itself.
        seed: Seed of the sample, if there are more than `MAX_REFERENCES` rows.

    Returns:
        Their indices and similarities, `(m, n)`, most similar first; fewer columns if there are not enough rows.
    """
    m = len(features)
    references = np.arange(m)
    if m > MAX_REFERENCES:
        references = np.sort(np.random.default_rng(seed).permutation(m)[:MAX_REFERENCES])
    n = min(n, len(references) - 1)
    indices, similarities = np.zeros((m, max(n, 0)), dtype=np.int64), np.zeros((m, max(n, 0)), dtype=np.float32)
    if n < 1:
        return indices, similarities
    position = np.full(m, -1)
    position[references] = np.arange(len(references))
    step = max(1, SIMILARITIES // len(references))
    for start in range(0, m, step):
        rows = np.arange(start, min(start + step, m))
        similarity = features[rows] @ features[references].T
        own = position[rows]
        similarity[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
        best = np.argpartition(-similarity, n - 1, axis=1)[:, :n]
        values = np.take_along_axis(similarity, best, 1)
        order = np.lexsort((best, -values), axis=1)
        indices[rows] = references[np.take_along_axis(best, order, 1)]
        similarities[rows] = np.take_along_axis(values, order, 1)
    return indices, similarities
