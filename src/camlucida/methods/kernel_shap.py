"""KernelSHAP: the score shared out fairly over parts of the picture."""

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
    deviation="coalitions are drawn as pi weighs them, in pairs of opposites (Covert & Lee, AISTATS 2021), and the sum"
    " of the values is a condition of the fit; without a lasso",
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
    """Shapley values of the parts: what each adds, on average over all orders of uncovering. They add up exactly.

    inputs       (b, c, H, W)        the pictures
    score_inputs      variants -> scores  of other pictures
    report         name, (b,) -> None  "standard_error" of a part's value, from the draw; "baseline_score", all hidden
    n            how many runs at most; where 2 ** parts is no more, all coalitions are run and the values exact
    segments     about how many parts
    superpixels  "slic" (follow edges) or "grid"
    infill       what hides: "mean" (the mean colour: 0, after normalisation) or "blur"
    seed         of the coalitions, which are the same for every picture
    returns      (b, H, W)           signed, in units of the score: on each pixel the value of its whole part
    """
    labels, n_segments = segment_images(inputs, superpixels, segments)
    coalitions, kernel = shapley_coalitions(n_segments, n, seed)
    key = ("kernel_shap", n, segments, superpixels, infill, seed)
    scores = score_inputs(show_segments(inputs, labels, coalitions, infill), len(coalitions), shared=key).double().cpu()
    values, errors = shapley_values(coalitions, kernel, scores)
    report("standard_error", errors.square().mean(1).sqrt().to(inputs.device))
    report("baseline_score", scores[1].to(inputs.device))
    return segments_to_map(values, labels).to(torch.promote_types(inputs.dtype, torch.float32))
