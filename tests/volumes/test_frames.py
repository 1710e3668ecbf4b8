"""Frames of a video: a CNN for every frame and an LSTM over the frames; one map per frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of
from camlucida.engine.image_axes import ImageAxes, image_axes
from camlucida.engine.layers import candidates, default_layer
from camlucida.errors import LayerError, MethodError
from camlucida.methods import methods

FRAMES = ImageAxes(2, frames=True)


def by_hand(network: nn.Module, video: Tensor, k: int) -> tuple[Tensor, Tensor]:
    kept: list[Tensor] = []
    handle = network.get_submodule("cnn").register_forward_hook(lambda *call: kept.append(call[2]))
    try:
        score = network(video.clone().requires_grad_())[:, k].sum()
    finally:
        handle.remove()
    return kept[0].detach(), torch.autograd.grad(score, kept[0])[0]


@pytest.mark.parametrize(
    ("order", "shape", "expected"),
    [
        ("btc", (1, 4, 3, 9, 11), FRAMES),
        ("btc", (2, 3, 3, 9, 11), FRAMES),  # three frames of three colours
        ("bct", (1, 3, 4, 9, 11), ImageAxes(1, frames=True)),
        ("bct", (2, 3, 3, 9, 11), ImageAxes(1, frames=True)),
        ("btc", (1, 1, 3, 9, 11), FRAMES),
        ("bct", (1, 3, 1, 9, 11), ImageAxes(1, frames=True)),
    ],
)
def test_the_axis_of_the_frames_is_measured(
    order: str, shape: tuple[int, ...], expected: ImageAxes, lstm: Callable[[str], nn.Module], numbers: Any
) -> None:
    assert image_axes(copy_of(lstm(order)), numbers(*shape)) == expected


def test_volumes_have_their_channels_first(net3d: nn.Module, volumes: Tensor) -> None:
    assert image_axes(copy_of(net3d), volumes) == ImageAxes()
    assert image_axes(copy_of(net3d), volumes[:, :, :2]) == ImageAxes()  # two slices of two channels
    assert image_axes(copy_of(net3d), volumes[:, :, :1]) == ImageAxes()


def test_volumes_that_the_network_transposes(net3d: nn.Module, volumes: Tensor) -> None:
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net3d

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x.transpose(1, 2))
            return out

    network, video = Transposed().eval(), volumes.transpose(1, 2).contiguous()
    assert image_axes(copy_of(network), video) == ImageAxes(2)
    for method, layer in (("grad_cam", "net.features"), ("score_cam", "net.features"), ("integrated_gradients", None)):
        expected = attribute(net3d, volumes, target=1, method=method, layer=layer and "features")
        assert_close(attribute(network, video, target=1, method=method, layer=layer), expected)


@pytest.mark.parametrize("order", ["btc", "bct"])
def test_every_frame_has_the_map_by_hand(order: str, lstm: Callable[[str], nn.Module], numbers: Any) -> None:
    network, video = lstm(order), numbers(2, 4, 3, 9, 11, seed=5)
    video = video if order == "btc" else video.transpose(1, 2).contiguous()
    activations, gradients = by_hand(network, video, 1)
    result = attribute(network, video, target=1, layer="cnn", signed=True)
    assert result.shape == (2, 4, *activations.shape[2:])
    for b in range(2):
        for i in range(4):
            a, g = activations[4 * b + i], gradients[4 * b + i]
            expected = sum(g[k].mean() * a[k] for k in range(5))
            assert_close(result[b, i], expected)


def test_other_gradient_methods_work_frame_by_frame(lstm: Callable[[str], nn.Module], numbers: Any) -> None:
    network, video = lstm("btc"), numbers(1, 4, 3, 9, 11, seed=6)
    a, g = by_hand(network, video, 2)
    assert_close(attribute(network, video, target=2, layer="cnn", method="hires_cam")[0], (a * g).sum(1))
    denominator = 2 * g**2 + a.sum((2, 3), keepdim=True) * g**3
    alpha = torch.where(denominator != 0, g**2 / denominator.where(denominator != 0, 1), 0)
    expected = ((alpha * g.relu()).sum((2, 3), keepdim=True) * a).sum(1)
    result = attribute(network, video, target=2, layer="cnn", method="grad_cam_plusplus", signed=True)
    assert_close(result[0], expected)


FEW = {
    **{"rise": {"n": 8, "cells": 3}, "lime": {"n": 20, "segments": 8}, "kernel_shap": {"n": 20, "segments": 4}},
    **{"smooth_grad": {"n": 2}, "var_grad": {"n": 2}, "ss_cam": {"n": 2}, "opti_cam": {"steps": 3}},
    **{"occlusion": {"window": 0.5, "stride": 0.5}, "integrated_gradients": {"steps": 4}},
}
UNSUPPORTED = {"attention_rollout", "attention_relevance", "extremal_perturbation", "full_grad", "cam"}


@pytest.mark.parametrize("name", sorted(methods().keys() - UNSUPPORTED - {"deep_lift", "lrp", "relevance_cam"}))
def test_all_methods_return_one_map_per_frame(name: str, lstm: Callable[[str], nn.Module], numbers: Any) -> None:
    layer = {"layer": "cnn"} if methods()[name].needs_layer else {}
    result = attribute(lstm("btc"), numbers(2, 4, 3, 9, 11), target=1, method=name, **layer, **FEW.get(name, {}))
    assert result.shape == (2, 4, *((3, 4) if methods()[name].map_size == "layer" else (9, 11)))
    assert bool(result.isfinite().all())


def test_ablation_removes_a_channel_from_all_frames(lstm: Callable[[str], nn.Module], numbers: Any) -> None:
    network, video = lstm("btc"), numbers(2, 4, 3, 9, 11, seed=7)
    activations, _ = by_hand(network, video, 1)
    score = network(video)[:, 1].detach()
    result = attribute(network, video, target=1, layer="cnn", method="ablation_cam", signed=True)
    expected = torch.zeros_like(result)
    for k in range(5):
        changed = activations.clone()
        changed[:, k] = 0
        with torch.no_grad():
            features = changed.mean((2, 3)).view(2, 4, -1)
            without = network.head(network.lstm(features)[0][:, -1])[:, 1]
        weight = (score - without) / score.abs()
        expected += weight[:, None, None, None] * activations[:, k].view(2, 4, *activations.shape[2:])
    assert_close(result, expected)


def test_integrated_gradients_of_frames_are_complete(lstm: Callable[[str], nn.Module], numbers: Any) -> None:
    network, video = lstm("btc"), 3 * numbers(1, 4, 3, 9, 11, seed=1)
    result = attribute(network, video, target=0, method="integrated_gradients", steps=200)
    difference = (network(video) - network(video * 0))[:, 0].detach()
    assert float(difference.abs()) > 0.2
    assert_close(result.sum((1, 2, 3)), difference, rtol=2e-2, atol=0)


class Mixing(nn.Module):
    """A layer that mixes neighbouring frames after the CNN of every frame, and one that reverses them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.mixed, self.reversed = nn.ReLU(), nn.Sigmoid()
        self.head = nn.Linear(4, 3)

    def forward(self, video: Tensor) -> Tensor:
        b, t = video.shape[:2]
        features = self.first(video.flatten(0, 1))
        mixed = self.mixed(features.view(b, t, -1).roll(1, 1).view_as(features) + features)
        last = self.reversed(features.view(b, t, -1).flip(1).view_as(features))
        out: Tensor = self.head((mixed + last).mean((2, 3)).view(b, t, -1).mean(1))
        return out


