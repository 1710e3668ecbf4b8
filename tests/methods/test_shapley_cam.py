"""ShapleyCAM: full Hessians, a closed form, and Grad-CAM where nothing bends."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution import attribute
from camlucida.methods.shapley_cam import shapley_cam

Make = Callable[..., nn.Module]


def test_slow_twin_with_the_full_hessian(gap: Make, images: Tensor) -> None:
    """w_k = mean_ij (g - 1/2 H A), H written out, of a score that bends."""
    network = gap()

    def score(activations: Tensor) -> Tensor:
        return network.head(activations.mean((1, 2))).log_softmax(0)[1]

    found = attribute(
        network, images, target=1, layer="features", method="shapley_cam", score="log_probability", signed=True
    )
    for image, map_ in zip(images, found, strict=True):
        a = network.features(image[None])[0].detach()
        c, h, w = a.shape
        slope = torch.autograd.functional.jacobian(score, a)
        hessian = torch.autograd.functional.hessian(score, a).view(c * h * w, c * h * w)  # type: ignore[union-attr]
        corrected = slope - 0.5 * (hessian @ a.flatten()).view(c, h, w)
        assert_close(map_, sum(corrected[k].mean() * a[k] for k in range(c)))
        plain = torch.einsum("c,chw->hw", slope.mean((1, 2)), a)
        assert not torch.allclose(map_, plain, rtol=1e-3)


def test_a_quadratic_score_by_hand() -> None:
    """S = 1/2 sum A^2: g = A, H A = A, w_k = half the mean of A^k."""
    a = torch.tensor([[[[1.0, 3.0]], [[2.0, -4.0]]]])
    found = shapley_cam(a, a, lambda direction: direction)
    assert_close(found, torch.tensor([[[1.0 - 1.0, 3.0 + 2.0]]]))


def test_where_nothing_bends_it_is_grad_cam(stacked: Make, images: Tensor) -> None:
    one, other = (
        attribute(stacked(), images, target=1, layer="features", method=m, signed=True)
        for m in ("shapley_cam", "grad_cam")
    )
    assert_close(one, other)
