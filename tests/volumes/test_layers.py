"""Layers of 3-D networks: convolutions, channels last, tokens, a U-Net, and torchvision's networks of videos."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of
from camlucida.engine.layers import candidates, default_layer
from camlucida.engine.module_calls import profile_calls
from camlucida.errors import LayerError


class ChannelsLast(nn.Module):
    """A patch embedding, then blocks (b, d, h, w, c), whose order of axes only a measurement tells."""

    def __init__(self, *, scrambled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scrambled = scrambled
        self.embed = nn.Conv3d(1, 8, (2, 4, 4), stride=(2, 4, 4))
        self.mix, self.norm, self.head = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).permute(0, 2, 3, 4, 1)
        if self.scrambled:
            order = torch.randperm(tokens[0, ..., 0].numel(), generator=torch.Generator().manual_seed(0))
            tokens = tokens.flatten(1, 3)[:, order].view_as(tokens)
        out: Tensor = self.head(self.norm(tokens + self.mix(tokens).relu()).tanh().mean((1, 2, 3)))
        return out


class Tokens(nn.Module):
    """A small transformer of a volume: a class token and the tokens of a grid."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Conv3d(1, 8, (2, 4, 4), stride=(2, 4, 4))
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.last, self.head = nn.LayerNorm(8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1))
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        out: Tensor = self.head(self.last(tokens)[:, 0])
        return out


VOLUME = torch.randn(1, 1, 8, 32, 24, generator=torch.Generator().manual_seed(0))


def test_channels_last_are_measured() -> None:
    network = ChannelsLast().eval()
    copy = copy_of(network)
    layer = default_layer(copy, VOLUME)
    assert (layer.name, layer.grid) == ("norm", (4, 8, 6))
    profile = profile_calls(copy, VOLUME)
    check = profile.checks[next(call.position for call in profile.module_calls if call.name == "norm")]
    assert check.outcome == "verified"
    kept: list[Tensor] = []
    handle = network.norm.register_forward_hook(lambda *call: kept.append(call[2]))
    score = network(VOLUME.clone().requires_grad_())[0, 1]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    expected = (kept[0] * gradient.mean((1, 2, 3), keepdim=True)).sum(-1).detach()
    assert_close(attribute(network, VOLUME, target=1, signed=True), expected, rtol=1e-4, atol=1e-6)


def test_another_order_is_refused() -> None:
    copy = copy_of(ChannelsLast(scrambled=True).eval())
    assert [layer.name for layer in candidates(copy, VOLUME)] == ["embed"]
    with pytest.raises(LayerError):
        attribute(ChannelsLast(scrambled=True).eval(), VOLUME, target=1, layer="norm")


def test_tokens_of_a_volume() -> None:
    network = Tokens().eval()
    layer = default_layer(copy_of(network), VOLUME)
    assert (layer.name, layer.grid) == ("norm", (4, 8, 6))
    assert attribute(network, VOLUME, target=0, layer="norm").shape == (1, 4, 8, 6)
    rollout = attribute(network, VOLUME, target=0, method="attention_rollout")
    assert rollout.shape == (1, 8, 32, 24)
    with pytest.raises(LayerError, match="class token"):
        attribute(network, VOLUME, target=0, layer="last")


class UNet(nn.Module):
    """Two levels with a skip connection; returns one mask per class (b, k, D, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU())
        self.middle = nn.Sequential(nn.MaxPool3d(2), nn.Conv3d(4, 8, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose3d(8, 4, 2, stride=2)
        self.merge = nn.Sequential(nn.Conv3d(8, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Conv3d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        out: Tensor = self.head(self.merge(torch.cat([skip, self.up(self.middle(skip))], 1)))
        return out


def test_a_segmentation_network() -> None:
    network = UNet().eval()
    model = cl.wrap(network, output=lambda masks: masks.mean((2, 3, 4)))
    assert default_layer(copy_of(network), VOLUME, lambda masks: masks.mean((2, 3, 4))).name == "merge"
    maps = cl.attribute(model, VOLUME, target=1, layer="middle", signed=True)
    assert maps.shape == (1, 4, 16, 12)
    kept: list[Tensor] = []
    handle = network.middle.register_forward_hook(lambda *call: kept.append(call[2]))
    score = network(VOLUME.clone().requires_grad_())[0, 1].mean()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    expected = (kept[0] * gradient.mean((2, 3, 4), keepdim=True)).sum(1).detach()
    assert_close(maps, expected, rtol=1e-4, atol=1e-7)


def test_r3d_18_is_the_formula() -> None:
    video = pytest.importorskip("torchvision.models.video")
    torch.manual_seed(0)
    network = video.r3d_18(weights=None).eval()
    clip = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    assert default_layer(copy_of(network), clip).name == "layer4"
    kept: list[Tensor] = []
    handle = network.layer3.register_forward_hook(lambda *call: kept.append(call[2]))
    score = network(clip.requires_grad_())[0, 7]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    expected = (kept[0] * gradient.mean((2, 3, 4), keepdim=True)).sum(1).detach()
    result: Any = attribute(network, clip.detach(), target=7, layer="layer3", signed=True)
    assert_close(result, expected, rtol=1e-3, atol=1e-7)
