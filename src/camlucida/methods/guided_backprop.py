"""Guided backpropagation: the gradient with everything negative left out on the way back."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Gradients, Images, Map


@method(
    paper="Springenberg et al., ICLR workshop 2015, sec. 3.4: R^l = (f^l > 0) (R^(l+1) > 0) R^(l+1)",
    deviation="from the score back, not from one neuron; one number a pixel, not a colour picture",
    relu=False,
    display=PIXEL_DISPLAY,
)
def guided_backprop(inputs: Images, guided: Gradients, *, reduce: Join = "max") -> Map:
    """Fine edges of what drives the score up: gradients pass ReLUs only where positive. Nearly blind to the class.

    Adebayo et al. (NeurIPS 2018) found it hardly changes when the network's upper layers are made random.

    inputs   (b, c, H, W)        the pictures
    guided   variants -> chunks  as gradients of the score, with another way back through ReLUs
    reduce     how colours become one number: max, norm, sum_abs (none below 0), sum (signed)
    returns  (b, H, W)           at least 0, unless `reduce` is sum
    """
    ((_, _, gradients),) = guided(the_image(inputs), 1)
    return reduce_channels(gradients[0], reduce)
