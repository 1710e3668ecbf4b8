"""Random-CAM, the control: channels with random weights."""

from __future__ import annotations

import torch

from camlucida.methods.registry import method
from camlucida.options import Seed
from camlucida.seeds import generator
from camlucida.types import Features, Map


@method(
    paper="Gildenblat, pytorch-grad-cam, 2021, a control and no explanation: L = ReLU(sum_k w_k A^k), w ~ U(-1, 1)",
    relu=True,
)
def random_cam(activations: Features, *, seed: Seed = 0) -> Map:
    """A control, not an explanation: channels with random weights. What is no better than this says nothing.

    activations  (b, c, h, w)  what the layer gave out
    seed         of the weights, which are the same for every picture and class
    returns      (b, h, w)     signed; the positive part is shown
    """
    uniform = torch.rand(activations.shape[1], generator=generator(seed), dtype=torch.float64)
    return torch.einsum("c,bchw->bhw", (2 * uniform - 1).to(activations), activations)
