"""Guided backpropagation: the gradient with negative values removed at every ReLU in the backward pass."""

from __future__ import annotations

from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Gradients, Images, Map


@method(
    paper="Springenberg et al., ICLR workshop 2015, sec. 3.4: R^l = (f^l > 0) (R^(l+1) > 0) R^(l+1)",
    deviation="backward from the score, not from one neuron; one value per pixel, unless colour=True",
    relu=False,
    display=PIXEL_DISPLAY,
)
def guided_backprop(inputs: Images, guided: Gradients, *, reduce: Join = "max") -> Map:
    """Backpropagate the score through ReLUs where activation and gradient are positive: fine edges.

    The map hardly depends on the class: Adebayo et al. (NeurIPS 2018) found that it changes little when the upper
    layers are re-initialised at random. Called `GuidedBackprop` in Captum.

    inputs   (b, c, H, W)        network inputs
    guided   variants -> chunks  gradients of the score, with the guided rule at ReLUs
    reduce   reduction over the colour channels: max, norm, sum_abs (non-negative) or sum (signed)
    returns  (b, H, W)           non-negative, unless `reduce` is sum
    """
    ((_, _, gradients),) = guided(the_image(inputs), 1)
    return reduce_channels(gradients[0], reduce)
