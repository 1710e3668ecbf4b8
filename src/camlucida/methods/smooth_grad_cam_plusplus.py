"""Smooth Grad-CAM++: Grad-CAM++ with its derivatives averaged over noisy copies of the input."""

from __future__ import annotations

import torch

from camlucida.maps import grid_axes
from camlucida.methods.common.perturbations import noisy
from camlucida.methods.registry import method
from camlucida.options import Count, NotNegative, Seed
from camlucida.types import Features, Images, LayerAt, Map, ProgressCallback


@method(
    paper="Omeiza et al., 2019: alpha = D1 / (2 D2 + (sum_ab A_ab) D3), w = sum_ij alpha ReLU(D1), D_p = 1/n sum g^p",
    deviation="D2 in alpha's numerator, as in Grad-CAM++, of which it is the mean; the printed D1 (printed=True) is no"
    " ratio of like quantities and does not become Grad-CAM++ without noise",
    relu=True,
)
def smooth_grad_cam_plusplus(
    activations: Features,
    inputs: Images,
    layer_at: LayerAt,
    progress: ProgressCallback,
    *,
    n: Count = 5,
    noise: NotNegative = 0.1,
    printed: bool = False,
    seed: Seed = 0,
) -> Map:
    """Compute Grad-CAM++ from derivatives averaged over noisy copies of the input.

    activations  (b, c, h, w)             activations of the layer on the unmodified inputs
    inputs       (b, c, H, W)             network inputs
    layer_at     (b, c, H, W) -> activations, gradients  of the layer, both (b, c, h, w), at other network inputs
    progress     done, total -> None      called after every copy
    n            number of copies
    noise        standard deviation, as a fraction of each input's range
    printed      whether alpha's numerator is D1, as printed in the paper, instead of D2
    seed         seed of the noise, which is the same for every image of a batch
    returns      (b, h, w)                signed; the paper shows its positive part
    """
    copies = noisy(inputs, n, noise, seed)
    first, second, third = torch.zeros(3, *activations.shape, dtype=torch.float64, device=activations.device)
    for i in range(n):
        g = layer_at(copies(torch.tensor([i]))[0])[1].double()
        progress(i + 1, n)
        first, second, third = first + g / n, second + g.square() / n, third + g**3 / n
    positions = grid_axes(activations)
    denominator = 2 * second + activations.double().sum(positions, keepdim=True) * third
    alpha = torch.where(denominator != 0, (first if printed else second) / denominator.where(denominator != 0, 1), 0)
    weights = (alpha * first.relu()).sum(positions)
    return torch.einsum("bc,bc...->b...", weights, activations.double()).to(activations.dtype)
