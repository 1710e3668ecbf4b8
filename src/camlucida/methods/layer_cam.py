"""LayerCAM: positive gradients as a weight for every place; made for shallow layers with a fine grid."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(paper="Jiang et al., TIP 2021: M = ReLU(sum_k ReLU(g^k) * A^k)", relu=True)
def layer_cam(activations: Features, gradients: Features) -> Map:
    """Positive gradients as weights, place by place: fine maps also from early layers.

    activations  (b, c, h, w)  what the layer gave out
    gradients    (b, c, h, w)  d score / d activations
    returns      (b, h, w)     signed only where activations are; the paper shows the positive part
    """
    return (gradients.relu() * activations).sum(1)
