"""Relevance-CAM: each channel is weighted by its mean relevance (LRP) instead of its gradient."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch

from camlucida.maps import grid_axes
from camlucida.methods.registry import method
from camlucida.options import NotNegative, OneOf
from camlucida.types import Features, Map, Relevance

Rule: TypeAlias = Annotated[str, OneOf(("composite", "epsilon", "gamma", "z_plus"))]
"""Name of a propagation rule."""


@method(
    paper="Lee et al., CVPR 2021: R_t = y_t, all others -y_t / (N - 1) at the output; alpha_k = mean_ij R_ij^k;"
    " L = ReLU(sum_k alpha_k A^k)",
    deviation="networks that the paper does not cover as in `lrp`; a target of several classes distributes the negative"
    " part over the other classes",
    relu=True,
)
def relevance_cam(
    activations: Features,
    layer_relevance: Relevance,
    *,
    rule: Rule = "z_plus",
    epsilon: NotNegative = 1e-6,
    gamma: NotNegative = 0.25,
    contrast: bool = True,
) -> Map:
    """Weight each channel by its mean LRP relevance: for early layers, where gradients are noisy.

    activations      (b, c, h, w)                  activations of the layer
    layer_relevance  rule -> (b, c, h, w), (b,)    relevance of the activations, and the total relevance at the output
    rule             propagation rule: "z_plus" (the paper's), "epsilon", "gamma" or "composite", as of `lrp`
    epsilon          stabiliser of the denominator, in units of the layers' outputs
    gamma            extra weight of positive contributions, for "gamma"
    contrast         whether the other classes start with the same total relevance, negative and in equal parts
    returns          (b, h, w)                     signed; the paper shows its positive part
    """
    relevance, _ = layer_relevance(rule, epsilon=epsilon, gamma=gamma, contrast=contrast)
    return torch.einsum("bc,bc...->b...", relevance.mean(grid_axes(relevance)), activations)
