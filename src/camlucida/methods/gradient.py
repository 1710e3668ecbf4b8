"""Gradient: how much the score would change with every pixel."""

from __future__ import annotations

from camlucida.methods.parts.colours import Join, joined
from camlucida.methods.parts.variants import the_picture
from camlucida.methods.registry import FINE, method
from camlucida.types import Map, Pictures, Slopes


@method(paper="Simonyan et al., 2014, sec. 3.1: M = max_c |dS/dx|", relu=False, display=FINE)
def gradient(inputs: Pictures, slopes: Slopes, *, join: Join = "max") -> Map:
    """How much the score would change with every pixel: the largest absolute slope over the colour channels.

    inputs   (b, c, H, W)        the pictures
    slopes   variants -> chunks  gradients of the score at other pictures
    join     how colours become one number: max, norm, sum_abs (none below 0), sum (signed)
    returns  (b, H, W)           at least 0, unless `join` is sum
    """
    ((_, _, found),) = slopes(the_picture(inputs), 1)
    return joined(found[0], join)
