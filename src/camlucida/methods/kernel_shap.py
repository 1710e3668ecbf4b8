"""KernelSHAP: Shapley values of segments, estimated by a weighted linear regression."""

from __future__ import annotations

from typing import Annotated

import torch

from camlucida.methods.common.coalitions import segments_to_map, shapley_coalitions, shapley_values, show_segments
from camlucida.methods.common.infill import Infill
from camlucida.methods.common.superpixels import Superpixels, segment_images
from camlucida.methods.registry import method
from camlucida.options import MAX_COUNT, Between, Count, Seed
from camlucida.types import Display, Images, Map, Report, ScoreInputs


@method(
    paper="Lundberg & Lee, NeurIPS 2017, theorem 2: argmin sum_z pi(z) (f(z) - g(z))^2,"
    " pi = (M - 1) / (C(M, |z|) |z| (M - |z|))",
    deviation="coalitions are sampled by pi, in complementary pairs (Covert & Lee, AISTATS 2021), and the sum"
    " of the values is a constraint of the fit; no lasso",
    relu=False,
    display=Display(signed=True),
)
def kernel_shap(
    inputs: Images,
    score_inputs: ScoreInputs,
    report: Report,
    *,
    n: Annotated[int, Between(4, MAX_COUNT)] = 1000,
    segments: Count = 48,
    superpixels: Superpixels = "slic",
    infill: Infill = "mean",
    seed: Seed = 0,
) -> Map:
    """Estimate the Shapley value of each segment: its mean contribution over all orders of insertion.

    The values sum exactly to the score minus the score with all segments hidden. Called `KernelShap` in Captum.

    inputs        (b, c, H, W)        network inputs
    score_inputs  variants -> (n, b)  scores of other network inputs
    report        name, (b,) -> None  reports "standard_error" (sampling) and "baseline_score" (all segments hidden)
    n             maximum number of evaluations; if 2 ** segments is at most n, all coalitions are run: exact values
    segments      approximate number of segments
    superpixels   segmentation: "slic" (follows edges) or "grid"
    infill        what replaces hidden segments: "mean" (0, the mean colour after normalisation) or "blur"
    seed          seed of the coalitions, which are the same for every image
    returns       (b, H, W)           signed, in units of the score: every pixel has the value of its segment
    """
    labels, n_segments = segment_images(inputs, superpixels, segments)
    coalitions, kernel = shapley_coalitions(n_segments, n, seed)
    key = ("kernel_shap", n, segments, superpixels, infill, seed)
    scores = score_inputs(show_segments(inputs, labels, coalitions, infill), len(coalitions), shared=key).double().cpu()
    values, errors = shapley_values(coalitions, kernel, scores)
    report("standard_error", errors.square().mean(1).sqrt().to(inputs.device))
    report("baseline_score", scores[1].to(inputs.device))
    return segments_to_map(values, labels).to(torch.promote_types(inputs.dtype, torch.float32))
