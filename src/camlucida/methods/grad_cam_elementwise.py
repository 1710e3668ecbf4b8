"""Grad-CAM, element by element: only what speaks for the class, at every place of every channel."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(paper="Pillai & Pirsiavash, AAAI 2021: L = sum_k ReLU(g^k * A^k)", relu=False)
def grad_cam_elementwise(activations: Features, gradients: Features) -> Map:
    """Activation times gradient, its positive part, summed over the channels: nothing may cancel.

    activations  (b, c, h, w)  what the layer gave out
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     at least 0
    """
    return (activations * gradients).relu().sum(1)
