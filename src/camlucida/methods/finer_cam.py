"""Finer-CAM: Grad-CAM of the difference between a class and the classes most similar to it."""

from __future__ import annotations

from typing import Annotated

import torch

from camlucida.maps import grid_axes
from camlucida.methods.registry import method
from camlucida.options import Count, OneOf
from camlucida.types import CompetingClasses, Features, Map

WEIGHTINGS = ("mean", "softmax")


@method(
    paper="Zhang et al., CVPR 2025 (arXiv 2501.11309): alpha_k = 1/n sum_d mean_ij d(y_c - gamma y_d)/dA_ij^k over the"
    " n classes d most similar to c; L = ReLU(sum_k alpha_k A^k)",
    deviation="similar classes are those nearest in score, as in the authors' code, which weights them by a softmax of"
    " their scores, through which gradients flow, with gamma=1: weights='softmax', gamma=1",
    relu=True,
)
def finer_cam(
    activations: Features,
    gradients: Features,
    competing_classes: CompetingClasses,
    *,
    gamma: float = 0.6,
    n: Count = 3,
    weights: Annotated[str, OneOf(WEIGHTINGS)] = "mean",
) -> Map:
    """Compute Grad-CAM of the score minus the scores of similar classes: details that only this class has.

    Called `FinerCAM` in pytorch-grad-cam.

    activations        (b, c, h, w)                         activations of the layer
    gradients          (b, c, h, w)                         d score / d activations
    competing_classes  n -> (n, b, c, h, w), (n, b)         gradients and scores of the n classes nearest in score
    gamma              weight of the similar classes: 0 is Grad-CAM, 1 a plain difference
    n                  number of similar classes, at most all other classes
    weights            of the similar classes: "mean" (equal) or "softmax" (of their scores)
    returns            (b, h, w)                            signed; the paper shows its positive part
    """
    competing_gradients, scores = competing_classes(n)
    if weights == "mean":
        class_weights = torch.full_like(scores, 1 / len(scores))
    else:  # d/dA of sum_d w_d y_d, where w = softmax(y) depends on the scores
        w = scores.softmax(0)
        class_weights = w * (1 + scores - (w * scores).sum(0))
    mean_competing_gradient = torch.einsum("nb,nb...->b...", class_weights.to(competing_gradients), competing_gradients)
    weights_of_channels = (gradients - gamma * mean_competing_gradient).mean(grid_axes(gradients))
    return torch.einsum("bc,bc...->b...", weights_of_channels, activations)
