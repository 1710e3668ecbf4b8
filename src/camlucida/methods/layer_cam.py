"""LayerCAM: activations weighted element by element with their positive gradients."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(paper="Jiang et al., TIP 2021: M = ReLU(sum_k ReLU(g^k) * A^k)", relu=True)
def layer_cam(activations: Features, gradients: Features) -> Map:
    """Weight activations by their positive gradients, element by element: fine maps in early layers.

    Called `LayerCAM` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     negative only where activations are; the paper shows its positive part
    """
    return (gradients.relu() * activations).sum(1)
