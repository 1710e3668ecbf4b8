"""Is it FullGrad, and do pixels and biases add up to the score?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest
from camlucida.engine import copy_of
from camlucida.engine.backward.bias_gradients import bias_gradients
from camlucida.engine.input_variants import InputVariants
from camlucida.errors import MethodError
from camlucida.methods import find
from camlucida.models.model import Model

Make = Callable[..., nn.Module]


def randomized(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in (*network.double().named_parameters(), *network.named_buffers()):
            if tensor.is_floating_point():
                numbers = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.5
                tensor.copy_(numbers.abs() + 0.5 if "running_var" in name else numbers)
    return network.eval()


def found_in(network: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    variants = InputVariants(copy_of(network), images, lambda output: output)
    return bias_gradients(variants, lambda image: lambda scores: scores[:, 2])


class Mixed(nn.Module):
    """Batch norm, a skip added in place, ReLUs of all kinds, a max pool, numbers added, biases everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.one, self.two, self.head = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.stem(x))))
        y = self.two(F.relu(self.one(x), inplace=True))
        y += x
        y += 0.3
        x = self.relu(y) + 0.5
        x = torch.cat([x, F.leaky_relu(self.one(x) - 1)], dim=-1).clamp(max=2)
        out: Tensor = self.head(x.mean((2, 3)))
        return out


