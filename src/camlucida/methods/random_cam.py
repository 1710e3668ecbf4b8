"""Random-CAM: channels with random weights, an uninformative baseline."""

from __future__ import annotations

import torch

from camlucida.methods.registry import method
from camlucida.options import Seed
from camlucida.seeds import generator
from camlucida.types import Features, Map


@method(
    paper="Gildenblat, pytorch-grad-cam, 2021, a control, not an explanation: L = ReLU(sum_k w_k A^k), w ~ U(-1, 1)",
    relu=True,
)
def random_cam(activations: Features, *, seed: Seed = 0) -> Map:
    """Sum the channels with random weights: an uninformative baseline, not an explanation.

    A method that scores no better than this is not informative. Called `RandomCAM` in pytorch-grad-cam.

    activations  (b, c, h, w)  activations of the layer
    seed         seed of the weights, which are the same for every image and class
    returns      (b, h, w)     signed; its positive part is displayed
    """
    uniform = torch.rand(activations.shape[1], generator=generator(seed), dtype=torch.float64)
    return torch.einsum("c,bc...->b...", (2 * uniform - 1).to(activations), activations)
