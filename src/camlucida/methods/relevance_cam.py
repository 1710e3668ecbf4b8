"""Relevance-CAM: a channel weighs as much relevance as reaches it, rather than gradient."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch

from camlucida.methods.registry import method
from camlucida.options import NotNegative, OneOf
from camlucida.types import Features, Map, Relevance

Rule: TypeAlias = Annotated[str, OneOf(("composite", "epsilon", "gamma", "z_plus"))]
"""A rule of propagation, by name."""


@method(
    paper="Lee et al., CVPR 2021: R_t = y_t, all others -y_t / (N - 1) at the output; alpha_k = mean_ij R_ij^k;"
    " L = ReLU(sum_k alpha_k A^k)",
    deviation="networks the paper does not have as in `lrp`; a target that asks for several classes shares the negative"
    " part among those it does not ask for",
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
    """Each channel weighted by the mean relevance that reaches it: made for early layers, where gradients are noisy.

    activations      (b, c, h, w)    what the layer gave out
    layer_relevance  rule -> shares  of the activations in the score, and what was handed back in all
    rule             of propagation: "z_plus" (the paper's), "epsilon", "gamma" or "composite", as in `lrp`
    epsilon          keeps shares finite where an outcome is near 0, in units of the layers' outputs
    gamma            how much more counts what spoke for the outcome, for "gamma"
    contrast         whether the classes not asked for begin with as much negative relevance, shared evenly among them
    returns          (b, h, w)       signed; the paper shows the positive part
    """
    relevance, _ = layer_relevance(rule, epsilon=epsilon, gamma=gamma, contrast=contrast)
    return torch.einsum("bc,bchw->bhw", relevance.mean((2, 3)), activations)
