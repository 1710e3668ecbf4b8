"""HiResCAM: gradient times activation, place by place; shows only what the score really used."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(paper="Draelos & Carin, 2020: L = sum_k g^k * A^k, element by element", relu=False)
def hires_cam(activations: Features, gradients: Features) -> Map:
    """Gradient times activation at every place: exact where only linear layers follow, no averaging of gradients.

    activations  (b, c, h, w)  what the layer gave out
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed
    """
    return (gradients * activations).sum(1)
