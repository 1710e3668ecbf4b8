"""Input x gradient: every pixel's share of the score, were the network linear."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Gradients, Images, Map


@method(
    paper="Shrikumar et al., 2016, sec. 3: M = sum_c x_c * dS/dx_c, pixel by pixel; Ancona et al., ICLR 2018, tab. 1",
    deviation="x is what the network sees: 0 is the mean colour it was normalised with, not black",
    relu=False,
    display=PIXEL_DISPLAY,
)
def input_x_gradient(inputs: Images, input_gradients: Gradients, *, reduce: Join = "sum") -> Map:
    """Every pixel's share of the score, were the network linear: pixel times gradient; adds up there, less the bias.

    inputs   (b, c, H, W)        the pictures
    input_gradients   variants -> chunks  gradients of the score at other pictures
    reduce     how colours become one number: sum (signed), max, norm, sum_abs
    returns  (b, H, W)           signed, unless `reduce` says otherwise
    """
    ((_, _, gradients),) = input_gradients(the_image(inputs), 1)
    return reduce_channels(inputs * gradients[0], reduce)
