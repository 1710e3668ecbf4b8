"""Input x gradient: every pixel's share of the score, were the network linear."""

from __future__ import annotations

from camlucida.methods.parts.colours import Join, joined
from camlucida.methods.parts.variants import the_picture
from camlucida.methods.registry import FINE, method
from camlucida.types import Map, Pictures, Slopes


@method(
    paper="Shrikumar et al., 2016, sec. 3: M = sum_c x_c * dS/dx_c, pixel by pixel; Ancona et al., ICLR 2018, tab. 1",
    deviation="x is what the network sees: 0 is the mean colour it was normalised with, not black",
    relu=False,
    display=FINE,
)
def input_x_gradient(inputs: Pictures, slopes: Slopes, *, join: Join = "sum") -> Map:
    """Every pixel's share of the score, were the network linear: pixel times gradient; adds up there, less the bias.

    inputs   (b, c, H, W)        the pictures
    slopes   variants -> chunks  gradients of the score at other pictures
    join     how colours become one number: sum (signed), max, norm, sum_abs
    returns  (b, H, W)           signed, unless `join` says otherwise
    """
    ((_, _, found),) = slopes(the_picture(inputs), 1)
    return joined(inputs * found[0], join)
