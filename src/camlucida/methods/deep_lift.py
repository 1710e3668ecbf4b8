"""DeepLIFT: the score's difference from an empty picture's, shared out over the pixels in one way back."""

from __future__ import annotations

from camlucida.methods.parts.colours import Join, joined
from camlucida.methods.parts.variants import Baseline, baseline_pictures
from camlucida.methods.registry import FINE, method
from camlucida.options import Seed
from camlucida.types import Forward, Map, Multipliers, Note, Pictures, Scores


@method(
    paper="Shrikumar et al., ICML 2017, eq. 1-3 and sec. 3.5.2 (Rescale): sum_i m_i (x_i - x0_i) = S(x) - S(x0)",
    deviation="beyond the paper's layers: max pooling by cross-max, as its authors' code; a product of two parts of the"
    " network by its midpoint; softmax by the logarithmic mean; norms and attention written out as these. All exact",
    relu=False,
    display=FINE,
)
def deep_lift(
    inputs: Pictures,
    score: Scores,
    forward: Forward,
    multipliers: Multipliers,
    note: Note,
    *,
    baseline: Baseline = "mean",
    join: Join = "sum",
    seed: Seed = 0,
) -> Map:
    """What each pixel adds to the score beside an empty picture: all shares add up to the difference, at two runs.

    inputs       (b, c, H, W)              the pictures
    score        (b,)                      the target on them
    forward      variants -> scores        of other pictures
    multipliers  (b, c, H, W) -> the same  baseline pictures in, the score's slopes from there to the pictures out
    note         name, (b,) -> None        "baseline_score", and "completeness_gap": the shares' sum less the difference
    baseline     the empty picture: "mean" (all 0: the mean colour, after normalisation) or "noise" (N(0, 1))
    join         how colours become one number: sum (signed; adds up), max, norm, sum_abs
    seed         of the noise
    returns      (b, H, W)                 signed, unless `join` says otherwise
    """
    start = baseline_pictures(inputs, baseline, seed)
    found = multipliers(start)
    shares = found.double() * (inputs - start)
    from_here = forward(lambda i: start.expand(len(i), *start.shape), 1, shared=("baseline", baseline, seed))[0]
    note("baseline_score", from_here)
    note("completeness_gap", shares.sum((1, 2, 3)) - (score - from_here))
    return joined(shares, join).to(found.dtype)
