"""Layer-wise relevance propagation: the score handed back, layer by layer, to what it was computed from."""

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
    deviation="networks the papers do not have: sums, pooling and norms in proportion, the spread of a norm and the"
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
    """What each pixel is worth when the score is handed back through the layers, in proportion to what each added.

    relevance  rule -> shares     of the pixels and colours, and what was handed back in all
    report       name, (b,) -> None "completeness_gap": the shares' sum less that; biases keep what is missing
    rule       "epsilon": in proportion; "gamma": what spoke for the outcome counts more; "z_plus": only what spoke
               for it; "composite": dense layers by epsilon, convolutions by z_plus, the first layer evenly
    epsilon    keeps shares finite where an outcome is near 0, in units of the layers' outputs; 0 divides as it is
    gamma      how much more, for "gamma": 0 is epsilon, and towards infinity only what spoke for the outcome counts
    reduce       how colours become one number: sum (signed; adds up), max, norm, sum_abs
    returns    (b, H, W)          signed, unless `reduce` says otherwise
    """
    pixel_relevance, total = relevance(rule, epsilon=epsilon, gamma=gamma)
    report("completeness_gap", pixel_relevance.sum((1, 2, 3)) - total)
    return reduce_channels(pixel_relevance, reduce)
