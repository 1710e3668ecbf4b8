"""Non-negative matrix factorisation of activations."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.seeds import check_seed, short_seed

N_STARTS = 4
MAX_STEPS, TOLERANCE = 1000, 1e-5


@dataclass(frozen=True, eq=False)
class Factors:
    """The non-negative factors of a matrix V `(positions, channels)`, V ≈ W H.

    Attributes:
        weights: W, `(positions, k)`; the maximum of each column is 1.
        components: H, `(k, channels)`, in the units of V.
        error: |V - W H| / |V|, Frobenius norm.
        converged: Whether the optimisation converged.
    """

    weights: NDArray[np.float64]
    components: NDArray[np.float64]
    error: float
    converged: bool


def factorise(values: NDArray[Any], k: int, *, seed: int = 0, starts: int = N_STARTS) -> Factors:
    """Factorise a non-negative matrix by coordinate descent: the best of several starts, largest component first.

    The factors are unique up to a scale per component: each component is scaled to weight 1 at its strongest position,
    so that its vector is what the layer outputs there. Components that are zero at all positions are removed.

    Args:
        values: `(positions, channels)`, non-negative.
        k: Number of components.
        seed: Seed of the random starts.
        starts: Number of starts: the first from the singular vectors (NNDSVDa), the others at random. The one with the
            smallest error is kept, because the problem is not convex.
    """
    check_seed(seed)
    sklearn = need("sklearn.decomposition", extra="analysis", what="the factorisation into concepts")
    norm = float(np.linalg.norm(values))
    best: Factors | None = None
    for start in range(starts):
        init = "random" if start else "nndsvda"
        nmf = sklearn.NMF(k, init=init, random_state=short_seed(seed + start), max_iter=MAX_STEPS, tol=TOLERANCE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the result reports non-convergence
            weights = nmf.fit_transform(values)
        error = float(np.linalg.norm(values - weights @ nmf.components_)) / norm
        if best is None or error < best.error:
            best = Factors(weights, nmf.components_, error, nmf.n_iter_ < MAX_STEPS)
    assert best is not None, "no start"
    return _sort_by_size(best)


def _sort_by_size(factors: Factors) -> Factors:
    maxima = factors.weights.max(0)
    sizes = factors.weights.sum(0) * factors.components.sum(1)
    order = [i for i in np.argsort(-sizes, kind="stable") if sizes[i] > 0]
    weights, components = factors.weights[:, order] / maxima[order], factors.components[order] * maxima[order, None]
    return Factors(weights, components, factors.error, factors.converged)
