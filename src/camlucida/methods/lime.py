# LIME: a weighted linear regression of the score on which segments are shown.
from __future__ import annotations

from typing import Annotated

import torch

from camlucida.methods.common.coalitions import ridge, segments_to_map, show_segments
from camlucida.methods.common.infill import Infill
from camlucida.methods.common.superpixels import Superpixels, segment_images
from camlucida.methods.registry import method
from camlucida.options import MAX_COUNT, Between, Count, NotNegative, Positive, Seed
from camlucida.seeds import generator
from camlucida.types import Display, Images, Map, Report, ScoreInputs


@method(
    paper="Ribeiro et al., KDD 2016, eq. 1-2: argmin_g sum_z pi(z) (f(z) - g(z'))^2 + Omega(g),"
    " pi = exp(-D^2 / width^2)",
    deviation="as in the authors' code for images: ridge, not K-lasso, weights sqrt(pi), D the cosine distance of z'"
    " to the image; unlike there, superpixels are SLIC's, not quickshift's, and hidden ones have one colour",
    relu=False,
    display=Display(signed=True),
)
def lime(
    inputs: Images,
    score_inputs: ScoreInputs,
    report: Report,
    *,
    n: Annotated[int, Between(2, MAX_COUNT)] = 1000,
    segments: Count = 48,
    superpixels: Superpixels = "slic",
    infill: Infill = "mean",
    width: Positive = 0.25,
    penalty: NotNegative = 1.0,
    seed: Seed = 0,
) -> Map:
    """Fit a linear model of the score to random inputs with segments hidden; the map is its coefficients.

    inputs        (b, c, H, W)        network inputs
    score_inputs  variants -> (n, b)  scores of other network inputs
    report        name, (b,) -> None  reports "r2": the weighted R² of the linear model, at most 1
    n             number of evaluations: the input, and n - 1 with each segment hidden with probability 0.5
    segments      approximate number of segments
    superpixels   segmentation: "slic" (follows edges) or "grid"
    infill        what replaces hidden segments: "mean" (0, the mean colour after normalisation) or "blur"
    width         width of the kernel that weights samples by their similarity to the unmodified input
    penalty       penalty of the ridge regression, relative to sums over samples
    seed          seed of the samples, which are the same for every image
    returns       (b, H, W)           signed, in units of the score; constant within a segment
    """
    labels, n_segments = segment_images(inputs, superpixels, segments)
    patterns = torch.rand(n, n_segments, generator=generator(seed), dtype=torch.float32) < 0.5
    patterns[0] = True
    key = ("lime", n, segments, superpixels, infill, seed)
    scores = score_inputs(show_segments(inputs, labels, patterns, infill), n, shared=key).double().cpu()
    distance = 1 - patterns.double().mean(1).sqrt()  # the cosine distance of zeros and ones to ones
    coefficients, r2 = ridge(patterns.double(), torch.exp(-(distance**2) / width**2).sqrt(), scores, penalty)
    report("r2", r2.to(inputs.device))
    return segments_to_map(coefficients, labels).to(torch.promote_types(inputs.dtype, torch.float32))
