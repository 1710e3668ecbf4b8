"""Small networks and tensors that the methods' tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

Loops = list[list[list[list[float]]]]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _numbers(*shape: int, seed: int, positive: bool = False) -> Tensor:
    result = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return result.abs() if positive else result


@pytest.fixture
def numbers() -> Callable[..., Tensor]:
    """numbers(2, 3, seed=0): repeatable float64 numbers, signed unless `positive`."""
    return _numbers


@pytest.fixture(params=[(True, 0), (True, 1), (False, 2), (False, 3)], ids=["relu0", "relu1", "signed0", "signed1"])
def case(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """Activations (after a ReLU, or signed) and signed gradients: (2, 5, 3, 4), so that no axis can be mixed up."""
    positive, seed = request.param
    activations = _numbers(2, 5, 3, 4, seed=seed)
    return activations.relu() if positive else activations, _numbers(2, 5, 3, 4, seed=100 + seed)


class Gap(nn.Module):
    """Convolutions, their mean over the positions, one linear layer: where CAM is at home."""

    def __init__(self, *between: nn.Module, bias: bool = True, pool: nn.Module | None = None, width: int = 6) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=bias),
            nn.ReLU(),
            nn.Conv2d(5, width, 3, padding=1, bias=bias),
            nn.ReLU(),
        )
        self.pool = nn.AdaptiveAvgPool2d(1) if pool is None else pool
        self.between = nn.Sequential(*between)
        self.head = nn.Linear(width, 4, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.between(self.pool(self.features(x)).flatten(1)))
        return out


class Stacked(nn.Module):
    """Convolutions and ReLUs down to a hidden layer: not linear after the layer."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=bias), nn.ReLU(inplace=True))
        self.rest = nn.Sequential(nn.Conv2d(6, 5, 3, stride=2, bias=bias), nn.ReLU(inplace=True), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(10, 8, bias=bias), nn.ReLU(inplace=True), nn.Linear(8, 4, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.hidden(self.rest(self.features(x)))
        return out


def _seeded_network(network: nn.Module, seed: int = 0) -> nn.Module:
    """Float64, eval mode, weights that depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network.eval()


@pytest.fixture
def gap() -> Callable[..., nn.Module]:
    """gap(between the pool and the linear layer, bias=, pool=): a `Gap` in float64."""
    return lambda *between, **options: _seeded_network(Gap(*between, **options))


@pytest.fixture
def stacked() -> Callable[..., nn.Module]:
    """stacked(bias=): a `Stacked` in float64."""
    return lambda **options: _seeded_network(Stacked(**options))


@pytest.fixture
def images() -> Tensor:
    """Two images, (2, 3, 6, 10): the grid of `features` is 3 x 5."""
    return _numbers(2, 3, 6, 10, seed=42)


def _capture_by_hook(
    network: nn.Module, inputs: Tensor, score: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    kept: list[Tensor] = []

    def hook(_: nn.Module, __: object, output: Tensor) -> Tensor:
        kept.append(output.detach().clone().requires_grad_())
        return kept[0].clone()

    handle = network.get_submodule("features").register_forward_hook(hook)
    try:
        output = network(inputs)
    finally:
        handle.remove()
    (gradients,) = torch.autograd.grad(score(output).sum(), kept[0])
    return kept[0].detach(), gradients, output.detach()


@pytest.fixture
def seen() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """seen(network, inputs, score): activations and gradients of `features`, and the output, by plain hooks."""
    return _capture_by_hook