@pytest.mark.parametrize("factor", [1.0, 1e-5])
def test_the_authors_code_differs_by_its_eps_and_its_corners(factor: float) -> None:
    """Their scaling and upsampling (fullgrad-saliency, fullgrad.py) on our contributions.

    A factor on the score leaves a min-max scaled map as it is, but not one with 1e-6 added to the range.
    """
    network: nn.Module = randomized(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 3, 4))
    )
    images = torch.randn(2, 3, 10, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        network[3].weight.mul_(factor)  # type: ignore[index, operator, union-attr]
    gradient, biases = found_in(network, images)
    parts = [images * gradient, *(b for b in biases if b.ndim == 4)]

    def authors(eps: float, corners: bool) -> Tensor:
        total = torch.zeros_like(images[:, 0])
        for part in parts:
            scaled = part.abs() - part.abs().flatten(1).amin(1)[:, None, None, None]
            scaled = scaled / (scaled.flatten(1).amax(1)[:, None, None, None] + eps)
            size = (images.shape[2], images.shape[3])
            total += F.interpolate(scaled, size, mode="bilinear", align_corners=corners).sum(1)
        return total

    ours = attribute(network, images, target=2, method="full_grad")
    assert_close(ours, authors(0.0, corners=False))
    assert float((ours - authors(0.0, corners=True)).abs().max()) > 0.05
    by_eps = float((ours - authors(1e-6, corners=False)).abs().max())
    assert by_eps < 1e-4 if factor == 1 else by_eps > 0.01


class Tokens(nn.Module):
    """A class token, positions, attention, norms and curved functions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer, self.head = nn.Conv2d(3, 8, 2, stride=2), nn.LayerNorm(8), nn.Linear(8, 4)
        self.token, self.attention = nn.Parameter(torch.zeros(1, 1, 8)), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        x = F.hardswish(x * x.mean((2, 3), keepdim=True).sigmoid()).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        y = self.layer(x)
        x = x + self.attention(y, y, y, need_weights=False)[0] / (1 + y.abs()) + self.token / (2 + y.square())
        out: Tensor = self.head(F.gelu(x)[:, 0])
        return out


@pytest.mark.parametrize("kind", [Mixed, Tokens])
def test_adds_up(kind: Callable[[], nn.Module], images: Tensor) -> None:
    """Proposition 1 of the paper."""
    network = randomized(kind())
    gradient, biases = found_in(network, images)
    total = (gradient * images).sum((1, 2, 3)) + sum(b.flatten(1).sum(1) if b.ndim > 1 else b for b in biases)
    score = network(images)[:, 2].detach()
    assert (total - (gradient * images).sum((1, 2, 3))).abs().min() > 0.1  # there is something to add
    assert_close(total, score, rtol=1e-9, atol=1e-9)
    method = find("full_grad")
    run = attributions(
        Model(network),
        images,
        AttributionRequest(targets=[2], layers=[None], methods=[(method, method.with_options({}))]),
    )
    assert_close(run.notes[0][0][0]["completeness_gap"], torch.zeros_like(score), rtol=0, atol=1e-9)


def test_biases_are_their_derivatives(stacked: Make, images: Tensor) -> None:
    """The paper's bias gradient summed over the positions is b dS/db, by the parameter's own gradient."""
    network = stacked()
    layers = [network.features[0], network.rest[0], network.hidden[0], network.hidden[2]]  # type: ignore[index]
    for i, image in enumerate(images):
        expected = torch.autograd.grad(network(image[None])[0, 2], [layer.bias for layer in layers])
        _, biases = found_in(network, images)
        sums = [b[i].sum((1, 2)) if b.ndim == 4 else b[i] for b in biases]
        for result, gradient, layer in zip(sums, expected, layers, strict=True):
            product = (gradient * layer.bias).detach()
            assert_close(result, product if result.ndim else product.sum())


def reference(network: nn.Module, image: Tensor, k: int, *, by_channel: bool) -> Tensor:
    """The paper's sum on `Stacked`, by loops."""
    x = image[None].clone().requires_grad_()
    first = network.features[0](x)  # type: ignore[index]
    second = network.rest[0](first.relu())  # type: ignore[index]
    score = network.hidden(second.relu().flatten(1))[0, k]  # type: ignore[operator]
    gradients = torch.autograd.grad(score, [x, first, second])
    layers = [image, *(network.get_submodule(name).bias[:, None, None] for name in ("features.0", "rest.0"))]
    total = torch.zeros(image.shape[1:], dtype=torch.float64)
    for gradient, factor in zip(gradients, layers, strict=True):
        sizes = (gradient[0] * factor).abs().detach()
        for channel in sizes:
            like = channel if by_channel else sizes
            if like.max() == like.min():
                continue
            psi = (channel - like.min()) / (like.max() - like.min())
            total += F.interpolate(psi[None, None], image.shape[1:], mode="bilinear", align_corners=False)[0, 0]
    return total


@pytest.mark.parametrize("scale", ["layer", "channel"])
def test_equals_the_reference(stacked: Make, images: Tensor, scale: str) -> None:
    network = stacked()
    for k in range(4):
        result = attribute(network, images, target=k, method="full_grad", scale=scale)
        expected = [reference(network, image, k, by_channel=scale == "channel") for image in images]
        assert_close(result, torch.stack(expected))


def test_what_a_network_writes_over_later_is_not_lost(images: Tensor) -> None:
    """In place or not, the biases are the same."""

    class InPlace(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            self.one, self.two, self.inplace = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), inplace

        def forward(self, x: Tensor) -> Tensor:
            x = F.silu(self.one(x), inplace=self.inplace)
            x = F.relu(self.two(x), inplace=self.inplace)
            return x.mean((2, 3))

    expected, result = (found_in(randomized(InPlace(inplace)), images)[1] for inplace in (False, True))
    assert [b.shape[1] for b in expected] == [4, 4, 4]
    assert_close(result, expected)


def test_tokens_lie_on_their_grid(images: Tensor) -> None:
    _, biases = found_in(randomized(Tokens()), images)
    grids = [tuple(b.shape[2:]) for b in biases if b.ndim == 4]
    assert set(grids) == {(3, 5)}
    assert len(grids) >= 4


def test_no_such_scale(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match=r"scale is one of layer, channel .*, not 'image'"):
        attribute(stacked(), images, target=0, method="full_grad", scale="image")


ACTIVATIONS = {
    name: kind
    for name, kind in vars(nn.modules.activation).items()
    if isinstance(kind, type) and issubclass(kind, nn.Module) and name in nn.modules.activation.__all__
}
OTHERS: dict[str, Callable[[], nn.Module]] = {
    "Threshold": lambda: nn.Threshold(0.1, 0.3),
    "GELU": lambda: nn.GELU(approximate="tanh"),
    "GLU": lambda: nn.GLU(1),
    "Softmax": lambda: nn.Softmax(1),
    "LogSoftmax": lambda: nn.LogSoftmax(1),
    "Softmin": lambda: nn.Softmin(1),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "MultiheadAttention"])
def test_adds_up_through_every_activation_of_pytorch(name: str, images: Tensor) -> None:
    """Also those that cannot be derived twice, such as hardsigmoid."""
    middle = OTHERS.get(name, ACTIVATIONS[name])()
    inside = nn.Conv2d(4 if name == "GLU" else 8, 6, 3)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    network = randomized(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), middle, inside, head))
    gradient, biases = found_in(network, images)
    total = (images * gradient).flatten(1).sum(1) + sum(b.flatten(1).sum(1) if b.ndim > 1 else b for b in biases)
    assert_close(total, network(images)[:, 2].detach())