def test_rows_that_are_not_frames_in_order_are_no_layers(numbers: Any) -> None:
    network, video = Mixing().double().eval(), numbers(1, 4, 3, 9, 11)
    copy = copy_of(network)
    assert [layer.name for layer in candidates(copy, video)] == ["first"]
    assert default_layer(copy, video).grid == (4, 9, 11)
    for name in ("mixed", "reversed"):
        with pytest.raises(LayerError, match="no spatial grid, or none that could be verified"):
            attribute(network, video, target=0, layer=name)


def test_frames_of_several_videos_must_follow_each_other(numbers: Any) -> None:
    class FramesFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cnn, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

        def forward(self, video: Tensor) -> Tensor:
            b, t = video.shape[:2]
            features = self.cnn(video.transpose(0, 1).flatten(0, 1)).mean((2, 3))
            out: Tensor = self.head(features.view(t, b, -1).tanh().mean(0))
            return out

    network = FramesFirst().double().eval()
    assert attribute(network, numbers(1, 4, 3, 9, 11), target=0, layer="cnn").shape == (1, 4, 9, 11)
    with pytest.raises(LayerError, match=r"frames of one video must follow each other.*one video at a time"):
        attribute(network, numbers(2, 4, 3, 9, 11), target=0, layer="cnn")


def test_frames_one_after_the_other_have_maps_of_the_input(numbers: Any) -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cnn, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

        def forward(self, video: Tensor) -> Tensor:
            frames = [self.cnn(video[:, i]).tanh().mean((2, 3)) for i in range(video.shape[1])]
            out: Tensor = self.head(torch.stack(frames).mean(0))
            return out

    network, video = Loop().double().eval(), numbers(1, 4, 3, 9, 11)
    assert image_axes(copy_of(network), video) == ImageAxes(2, one_by_one=True)
    with pytest.raises(LayerError, match=r"processes the frames of a video one after the other.*flatten\(0, 1\)"):
        attribute(network, video, target=0)
    assert attribute(network, video, target=0, method="gradient").shape == (1, 4, 9, 11)


def test_full_grad_of_frames_is_refused(lstm: Callable[[str], nn.Module], numbers: Any) -> None:
    with pytest.raises(MethodError, match="full_grad has no rule for networks that process the frames"):
        attribute(lstm("btc"), numbers(1, 4, 3, 9, 11), target=0, method="full_grad")


def test_the_network_is_unmodified(lstm: Callable[[str], nn.Module], numbers: Any) -> None:
    network, video = lstm("btc").train(), numbers(1, 4, 3, 9, 11)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attribute(network, video, target=0)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
