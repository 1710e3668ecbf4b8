"""Input x gradient: every pixel multiplied by its gradient."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Gradients, Images, Map


@method(
    paper="Shrikumar et al., 2016, sec. 3: M = sum_c x_c * dS/dx_c, pixel by pixel; Ancona et al., ICLR 2018, tab. 1",
    deviation="x is the normalised network input, in which 0 is the mean colour, not black",
    relu=False,
    display=PIXEL_DISPLAY,
)
def input_x_gradient(inputs: Images, input_gradients: Gradients, *, reduce: Join = "sum") -> Map:
    """Multiply every pixel by its gradient: its contribution to the score of a linear network.

    For a linear network the map sums to the score minus the bias. Called `InputXGradient` in Captum.

    inputs           (b, c, H, W)        network inputs
    input_gradients  variants -> chunks  gradients of the score at other network inputs
    reduce           reduction over the colour channels: sum (signed), max, norm or sum_abs
    returns          (b, H, W)           signed if `reduce` is sum, else non-negative
    """
    ((_, _, gradients),) = input_gradients(the_image(inputs), 1)
    return reduce_channels(inputs * gradients[0], reduce)
