"""Small 3-D networks, and networks for the frames of a video, that the tests of volumes share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


def _seeded(network: nn.Module) -> nn.Module:
    """Float64, eval mode, weights that depend on nothing else."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network.eval()


class Convolutions(nn.Module):
    """Convolutions in 2-D or 3-D, pooling and two linear layers."""

    def __init__(self, convolution: type[nn.Module], pool: nn.Module, *, linear: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            convolution(2, 4, 3, stride=2, padding=1), nn.ReLU(), convolution(4, 5, 3, padding=1), nn.ReLU()
        )
        self.pool = pool
        self.head = nn.Linear(5, 3) if linear else nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.features(x)).flatten(1))
        return out


@pytest.fixture
def net3d() -> nn.Module:
    """A 3-D network: the grid of `features` is half as large as the volume."""
    return _seeded(Convolutions(nn.Conv3d, nn.AdaptiveAvgPool3d(1)))


@pytest.fixture
def linear3d() -> nn.Module:
    """A 3-D network that ends in average pooling and one linear layer."""
    return _seeded(Convolutions(nn.Conv3d, nn.AdaptiveAvgPool3d(1), linear=True))


@pytest.fixture
def flat_pair() -> tuple[nn.Module, nn.Module]:
    """A 2-D network, and a 3-D one that computes the same for volumes of one slice."""
    flat, deep = Convolutions(nn.Conv2d, nn.AdaptiveAvgPool2d(1)), Convolutions(nn.Conv3d, nn.AdaptiveAvgPool3d(1))
    flat, deep = _seeded(flat), _seeded(deep)
    with torch.no_grad():
        for i in (0, 2):
            weight, bias = deep.get_submodule(f"features.{i}").weight, deep.get_submodule(f"features.{i}").bias
            weight.zero_()
            weight[:, :, 1] = flat.get_submodule(f"features.{i}").weight
            bias.copy_(flat.get_submodule(f"features.{i}").bias)
        for i in (0, 2):
            deep.get_submodule(f"head.{i}").load_state_dict(flat.get_submodule(f"head.{i}").state_dict())
    return flat, deep


class FrameLstm(nn.Module):
    """A CNN for every frame of (b, t, c, H, W), and an LSTM over the frames."""

    def __init__(self, order: str = "btc") -> None:
        super().__init__()
        self.order = order
        self.cnn = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU())
        self.lstm = nn.LSTM(5, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, video: Tensor) -> Tensor:
        if self.order == "bct":
            video = video.transpose(1, 2)
        b, t = video.shape[:2]
        features = self.cnn(video.flatten(0, 1)).mean((2, 3)).view(b, t, -1)
        out: Tensor = self.head(self.lstm(features)[0][:, -1])
        return out


@pytest.fixture
def lstm() -> Callable[[str], nn.Module]:
    """lstm("btc" or "bct"): a `FrameLstm` for one of the two orders of axes."""
    return lambda order="btc": _seeded(FrameLstm(order))


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def numbers() -> Callable[..., Tensor]:
    """numbers(2, 3, seed=0): repeatable float64 numbers."""
    return _numbers


@pytest.fixture
def volumes() -> Tensor:
    """Two volumes, (2, 2, 6, 8, 10), so that no axis can be mixed up."""
    return _numbers(2, 2, 6, 8, 10, seed=1)
