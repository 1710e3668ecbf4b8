"""DeepLIFT beside Captum's, FullGrad beside grad-cam's: where they are equal, and where not and why.

    - Captum's DeepLIFT replaces ReLU *modules* that stand once. One used twice makes it fail; a ReLU that is a function
      keeps its gradient there, so that the shares no longer add up. Ours does both rightly.
    - At max pooling Captum's shares add up where it stands alone, but not where its windows overlap, nor where a ReLU
      stands before it (why was not traced); ours do.
    - grad-cam's FullGrad counts the biases of Conv2d and BatchNorm2d modules only, and stretches every channel to 0..1
      by itself, so that a channel that hardly matters counts as much as any; the authors stretch a layer as a whole.

The baseline is noise: on a plain one all places of a window are alike, and rounding chooses the largest.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute

captum = pytest.importorskip("captum.attr")
grad_cam = pytest.importorskip("pytorch_grad_cam")
ClassifierOutputTarget = pytest.importorskip("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget

# Captum warns that it registers hooks, grad-cam that it uses all layers.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Network(nn.Module):
    """Modules only, each used once, and no max pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.pool, self.two = nn.AvgPool2d(2), nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.Sigmoid())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.one(x))
        out: Tensor = self.head(x + self.two(x))
        return out


def drawn(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in (*network.double().named_parameters(), *network.named_buffers()):
            if tensor.is_floating_point():
                numbers = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.4
                tensor.copy_(numbers.abs() + 0.5 if "running_var" in name else numbers)
    return network.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 12, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def baseline(images: Tensor) -> Tensor:
    return torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0)).to(images).expand_as(images)


def ours(network: nn.Module, images: Tensor) -> Tensor:
    return attribute(network, images, target=2, method="deep_lift", baseline="noise")


def theirs(network: nn.Module, images: Tensor) -> Tensor:
    found: Tensor = captum.DeepLift(network).attribute(images.clone(), baseline(images).clone(), target=2)
    return found.sum(1).detach()


def gap(network: nn.Module, images: Tensor, found: Tensor) -> float:
    with torch.no_grad():
        difference = (network(images) - network(baseline(images)))[:, 2]
    return float((found.sum((1, 2)) - difference).abs().max())


def pooled(*between: nn.Module) -> nn.Module:
    return drawn(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), *between, nn.Flatten(), nn.Linear(180, 4)))


def test_deep_lift(images: Tensor) -> None:
    for network in (drawn(Network()), pooled(nn.MaxPool2d(2))):
        assert_close(ours(network, images), theirs(network, images))


@pytest.mark.parametrize("between", [[nn.MaxPool2d(3, 2, 1)], [nn.ReLU(), nn.MaxPool2d(2)]], ids=["overlap", "ReLU"])
def test_deep_lift_at_max_pooling(images: Tensor, between: list[nn.Module]) -> None:
    network = pooled(*between)
    assert gap(network, images, ours(network, images)) < 1e-12
    assert gap(network, images, theirs(network, images)) > 0.1


def test_deep_lift_where_a_relu_is_used_twice(images: Tensor) -> None:
    class Twice(Network):
        def forward(self, x: Tensor) -> Tensor:
            relu = self.one[2]
            x = self.pool(relu(self.one[1](self.one[0](x))))
            out: Tensor = self.head(x + relu(self.two[0](x)))
            return out

    network = drawn(Twice())
    assert gap(network, images, ours(network, images)) < 1e-12
    with pytest.raises(Exception):  # noqa: B017, PT011 - whichever it stumbles on
        theirs(network, images)


def test_deep_lift_where_a_relu_is_a_function(images: Tensor) -> None:
    class Functional(Network):
        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(F.relu(self.one[1](self.one[0](x))))
            out: Tensor = self.head(x + self.two(x))
            return out

    network = drawn(Functional())
    assert_close(ours(network, images), theirs(drawn(Network()), images))
    assert gap(network, images, theirs(network, images)) > 1e-3


def scaled(maps: Tensor, axes: tuple[int, ...]) -> Tensor:
    low, high = maps.amin(axes, keepdim=True), maps.amax(axes, keepdim=True)
    return (maps - low) / (high - low + 1e-7)


def total(parts: list[Tensor], axes: tuple[int, ...]) -> Tensor:
    large = [F.interpolate(scaled(part.abs(), axes), (12, 10), mode="bilinear").sum(1)[0] for part in parts]
    return torch.stack(large).sum(0).detach()


def test_full_grad(images: Tensor) -> None:
    """grad-cam's formula written out, from the gradients at its layers, and ours from the same."""
    network, image = drawn(Network()).float(), images[:1].float()
    with grad_cam.FullGrad(network, []) as explainer:
        found = explainer(image, [ClassifierOutputTarget(2)])
    one, two = network.get_submodule("one"), network.get_submodule("two")
    x = image.clone().requires_grad_()
    conv = one[0](x)  # type: ignore[index]
    norm = one[1](conv)  # type: ignore[index]
    pooled = network.pool(norm.relu())  # type: ignore[operator]
    last = two[0](pooled)  # type: ignore[index]
    curved = last.sigmoid()
    slopes = torch.autograd.grad(network.head(pooled + curved)[0, 2], [x, conv, norm, last, curved])  # type: ignore[operator]
    of_norm = one[1](torch.zeros(1, 6, 1, 1))  # type: ignore[index]
    biases = [image, one[0].bias[:, None, None], of_norm, two[0].bias[:, None, None]]  # type: ignore[index, union-attr]
    parts = [slope * bias for slope, bias in zip(slopes, biases, strict=False)]
    its_own = slopes[4] * (curved - curved * (1 - curved) * last)  # the sigmoid's, which grad-cam does not count

    def shown(map_: Tensor) -> Tensor:
        return scaled(map_, (0, 1))

    assert_close(
        attribute(network, image, target=2, method="full_grad")[0],
        total([*parts, its_own], (1, 2, 3)),
        rtol=1e-5,
        atol=1e-4,
    )
    theirs = torch.from_numpy(found[0])
    assert (shown(theirs) - shown(total(parts, (2, 3)))).abs().max() < 0.02  # OpenCV's resize
    assert (shown(theirs) - shown(total(parts, (1, 2, 3)))).abs().max() > 0.05
