"""SS-CAM: Score-CAM with noise on the masks, averaged out."""

from __future__ import annotations

import torch

from camlucida.methods.common.score_cam_masks import ScoreBaseline, channel_masks, subtract_baseline, weighted_sum
from camlucida.methods.registry import method
from camlucida.options import Count, NotNegative, Seed
from camlucida.seeds import generator
from camlucida.types import Features, Images, Map, ScoreInputs


@method(
    paper="Wang et al., 2020 (arXiv 2006.14255): alpha_k = 1/N sum_i f(X * (s(Up(A^k)) + d_i)) - f(X_b), d ~ N(0, s^2)",
    deviation="the same noise for all channels, so that they are compared under equal terms and equal ones run once;"
    " the softmax over channels is that of Score-CAM's algorithm 1",
    relu=True,
)
def ss_cam(
    activations: Features,
    inputs: Images,
    score_inputs: ScoreInputs,
    *,
    n: Count = 35,
    noise: NotNegative = 2.0,
    softmax: bool = True,
    baseline: ScoreBaseline = "black",
    seed: Seed = 0,
) -> Map:
    """Score-CAM with every mask under noise, n times: steadier weights for n times the runs.

    activations  (b, c, h, w)        what the layer gave out
    inputs       (b, c, H, W)        the pictures
    score_inputs      variants -> scores  of other pictures
    n            how many times every channel is run (the paper: 35)
    noise        sigma, in units of the mask, which goes from 0 to 1 (the paper: 2)
    softmax      whether the weights are a softmax over the channels, else the mean scores themselves
    baseline     what is taken off every score: "black", that of an input of zeros, or "none"
    seed         of the noise, which is the same for every picture and channel
    returns      (b, h, w)           signed; the paper shows the positive part
    """
    size = (inputs.shape[-2], inputs.shape[-1])
    noise_samples = noise * torch.randn((n, 1, *size), generator=generator(seed))
    masks = channel_masks(activations, size)

    def masked(indices: torch.Tensor) -> torch.Tensor:
        return inputs * (masks(indices // n) + noise_samples[indices % n].to(masks.grids))[:, :, None]

    scores = score_inputs(masked, masks.n_masks * n, shared=("ss_cam", n, noise, seed)).double()
    baseline_score = score_inputs(lambda which: inputs[None] * 0, 1, shared="black").double()
    means = scores.view(masks.n_masks, n, -1).mean(1)
    return weighted_sum(
        activations, masks.per_channel(subtract_baseline(means, baseline, baseline_score)), softmax=softmax
    )
