"""IS-CAM: Score-CAM with the scores averaged over masks of increasing strength."""

from __future__ import annotations

from typing import Annotated

import torch

from camlucida.methods.common.score_cam_masks import ScoreBaseline, channel_masks, subtract_baseline, weighted_sum
from camlucida.methods.registry import method
from camlucida.options import Count, OneOf
from camlucida.types import Features, Images, Map, ScoreInputs

WAYS = ("printed", "straight")


@method(
    paper="Naidu et al., 2020 (arXiv 2010.03023): alpha_k = 1/N sum_i f(M_i) - f(X_b),"
    " M_i = X * sum_{j<i} j/N s(Up(A^k)); L = ReLU(sum_k alpha_k A^k)",
    deviation="none; as printed the mask is multiplied by at most (N - 1)/2, beyond the image itself: way='straight'"
    " is the integral the text describes, M_i = X * i/N s(Up(A^k))",
    relu=True,
)
def is_cam(
    activations: Features,
    inputs: Images,
    score_inputs: ScoreInputs,
    *,
    n: Count = 10,
    way: Annotated[str, OneOf(WAYS)] = "printed",
    softmax: bool = True,
    baseline: ScoreBaseline = "black",
) -> Map:
    """Weight each channel by its Score-CAM score, averaged over n strengths of the mask.

    activations   (b, c, h, w)        activations of the layer
    inputs        (b, c, H, W)        network inputs
    score_inputs  variants -> (n, b)  scores of other network inputs
    n             number of strengths (the paper: 10)
    way           strengths for i = 1..n: "printed" is i (i - 1) / 2n, at most (n - 1) / 2; "straight" is i / n
    softmax       whether the weights are a softmax over the channels, else the mean scores themselves
    baseline      score that is subtracted: "black", the score of an input of zeros, or "none"
    returns       (b, h, w)           signed; the paper shows its positive part
    """
    steps = torch.arange(1, n + 1, dtype=torch.float32)
    strengths = (steps * (steps - 1) / 2 if way == "printed" else steps) / n
    masks = channel_masks(activations, inputs.shape[2:])

    def masked(indices: torch.Tensor) -> torch.Tensor:
        strength = strengths[indices % n].to(masks.grids).view(-1, *[1] * (inputs.ndim - 1))
        return inputs * (strength * masks(indices // n))[:, :, None]

    scores = score_inputs(masked, masks.n_masks * n, shared=("is_cam", n, way)).double()
    means = scores.view(masks.n_masks, n, -1).mean(1)
    return weighted_sum(activations, masks.per_channel(subtract_baseline(means, baseline, scores[0])), softmax=softmax)
