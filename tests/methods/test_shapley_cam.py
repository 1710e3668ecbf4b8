"""ShapleyCAM: full Hessians, a closed form, and Grad-CAM where nothing bends."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.methods.shapley_cam import shapley_cam

Make = Callable[..., nn.Module]


def test_reference_with_the_full_hessian(gap: Make, images: Tensor) -> None:
    """w_k = mean_ij (g - 1/2 H A), H written out, of a score that bends."""
    network = gap()

    def score(activations: Tensor) -> Tensor:
        return network.head(activations.mean((1, 2))).log_softmax(0)[1]

    result = attribute(
        network, images, target=1, layer="features", method="shapley_cam", score="log_probability", signed=True
    )
    for image, map_ in zip(images, result, strict=True):
        a = network.features(image[None])[0].detach()
        c, h, w = a.shape
        gradient = torch.autograd.functional.jacobian(score, a)
        hessian = torch.autograd.functional.hessian(score, a).view(c * h * w, c * h * w)  # type: ignore[union-attr]
        corrected = gradient - 0.5 * (hessian @ a.flatten()).view(c, h, w)
        assert_close(map_, sum(corrected[k].mean() * a[k] for k in range(c)))
        plain = torch.einsum("c,chw->hw", gradient.mean((1, 2)), a)
        assert not torch.allclose(map_, plain, rtol=1e-3)


def test_a_quadratic_score_by_hand() -> None:
    """S = 1/2 sum A^2: g = A, H A = A, w_k = half the mean of A^k."""
    a = torch.tensor([[[[1.0, 3.0]], [[2.0, -4.0]]]])
    result = shapley_cam(a, a, lambda direction: direction)
    assert_close(result, torch.tensor([[[1.0 - 1.0, 3.0 + 2.0]]]))


def test_where_nothing_bends_it_is_grad_cam(stacked: Make, images: Tensor) -> None:
    one, other = (
        attribute(stacked(), images, target=1, layer="features", method=m, signed=True)
        for m in ("shapley_cam", "grad_cam")
    )
    assert_close(one, other)


class Attentive(nn.Module):
    """A convolution, attention between its positions, the mean, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, stride=2)
        self.head = nn.Linear(4, 3)

    def rest(self, activations: Tensor) -> Tensor:
        tokens = activations.flatten(2).mT
        visible = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        out: Tensor = self.head(visible.mean(1))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.features(x))


def test_attention_is_derived_twice(images: Tensor) -> None:
    """PyTorch's fused attention has no second derivative; the Hessian here is a difference of two gradients."""
    torch.manual_seed(0)
    network = Attentive().to(images.dtype)
    before = torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()
    result = attribute(network, images, target=1, layer="features", method="shapley_cam", signed=True)
    assert before == (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled())

    def gradient_at(a: Tensor) -> Tensor:
        a = a.detach().requires_grad_()
        return torch.autograd.grad(network.rest(a)[:, 1].sum(), a)[0]

    a, step = network.features(images).detach(), 1e-5
    curved = (gradient_at(a + step * a) - gradient_at(a - step * a)) / (2 * step)
    weights = (gradient_at(a) - 0.5 * curved).mean((2, 3))
    assert_close(result, torch.einsum("bc,bchw->bhw", weights, a), rtol=1e-6, atol=1e-8)
    assert float(curved.abs().max()) > 1e-3 * float(gradient_at(a).abs().max())
