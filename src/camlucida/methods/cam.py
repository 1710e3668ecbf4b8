"""CAM: the sum of the channels weighted by the linear layer's weights for the class."""

from __future__ import annotations

from camlucida.maps import per_channel
from camlucida.methods.registry import method
from camlucida.types import Features, Map, Weights


@method(paper="Zhou et al., CVPR 2016, eq. 2: M_c = sum_k w_k^c f_k", relu=False)
def cam(activations: Features, head_weights: Weights) -> Map:
    """Weight each channel by the linear layer's weight for the class; needs global average pooling.

    activations   (b, c, h, w)  activations of the last convolutional stage
    head_weights  (b, c)        the row of the linear layer's weight matrix that computes the class score
    returns       (b, h, w)     signed; its mean over the positions is the score minus the bias
    """
    return (per_channel(head_weights, activations) * activations).sum(1)
