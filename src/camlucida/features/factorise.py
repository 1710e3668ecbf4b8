"""Non-negative matrix factorisation: a matrix of activations as a few non-negative parts."""

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
    """W H, both non-negative, near a matrix V (places, channels).

    places    W, (places, k), the maximum of each column 1
    vectors   H, (k, channels), in the units of V
    error     |V - W H| / |V|, Frobenius
    converged whether no further step was worth it
    """

    weights: NDArray[np.float64]
    components: NDArray[np.float64]
    error: float
    converged: bool


def factorise(values: NDArray[Any], k: int, *, seed: int = 0, starts: int = N_STARTS) -> Factors:
    """Non-negative matrix factorisation by coordinate descent: the best of several starts, the largest part first.

    values    (places, channels), none below zero
    starts    how many to try: the first from the singular vectors (NNDSVDa), the others at random; the least error is
              kept, since the problem is not convex

    The factors are fixed up to a scale for each part: here each part is 1 at its strongest place, so that a vector is
    what the layer gives out there of this part. A part that is zero everywhere is left out.
    """
    check_seed(seed)
    sklearn = need("sklearn.decomposition", extra="analysis", what="the factorisation into concepts")
    norm = float(np.linalg.norm(values))
    best: Factors | None = None
    for start in range(starts):
        init = "random" if start else "nndsvda"
        nmf = sklearn.NMF(k, init=init, random_state=short_seed(seed + start), max_iter=MAX_STEPS, tol=TOLERANCE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it did not converge is said in the result
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
