"""Layer-wise relevance propagation (LRP): the score is redistributed layer by layer to the input."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.methods.relevance_cam import Rule
from camlucida.options import NotNegative
from camlucida.types import Map, Relevance, Report


@method(
    paper="Bach et al., PLOS ONE 2015, eq. 58: R_i = sum_j z_ij R_j / (z_j + eps sign z_j), z_ij = x_i w_ij; z_plus is"
    " eq. 60 with alpha = 1, beta = 0; gamma: Montavon et al., 2019, sec. 10.2.1; composite: Kohlbrenner et al., IJCNN"
    " 2020, LRP-CMP",
    deviation="functions the papers do not cover: sums, pooling and norms in proportion, the spread of a norm and the"
    " weights of attention constant (Ali et al., ICML 2022), gates constant; gamma also for signed inputs and outputs",
    relu=False,
    display=PIXEL_DISPLAY,
)
def lrp(
    relevance: Relevance,
    report: Report,
    *,
    rule: Rule = "composite",
    epsilon: NotNegative = 1e-6,
    gamma: NotNegative = 0.25,
    reduce: Join = "sum",
) -> Map:
    """Redistribute the score backwards, at each layer in proportion to the contributions of its inputs.

    Called `LRP` in Captum.

    relevance  rule -> (b, c, H, W), (b,)  relevance of the input, and the total relevance at the output
    report     name, (b,) -> None          reports "completeness_gap": sum minus that total, absorbed by biases
    rule       "epsilon": in proportion; "gamma": positive contributions weighted more; "z_plus": positive contributions
               only; "composite": dense layers by epsilon, convolutions by z_plus, the first layer uniformly
    epsilon    stabiliser of the denominator, in units of the layers' outputs; 0 divides exactly
    gamma      extra weight of positive contributions for "gamma": 0 is epsilon; the limit is positive ones only
    reduce     reduction over the colour channels: sum (signed; keeps the total), max, norm or sum_abs
    returns    (b, H, W)                   signed if `reduce` is sum, else non-negative
    """
    pixel_relevance, total = relevance(rule, epsilon=epsilon, gamma=gamma)
    report("completeness_gap", pixel_relevance.flatten(1).sum(1) - total)
    return reduce_channels(pixel_relevance, reduce)
