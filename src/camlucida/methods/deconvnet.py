"""Deconvnet: the score drawn back through the network, ReLUs turned round."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Gradients, Images, Map


@method(
    paper="Zeiler & Fergus, ECCV 2014, sec. 2.1, as in Springenberg et al., 2015, fig. 1: R^l = (R^(l+1) > 0) R^(l+1)",
    deviation="from the score back, not from one neuron; one number a pixel, not a colour picture",
    relu=False,
    display=PIXEL_DISPLAY,
)
def deconvnet(inputs: Images, deconvolved: Gradients, *, reduce: Join = "max") -> Map:
    """What would drive the score up, drawn back to the pixels: ReLUs cut the way back, whatever they did forwards.

    inputs       (b, c, H, W)        the pictures
    deconvolved  variants -> chunks  as gradients of the score, with another way back through ReLUs
    reduce         how colours become one number: max, norm, sum_abs (none below 0), sum (signed)
    returns      (b, H, W)           at least 0, unless `reduce` is sum
    """
    ((_, _, gradients),) = deconvolved(the_image(inputs), 1)
    return reduce_channels(gradients[0], reduce)
