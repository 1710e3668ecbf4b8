"""SS-CAM: Score-CAM with the scores averaged over noisy masks."""

from __future__ import annotations

import torch

from camlucida.methods.common.score_cam_masks import ScoreBaseline, channel_masks, subtract_baseline, weighted_sum
from camlucida.methods.registry import method
from camlucida.options import Count, NotNegative, Seed
from camlucida.seeds import generator
from camlucida.types import Features, Images, Map, ScoreInputs


@method(
    paper="Wang et al., 2020 (arXiv 2006.14255): alpha_k = 1/N sum_i f(X * (s(Up(A^k)) + d_i)) - f(X_b), d ~ N(0, s^2)",
    deviation="the same noise for all channels, so that they are compared fairly and equal channels run once;"
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
    """Weight each channel by its Score-CAM score, averaged over n noisy copies of its mask.

    activations   (b, c, h, w)        activations of the layer
    inputs        (b, c, H, W)        network inputs
    score_inputs  variants -> (n, b)  scores of other network inputs
    n             evaluations per channel (the paper: 35)
    noise         standard deviation, in units of the mask, whose range is [0, 1] (the paper: 2)
    softmax       whether the weights are a softmax over the channels, else the mean scores themselves
    baseline      score that is subtracted: "black", the score of an input of zeros, or "none"
    seed          seed of the noise, which is the same for every image and channel
    returns       (b, h, w)           signed; the paper shows its positive part
    """
    size = inputs.shape[2:]
    noise_samples = noise * torch.randn((n, 1, *size), generator=generator(seed), dtype=torch.float32)
    masks = channel_masks(activations, size)

    def masked(indices: torch.Tensor) -> torch.Tensor:
        return inputs * (masks(indices // n) + noise_samples[indices % n].to(masks.grids))[:, :, None]

    scores = score_inputs(masked, masks.n_masks * n, shared=("ss_cam", n, noise, seed)).double()
    baseline_score = score_inputs(lambda which: inputs[None] * 0, 1, shared="black").double()
    means = scores.view(masks.n_masks, n, -1).mean(1)
    return weighted_sum(
        activations, masks.per_channel(subtract_baseline(means, baseline, baseline_score)), softmax=softmax
    )
