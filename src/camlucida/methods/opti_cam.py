"""Opti-CAM: channel weights optimised so that the map, used as a mask, maximises the score."""

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
    deviation="the mask hides with 0, the mean colour of a normalised image, where the authors' code has black;"
    " the best of all steps is kept, where theirs stops after a tenth of them without improvement; u starts at 0",
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
    """Optimise channel weights so that the map, as a mask on the input, maximises the score.

    activations      (b, c, h, w)         activations of the layer
    inputs           (b, c, H, W)         network inputs
    input_gradients  variants -> chunks   scores and gradients at other network inputs
    report           name, (b,) -> None   reports "masked_score": the score of the masked input
    progress         done, total -> None  called after every step
    steps            optimisation steps of Adam; each is one forward and backward pass
    rate             learning rate of Adam
    returns          (b, h, w)            non-negative: the weighted sum of the channels minus its minimum
    """
    exact = activations.double()
    optimizer = MaskOptimizer(exact.new_zeros(exact.shape[:2]), rate)
    best_map, best_score = exact.new_zeros(exact[:, 0].shape), exact.new_full(exact.shape[:1], -torch.inf)
    for step in range(steps):
        with torch.enable_grad():
            mix = weighted_sum(exact, optimizer.at, softmax=True)
            mask = minmax_scale(upsample(mix, inputs.shape[2:]), mix.ndim - 1)
        score, gradient = score_and_gradient(input_gradients, inputs * mask.detach()[:, None])
        best_map = torch.where((score > best_score).view(-1, *[1] * (mix.ndim - 1)), mix.detach(), best_map)
        best_score = best_score.maximum(score)
        optimizer.step(mask, (inputs * gradient).sum(1))
        progress(step + 1, steps)
    report("masked_score", best_score)
    return (best_map - best_map.amin(tuple(range(1, best_map.ndim)), keepdim=True)).to(activations.dtype)
