"""DeepLIFT: the difference of the scores of the input and a baseline, attributed in one backward pass."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import Baseline, baseline_images
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.options import Seed
from camlucida.types import Images, Map, Multipliers, Report, ScoreInputs, Scores


@method(
    paper="Shrikumar et al., ICML 2017, eq. 1-3 and sec. 3.5.2 (Rescale): sum_i m_i (x_i - x0_i) = S(x) - S(x0)",
    deviation="beyond the paper's layers: max pooling by cross-max, as its authors' code; a product of two parts of the"
    " network by its midpoint; softmax by the logarithmic mean; norms and attention written out as these. All exact",
    relu=False,
    display=PIXEL_DISPLAY,
)
def deep_lift(
    inputs: Images,
    score: Scores,
    score_inputs: ScoreInputs,
    multipliers: Multipliers,
    report: Report,
    *,
    baseline: Baseline = "mean",
    reduce: Join = "sum",
    seed: Seed = 0,
) -> Map:
    """Attribute the difference between the scores of the input and of a baseline to the pixels.

    The attributions sum to that difference. Costs two evaluations of the network. Called `DeepLift` in Captum.

    inputs        (b, c, H, W)                  network inputs
    score         (b,)                          score of the target on them
    score_inputs  variants -> (n, b)            scores of other network inputs
    multipliers   (b, c, H, W) -> (b, c, H, W)  DeepLIFT multipliers between baseline inputs and the inputs
    report        name, (b,) -> None            "baseline_score", "completeness_gap": sum of the map - (S(x) - S(x0))
    baseline      reference input: "mean" (0, which is the mean colour after normalisation) or "noise" (N(0, 1))
    reduce        reduction over the colour channels: sum (signed; keeps the total), max, norm or sum_abs
    seed          seed of the noise
    returns       (b, H, W)                     signed if `reduce` is sum, else non-negative
    """
    baseline_image = baseline_images(inputs, baseline, seed)
    image_multipliers = multipliers(baseline_image)
    attributions = image_multipliers.double() * (inputs - baseline_image)
    baseline_score = score_inputs(
        lambda i: baseline_image.expand(len(i), *baseline_image.shape), 1, shared=("baseline", baseline, seed)
    )[0]
    report("baseline_score", baseline_score)
    report("completeness_gap", attributions.flatten(1).sum(1) - (score - baseline_score))
    return reduce_channels(attributions.to(image_multipliers.dtype), reduce)
