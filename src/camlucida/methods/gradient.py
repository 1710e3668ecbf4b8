"""Gradient: how much the score would change with every pixel."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Gradients, Images, Map


@method(paper="Simonyan et al., 2014, sec. 3.1: M = max_c |dS/dx|", relu=False, display=PIXEL_DISPLAY)
def gradient(inputs: Images, input_gradients: Gradients, *, reduce: Join = "max") -> Map:
    """How much the score would change with every pixel: the largest absolute slope over the colour channels.

    inputs   (b, c, H, W)        the pictures
    input_gradients   variants -> chunks  gradients of the score at other pictures
    reduce     how colours become one number: max, norm, sum_abs (none below 0), sum (signed)
    returns  (b, H, W)           at least 0, unless `reduce` is sum
    """
    ((_, _, gradients),) = input_gradients(the_image(inputs), 1)
    return reduce_channels(gradients[0], reduce)
