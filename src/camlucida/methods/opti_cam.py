"""Opti-CAM: the weights of the channels through which the network sees the class best, found by trying."""

from __future__ import annotations

import torch

from camlucida.maps import upsample
from camlucida.methods.common.optimization import MaskOptimizer, score_and_gradient
from camlucida.methods.common.score_cam_masks import minmax_scale, weighted_sum
from camlucida.methods.registry import method
from camlucida.options import Count, Positive
from camlucida.types import Features, Gradients, Images, Map, ProgressCallback, Report


@method(
    paper="Zhang et al., CVIU 2024 (arXiv 2301.07002): u* = argmax_u f_c(x * n(Up(S(u)))), S(u) = sum_k softmax(u)_k"
    " A^k, n to 0..1; by Adam with a rate of 0.1",
    deviation="the mask hides with 0, the mean colour of a normalised picture, where the authors' code has black;"
    " the best of all steps is kept where theirs stops when a tenth of them brought nothing; u begins at 0",
    relu=False,
)
def opti_cam(
    activations: Features,
    inputs: Images,
    input_gradients: Gradients,
    report: Report,
    progress: ProgressCallback,
    *,
    steps: Count = 100,
    rate: Positive = 0.1,
) -> Map:
    """The mix of channels that, as a mask on the picture, makes the score highest: found by gradient ascent.

    activations  (b, c, h, w)         what the layer gave out
    inputs       (b, c, H, W)         the pictures
    input_gradients       variants -> chunks   gradients of the score at other pictures
    report         name, (b,) -> None   "masked_score": the score of the picture under the mask
    progress     done, total -> None  after every step
    steps        of Adam, each one run of the network and back
    rate         Adam's learning rate
    returns      (b, h, w)            at least 0: the mix less its least value
    """
    exact = activations.double()
    optimizer = MaskOptimizer(exact.new_zeros(exact.shape[:2]), rate)
    best_map, best_score = exact.new_zeros(exact[:, 0].shape), exact.new_full(exact.shape[:1], -torch.inf)
    for step in range(steps):
        with torch.enable_grad():
            mix = weighted_sum(exact, optimizer.at, softmax=True)
            mask = minmax_scale(upsample(mix, (inputs.shape[-2], inputs.shape[-1])))
        score, gradient = score_and_gradient(input_gradients, inputs * mask.detach()[:, None])
        best_map = torch.where((score > best_score)[:, None, None], mix.detach(), best_map)
        best_score = best_score.maximum(score)
        optimizer.step(mask, (inputs * gradient).sum(1))
        progress(step + 1, steps)
    report("masked_score", best_score)
    return (best_map - best_map.amin((1, 2), keepdim=True)).to(activations.dtype)
