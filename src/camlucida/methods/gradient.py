"""Gradient: the absolute gradient of the score with respect to every pixel."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Gradients, Images, Map


@method(paper="Simonyan et al., 2014, sec. 3.1: M = max_c |dS/dx|", relu=False, display=PIXEL_DISPLAY)
def gradient(inputs: Images, input_gradients: Gradients, *, reduce: Join = "max") -> Map:
    """Compute the largest absolute gradient of the score over the colour channels of every pixel.

    Also known as vanilla gradient or saliency; called `Saliency` in Captum.

    inputs           (b, c, H, W)        network inputs
    input_gradients  variants -> chunks  gradients of the score at other network inputs
    reduce           reduction over the colour channels: max, norm, sum_abs (non-negative) or sum (signed)
    returns          (b, H, W)           non-negative, unless `reduce` is sum
    """
    ((_, _, gradients),) = input_gradients(the_image(inputs), 1)
    return reduce_channels(gradients[0], reduce)
