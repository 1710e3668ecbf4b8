"""Integrated gradients: the score shared out over the pixels, exactly."""

from __future__ import annotations

import torch

from camlucida.methods.parts.colours import Join, joined
from camlucida.methods.parts.variants import Baseline, baseline_pictures, gauss_legendre
from camlucida.methods.registry import FINE, method
from camlucida.options import Count, Seed
from camlucida.types import Forward, Map, Note, Pictures, Scores, Slopes


@method(
    paper="Sundararajan et al., ICML 2017, eq. 1: IG = (x - x') int_0^1 dF/dx (x' + a (x - x')) da",
    deviation="Gauss-Legendre nodes, not the left Riemann sum of eq. 3: the same integral from fewer steps",
    relu=False,
    display=FINE,
)
def integrated_gradients(
    inputs: Pictures,
    score: Scores,
    forward: Forward,
    slopes: Slopes,
    note: Note,
    *,
    steps: Count = 32,
    baseline: Baseline = "mean",
    join: Join = "sum",
    seed: Seed = 0,
) -> Map:
    """What each pixel adds to the score on the way from an empty picture: all shares add up to the whole difference.

    inputs    (b, c, H, W)        the pictures
    score     (b,)                the target on them
    forward   variants -> scores  of other pictures
    slopes    variants -> chunks  gradients of the score at other pictures
    note      name, (b,) -> None  "baseline_score", and "completeness_gap": the shares' sum less the difference
    steps     Gauss-Legendre nodes on the way
    baseline  where the way begins: "mean" (all 0: the mean colour, after normalisation) or "noise" (N(0, 1))
    join      how colours become one number: sum (signed; adds up), max, norm, sum_abs
    seed      of the noise
    returns   (b, H, W)           signed, unless `join` says otherwise
    """
    start = baseline_pictures(inputs, baseline, seed)
    nodes, weights = gauss_legendre(steps)
    way, total = inputs - start, torch.zeros_like(inputs, dtype=torch.float64)
    for which, _, found in slopes(lambda i: start + nodes[i].view(-1, 1, 1, 1, 1).to(inputs) * way, steps):
        total += torch.einsum("n,nbchw->bchw", weights[which].to(total), found.double())
    shares = way * total
    from_here = forward(lambda i: start.expand(len(i), *start.shape), 1, shared=("baseline", baseline, seed))[0]
    note("baseline_score", from_here)
    note("completeness_gap", shares.sum((1, 2, 3)) - (score - from_here))
    return joined(shares, join).to(found.dtype)
