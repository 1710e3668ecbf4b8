"""Guided Grad-CAM: guided backpropagation multiplied by the upsampled Grad-CAM map."""

from __future__ import annotations

import torch

from camlucida.maps import grid_axes, upsample
from camlucida.methods.common.channel_reduction import Join, reduce_channels
from camlucida.methods.common.perturbations import the_image
from camlucida.methods.registry import PIXEL_DISPLAY, method
from camlucida.types import Features, Gradients, Images, Map


@method(
    paper="Selvaraju et al., ICCV 2017, sec. 3.2: L = (guided backpropagation) * upsampled ReLU(sum_k alpha_k A^k)",
    relu=False,
    map_size="input",
    display=PIXEL_DISPLAY,
)
def guided_grad_cam(
    activations: Features, gradients: Features, inputs: Images, guided: Gradients, *, reduce: Join = "max"
) -> Map:
    """Multiply guided backpropagation by the upsampled Grad-CAM map, pixel by pixel.

    Called `GuidedGradCam` in Captum.

    activations  (b, c, h, w)        activations of the layer
    gradients    (b, c, h, w)        d score / d activations
    inputs       (b, c, H, W)        network inputs
    guided       variants -> chunks  gradients of the score, with the guided rule at ReLUs
    reduce       reduction over the colour channels: max, norm, sum_abs (non-negative) or sum (signed)
    returns      (b, H, W)           non-negative, unless `reduce` is sum
    """
    cam = torch.einsum("bc,bc...->b...", gradients.mean(grid_axes(gradients)), activations).relu()
    ((_, _, guided_gradients),) = guided(the_image(inputs), 1)
    return reduce_channels(guided_gradients[0] * upsample(cam, inputs.shape[2:])[:, None], reduce)
