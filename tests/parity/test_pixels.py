"""Pixel maps beside Captum's, on the same network, pictures and noise: where they are equal, and where not and why.

Captum is the oracle only for what it does as the papers say. Known differences:

    - Captum's NoiseTunnel takes one standard deviation for all pictures, in units of the input; SmoothGrad's paper
      (and Camlucida) a share of each picture's range. Here the same noise is put in by hand.
    - Captum's GuidedBackprop and Deconvolution change ReLU *modules* only. A ReLU that is a function (`F.relu`,
      `x.relu()`) keeps its ordinary gradient there, silently; ours changes it, too (test below).
    - Captum's GuidedGradCam upsamples by the nearest neighbour unless told otherwise; the paper, and ours, bilinearly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute

captum = pytest.importorskip("captum.attr")

# Captum warns that it registers hooks, and that it sets requires_grad on the input.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TARGET = 2


class Network(nn.Module):
    """Convolutions, batch norm, max pooling, a shortcut and a hidden layer; every ReLU a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
        self.two = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 6 * 5, 8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        out: Tensor = self.head(x + self.two(x))
        return out


@pytest.fixture
def network() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    made = Network().double().eval()
    with torch.no_grad():
        for name, tensor in (*made.named_parameters(), *made.named_buffers()):
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.4
                tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
    return made


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 12, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def ours(network: nn.Module, images: Tensor, method: str, **options: Any) -> Tensor:
    where = {"layer": options.pop("layer")} if "layer" in options else {}
    return attribute(network, images, target=TARGET, method=method, **where, **options)


def test_gradient_is_saliency(network: nn.Module, images: Tensor) -> None:
    theirs = captum.Saliency(network).attribute(images.clone(), target=TARGET)
    assert_close(ours(network, images, "gradient"), theirs.amax(1))
    theirs = captum.Saliency(network).attribute(images.clone(), target=TARGET, abs=False)
    assert_close(ours(network, images, "gradient", reduce="sum"), theirs.sum(1))


def test_input_x_gradient(network: nn.Module, images: Tensor) -> None:
    theirs = captum.InputXGradient(network).attribute(images.clone(), target=TARGET)
    assert_close(ours(network, images, "input_x_gradient"), theirs.sum(1))


@pytest.mark.parametrize("steps", [1, 7, 32])
def test_integrated_gradients(network: nn.Module, images: Tensor, steps: int) -> None:
    """The same nodes, so the same error, too."""
    theirs = captum.IntegratedGradients(network).attribute(
        images, torch.zeros_like(images), target=TARGET, n_steps=steps, method="gausslegendre"
    )
    assert_close(ours(network, images, "integrated_gradients", steps=steps), theirs.sum(1))


@pytest.mark.parametrize(
    ("kind", "method", "options"),
    [
        ("smoothgrad", "smooth_grad", {"reduce": "max"}),
        ("smoothgrad_sq", "smooth_grad", {"squared": True, "reduce": "max"}),
        ("vargrad", "var_grad", {}),
    ],
)
def test_noise_tunnel(
    network: nn.Module, images: Tensor, kind: str, method: str, options: dict[str, Any], monkeypatch: Any
) -> None:
    """Captum draws its noise by `torch.normal` for n copies of the picture at once; here it is given ours."""
    n, noise, seed = 6, 0.2, 5
    image = images[:1]
    width = noise * float(image.max() - image.min())
    drawn = torch.randn((n, *image.shape[1:]), generator=torch.Generator().manual_seed(seed))

    def normal(mean: float, std: Tensor) -> Tensor:
        assert mean == 0
        assert std.shape == drawn.shape
        return std * drawn.double()

    monkeypatch.setattr(torch, "normal", normal)
    tunnel = captum.NoiseTunnel(captum.Saliency(network))
    theirs = tunnel.attribute(image.clone(), nt_type=kind, nt_samples=n, stdevs=width, target=TARGET, abs=False)
    found = ours(network, image, method, n=n, noise=noise, seed=seed, **options)
    assert_close(found, theirs.abs().amax(1), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (6, 2), (2, 2)])
def test_occlusion(network: nn.Module, images: Tensor, window: int, stride: int) -> None:
    """Equal where the windows fit. The drop of a window over all colours is that of each colour in Captum's map."""
    theirs = captum.Occlusion(network).attribute(
        images, sliding_window_shapes=(3, window, window), strides=(3, stride, stride), target=TARGET
    )
    assert_close(
        ours(network, images, "occlusion", window=window, stride=stride), theirs[:, 0].double(), rtol=1e-5, atol=1e-6
    )


def test_occlusion_at_the_border(network: nn.Module, images: Tensor) -> None:
    """Captum clips the last windows, so that they cover fewer pixels; ours are moved to be flush with the border."""
    theirs = captum.Occlusion(network).attribute(images, sliding_window_shapes=(3, 5, 5), strides=(3, 5, 5), target=2)
    found = ours(network, images, "occlusion", window=5, stride=5)
    assert_close(
        found[:, :5], theirs[:, 0, :5].double(), rtol=1e-5, atol=1e-6
    )  # 10 columns: 2 windows; 12 rows: 3, clipped
    covered = images.clone()
    covered[:, :, 10:, :5] = 0
    clipped = (network(images) - network(covered))[:, TARGET].detach()
    assert_close(theirs[:, 0, 11, 0].double(), clipped, rtol=1e-5, atol=1e-6)
    covered = images.clone()
    covered[:, :, 7:, :5] = 0
    flush = (network(images) - network(covered))[:, TARGET].detach()
    assert_close(found[:, 11, 0].double(), flush, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("method", "name"), [("guided_backprop", "GuidedBackprop"), ("deconvnet", "Deconvolution")])
def test_rules_at_relus(network: nn.Module, images: Tensor, method: str, name: str) -> None:
    theirs = getattr(captum, name)(network).attribute(images.clone(), target=TARGET)
    assert_close(ours(network, images, method), theirs.abs().amax(1))
    assert_close(ours(network, images, method, reduce="sum"), theirs.sum(1))


def test_captum_passes_over_relus_that_are_functions(network: nn.Module, images: Tensor) -> None:
    class Functional(Network):
        def forward(self, x: Tensor) -> Tensor:
            x = self.one[3](F.relu(self.one[1](self.one[0](x))))
            x = x + self.two[0](x).relu()
            out: Tensor = self.head[3](torch.relu(self.head[1](self.head[0](x))))
            return out

    other = Functional().double().eval()
    other.load_state_dict(network.state_dict())
    assert_close(other(images), network(images))
    wanted = ours(network, images, "guided_backprop")
    assert_close(ours(other, images, "guided_backprop"), wanted)
    theirs = captum.GuidedBackprop(other).attribute(images.clone(), target=TARGET).abs().amax(1)
    assert_close(theirs, ours(network, images, "gradient"))  # the plain gradient under another name
    assert (theirs - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("layer", ["one", "two"])
def test_guided_grad_cam(network: nn.Module, images: Tensor, layer: str) -> None:
    module: Callable[..., Any] = network.get_submodule(layer)
    theirs = captum.GuidedGradCam(network, module).attribute(images.clone(), target=TARGET, interpolate_mode="bilinear")
    # GuidedGradCam takes the ReLU of Grad-CAM, as the paper does.
    assert_close(ours(network, images, "guided_grad_cam", layer=layer, reduce="sum"), theirs.sum(1))
