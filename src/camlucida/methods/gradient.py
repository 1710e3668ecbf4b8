"""Gradient: how much the score would change with every pixel."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.methods.variants import the_picture
from camlucida.types import Map, Pictures, Slopes


@method(paper="Simonyan et al., 2014, sec. 3.1: M = max_c |dS/dx|", relu=False)
def gradient(inputs: Pictures, slopes: Slopes) -> Map:
    """How much the score would change with every pixel: the largest absolute slope over the colour channels.

    inputs   (b, c, H, W)        the pictures
    slopes   variants -> chunks  gradients of the score at other pictures
    returns  (b, H, W)           at least 0
    """
    ((_, _, found),) = slopes(the_picture(inputs), 1)
    return found[0].abs().amax(1)
