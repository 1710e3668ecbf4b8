"""CAM: the class's own weights in the last linear layer, laid over the channels they weigh."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Features, Map, Weights


@method(paper="Zhou et al., CVPR 2016, eq. 2: M_c = sum_k w_k^c f_k", relu=False)
def cam(activations: Features, head_weights: Weights) -> Map:
    """The class's weights in the last layer, applied before pooling: needs average pooling and one linear layer.

    activations  (b, c, h, w)  what the last convolutional stage gave out
    head_weights         (b, c)        the row of the linear layer's weights that makes the class's score
    returns      (b, h, w)     signed; its mean over the places is the score less the bias
    """
    return (head_weights[:, :, None, None] * activations).sum(1)
