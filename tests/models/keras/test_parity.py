"""The same weights in PyTorch and in Keras, on the chosen backend, give the same maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camlucida
from camlucida.models.keras.network import keras_network

ON_LAYER = ("cam", "grad_cam", "grad_cam_plusplus", "hires_cam", "layer_cam", "score_cam", "ablation_cam", "eigen_cam")
ON_PIXELS = ("guided_backprop", "gradient", "smooth_grad", "integrated_gradients")
OTHERS = ("occlusion", "rise", "lime", "kernel_shap", "xgrad_cam")
OPTIONS: dict[str, dict[str, Any]] = {
    "rise": {"n": 20},
    "lime": {"n": 30},
    "kernel_shap": {"n": 30},
    "smooth_grad": {"n": 4},
    "integrated_gradients": {"steps": 4},
    "occlusion": {"window": 8, "stride": 8},
}


def _maps(network: Any, images: Tensor, method: str, **more: Any) -> Tensor:
    return camlucida.attribute(network, images, method=method, target=2, signed=True, **OPTIONS.get(method, {}), **more)


@pytest.mark.parametrize("method", [*ON_LAYER, *ON_PIXELS, *OTHERS])
def test_map_equals_that_of_the_torch_twin(
    method: str, torch_twin: nn.Module, make_twin: Callable[..., Any], images: Tensor
) -> None:
    expected = _maps(torch_twin, images, method)
    found = _maps(make_twin(), images, method)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())
    assert bool(expected.any())


@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam", "hires_cam", "layer_cam"])
@pytest.mark.parametrize(("ours", "theirs"), [("conv2", "conv2"), ("bn2", "bn2"), ("out2", "out2")])
def test_layer_beside_a_skip_connection(
    method: str, ours: str, theirs: str, torch_twin: nn.Module, make_twin: Callable[..., Any], images: Tensor
) -> None:
    expected = _maps(torch_twin, images, method, layer=theirs)
    found = _maps(make_twin(), images, method, layer=ours)
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize("method", ["grad_cam", "guided_backprop", "integrated_gradients", "cam"])
def test_softmax_head_is_explained_at_its_logit(
    method: str, torch_twin: nn.Module, make_twin: Callable[..., Any], images: Tensor
) -> None:
    expected = _maps(torch_twin, images, method)
    found = _maps(make_twin("softmax"), images, method)
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


def test_gradient_equals_autograd_by_hand(torch_twin: nn.Module, make_twin: Callable[..., Any], images: Tensor) -> None:
    leaf = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(torch_twin(leaf)[:, 2].sum(), leaf)
    ours = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(keras_network(make_twin())(ours)[:, 2].sum(), ours)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_default_layer_is_that_of_the_torch_twin(
    torch_twin: nn.Module, make_twin: Callable[..., Any], images: Tensor
) -> None:
    model = make_twin()
    torch.testing.assert_close(
        _maps(model, images, "grad_cam"), _maps(model, images, "grad_cam", layer="act3"), rtol=0, atol=0
    )
