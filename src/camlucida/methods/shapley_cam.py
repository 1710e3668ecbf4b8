"""ShapleyCAM: Grad-CAM with a second-order correction, derived from the Shapley value of a channel."""

from __future__ import annotations

import torch

from camlucida.maps import grid_axes
from camlucida.methods.registry import method
from camlucida.types import Features, Hvp, Map


@method(
    paper="Cai, CVPR 2025 (arXiv 2501.06261): w_k = mean_ij (g - 1/2 H A)_ij^k; L = ReLU(sum_k w_k A^k)",
    deviation="of the requested score, the logit by default; the paper's is logit + log probability. Of a logit"
    " of a network that is piecewise linear H is 0 and the map is Grad-CAM's: use score='log_probability'",
    relu=True,
)
def shapley_cam(activations: Features, gradients: Features, hvp: Hvp) -> Map:
    """Weight each channel by its mean gradient minus half the Hessian-vector product with the activations.

    Called `ShapleyCAM` in pytorch-grad-cam.

    activations  (b, c, h, w)                  activations of the layer
    gradients    (b, c, h, w)                  d score / d activations
    hvp          (b, c, h, w) -> (b, c, h, w)  Hessian-vector product of the score with a direction
    returns      (b, h, w)                     signed; the paper shows its positive part
    """
    weights = (gradients - 0.5 * hvp(activations)).mean(grid_axes(activations))
    return torch.einsum("bc,bc...->b...", weights, activations)
