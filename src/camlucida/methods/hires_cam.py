"""HiResCAM: activation times gradient, element by element, summed over the channels."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(paper="Draelos & Carin, 2020: L = sum_k g^k * A^k, element by element", relu=False)
def hires_cam(activations: Features, gradients: Features) -> Map:
    """Sum activation times gradient over the channels; exact where only linear layers follow.

    Gradients are not averaged over positions. Called `HiResCAM` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed
    """
    return (gradients * activations).sum(1)
