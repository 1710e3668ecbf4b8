"""Deconvnet: the score drawn back through the network, ReLUs turned round."""

from __future__ import annotations

from camlucida.methods.parts.colours import Join, joined
from camlucida.methods.parts.variants import the_picture
from camlucida.methods.registry import FINE, method
from camlucida.types import Map, Pictures, Slopes


@method(
    paper="Zeiler & Fergus, ECCV 2014, sec. 2.1, as in Springenberg et al., 2015, fig. 1: R^l = (R^(l+1) > 0) R^(l+1)",
    deviation="from the score back, not from one neuron; one number a pixel, not a colour picture",
    relu=False,
    display=FINE,
)
def deconvnet(inputs: Pictures, deconvolved: Slopes, *, join: Join = "max") -> Map:
    """What would drive the score up, drawn back to the pixels: ReLUs cut the way back, whatever they did forwards.

    inputs       (b, c, H, W)        the pictures
    deconvolved  variants -> chunks  as gradients of the score, with another way back through ReLUs
    join         how colours become one number: max, norm, sum_abs (none below 0), sum (signed)
    returns      (b, H, W)           at least 0, unless `join` is sum
    """
    ((_, _, found),) = deconvolved(the_picture(inputs), 1)
    return joined(found[0], join)
