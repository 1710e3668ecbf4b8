"""Deconvnet: the gradient with the ReLU rule of a deconvolutional network in the backward pass."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Gradients, Images, Map


@method(
    paper="Zeiler & Fergus, ECCV 2014, sec. 2.1, as in Springenberg et al., 2015, fig. 1: R^l = (R^(l+1) > 0) R^(l+1)",
    deviation="backward from the score, not from one neuron; one value per pixel, not a colour image",
    relu=False,
    display=PIXEL_DISPLAY,
)
def deconvnet(inputs: Images, deconvolved: Gradients, *, reduce: Join = "max") -> Map:
    """Backpropagate the score to the pixels, applying ReLU to the gradient at every ReLU.

    The backward pass ignores the sign of the forward activations. Called `Deconvolution` in Captum.

    inputs       (b, c, H, W)        network inputs
    deconvolved  variants -> chunks  gradients of the score, with the deconvolution rule at ReLUs
    reduce       reduction over the colour channels: max, norm, sum_abs (non-negative) or sum (signed)
    returns      (b, H, W)           non-negative, unless `reduce` is sum
    """
    ((_, _, gradients),) = deconvolved(the_image(inputs), 1)
    return reduce_channels(gradients[0], reduce)
