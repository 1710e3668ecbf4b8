"""LIME: a linear model of what showing and hiding parts of the picture does to the score."""

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
    deviation="as in the authors' code for pictures: ridge, not K-lasso, weights sqrt(pi), D the cosine distance of z'"
    " to the whole; not as there: superpixels are SLIC's, not quickshift's, and hidden ones show one colour",
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
    """What showing a part adds to the score, by a linear model fitted to random pictures with parts hidden.

    inputs       (b, c, H, W)        the pictures
    score_inputs      variants -> scores  of other pictures
    report         name, (b,) -> None  "r2": how much of the scores' weighted variance the linear model explains
    n            how many runs: the picture, and n - 1 with each part hidden or shown by the toss of a coin
    segments     about how many parts
    superpixels  "slic" (follow edges) or "grid"
    infill       what hides: "mean" (the mean colour: 0, after normalisation) or "blur"
    width        of the kernel that lets pictures near the whole one count more
    penalty      of the ridge regression, added to sums over runs
    seed         of the coins, which are the same for every picture
    returns      (b, H, W)           signed, in units of the score; the same all over a part
    """
    labels, n_segments = segment_images(inputs, superpixels, segments)
    patterns = torch.rand(n, n_segments, generator=generator(seed)) < 0.5
    patterns[0] = True
    key = ("lime", n, segments, superpixels, infill, seed)
    scores = score_inputs(show_segments(inputs, labels, patterns, infill), n, shared=key).double().cpu()
    distance = 1 - patterns.double().mean(1).sqrt()  # the cosine distance of zeros and ones to ones
    coefficients, r2 = ridge(patterns.double(), torch.exp(-(distance**2) / width**2).sqrt(), scores, penalty)
    report("r2", r2.to(inputs.device))
    return segments_to_map(coefficients, labels).to(torch.promote_types(inputs.dtype, torch.float32))
