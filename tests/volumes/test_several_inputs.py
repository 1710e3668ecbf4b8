"""Volumes and frames as the image of a network with several inputs: maps as with the other inputs fixed in a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida import VolumePreprocessing, explain, load_video, wrap
from camlucida.attribution.attribute import attribute
from camlucida.attribution.image_argument import name_inputs
from camlucida.engine import copy_of
from camlucida.engine.image_axes import ImageAxes, image_axes
from camlucida.engine.named_inputs import NamedInputs
from camlucida.methods.common.channel_reduction import REDUCTIONS
from camlucida.models.model import Model

Numbers = Callable[..., Tensor]


class WithAge(nn.Module):
    """A network for volumes whose scores a second input, (b, 1), scales."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.net = network

    def forward(self, scan: Tensor, age: Tensor) -> Tensor:
        scores: Tensor = self.net(scan) * (1 + age)
        return scores


class WithPhotograph(nn.Module):
    """A photograph (b, 3, h, w) that is read first, then a video for a network of frames."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.photograph_encoder = nn.Conv2d(3, 3, 3).double()
        self.net = network

    def forward(self, photograph: Tensor, video: Tensor) -> Tensor:
        scores: Tensor = self.net(video) + self.photograph_encoder(photograph).square().mean((2, 3))
        return scores


class Fixed(nn.Module):
    """A network of one input: the other one is fixed, and repeated for as many images as there are."""

    def __init__(self, network: nn.Module, image: str, **others: Tensor) -> None:
        super().__init__()
        self.inner, self.image, self.others = network, image, others

    def forward(self, x: Tensor) -> Tensor:
        others = {name: t.repeat(len(x) // len(t), *[1] * (t.ndim - 1)) for name, t in self.others.items()}
        scores: Tensor = self.inner(**{self.image: x}, **others)
        return scores


METHODS = {
    "grad_cam": {"layer": "features"},
    "layer_cam": {"layer": "features"},
    "score_cam": {"layer": "features"},
    "ablation_cam": {"layer": "features"},
    "smooth_grad_cam_plusplus": {"layer": "features", "n": 2},
    "flips(grad_cam)": {"layer": "features"},
    "gradient": {},
    "guided_backprop": {},
    "integrated_gradients": {"steps": 4},
    "deep_lift": {},
    "occlusion": {"window": 0.5, "stride": 0.5},
    "rise": {"n": 8, "cells": 3},
    "lrp": {},
    "full_grad": {},
}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_volume_with_a_second_input(method: str, net3d: nn.Module, volumes: Tensor) -> None:
    age = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    network, options = WithAge(net3d).eval(), dict(METHODS[method])
    layer = options.pop("layer", None)
    result = attribute(
        network,
        {"scan": volumes, "age": age},
        target=1,
        method=method,
        layer=layer and f"net.{layer}",
        **options,  # type: ignore[arg-type]
    )
    assert isinstance(result, Tensor)
    assert bool(result.any())
    for i in range(2):
        fixed = Fixed(network, "scan", age=age[i : i + 1]).eval()
        expected = attribute(
            fixed,
            volumes[i : i + 1],
            target=1,
            method=method,
            layer=layer and f"inner.net.{layer}",
            **options,  # type: ignore[arg-type]
        )
        assert_close(result[i : i + 1], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "method", sorted(METHODS.keys() - {"lrp", "deep_lift", "full_grad", "smooth_grad_cam_plusplus"})
)
@pytest.mark.parametrize("order", ["btc", "bct"])
def test_frames_with_a_photograph(method: str, order: str, lstm: Callable[[str], nn.Module], numbers: Numbers) -> None:
    video, photograph = numbers(1, 4, 3, 9, 11, seed=5), numbers(1, 3, 8, 8, seed=6)
    video = video if order == "btc" else video.transpose(1, 2).contiguous()
    torch.manual_seed(0)
    network, options = WithPhotograph(lstm(order)).eval(), dict(METHODS[method])
    layer = options.pop("layer", None)
    result = attribute(
        wrap(network, image="video"),
        {"video": video, "photograph": photograph},
        target=1,
        method=method,
        layer=layer and "net.cnn",
        **options,  # type: ignore[arg-type]
    )
    expected = attribute(
        Fixed(network, "video", photograph=photograph).eval(),
        video,
        target=1,
        method=method,
        layer=layer and "inner.net.cnn",
        **options,  # type: ignore[arg-type]
    )
    assert isinstance(result, Tensor)
    assert result.shape[:2] == (1, 4)
    assert bool(result.any())
    assert_close(result, expected, rtol=1e-6, atol=1e-9)


def test_the_axes_are_those_of_the_named_image(lstm: Callable[[str], nn.Module], numbers: Numbers) -> None:
    network, photograph = WithPhotograph(lstm("btc")).eval(), numbers(1, 3, 8, 8)
    inputs = NamedInputs({"photograph": photograph, "video": numbers(1, 4, 3, 9, 11)}, "video")
    assert image_axes(copy_of(network), inputs) == ImageAxes(2, frames=True)
    assert image_axes(copy_of(network), NamedInputs(dict(inputs), "photograph")) == ImageAxes()


@pytest.mark.parametrize("together", [False, True])
def test_each_of_two_videos_has_the_gradient(
    together: bool, lstm: Callable[[str], nn.Module], numbers: Numbers
) -> None:
    class TwoVideos(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = lstm("btc")

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            if together:  # one call of the encoder for both videos
                both = self.net.cnn(torch.cat([left, right], 1).flatten(0, 1)).mean((2, 3))
                features = both.view(len(left), 2, left.shape[1], -1)
                first, second = (self.net.lstm(features[:, i])[0][:, -1] for i in range(2))
                scores: Tensor = self.net.head(first * second)
            else:
                scores = self.net(left) * self.net(right)
            return scores

    network = TwoVideos().eval()
    videos = {"left": numbers(2, 3, 3, 9, 11, seed=1), "right": numbers(2, 3, 3, 9, 11, seed=2)}
    maps = attribute(wrap(network, image=["left", "right"]), videos, target=1, method="gradient", reduce="sum")
    assert isinstance(maps, dict)
    for name in videos:
        leaf = videos[name].clone().requires_grad_()
        (expected,) = torch.autograd.grad(network(**{**videos, name: leaf})[:, 1].sum(), leaf)
        assert_close(maps[name], expected.sum(2))


def test_the_only_image_may_be_a_volume(net3d: nn.Module, volumes: Tensor) -> None:
    network = WithAge(net3d)
    named = name_inputs(Model(network), network, (volumes, torch.ones(2, 1)))
    assert isinstance(named, NamedInputs)
    assert named.image == "scan"


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "guided_grad_cam", "lrp", "deep_lift"])
def test_maps_in_colour_of_volumes(method: str, net3d: nn.Module, volumes: Tensor) -> None:
    layer = "features" if method == "guided_grad_cam" else None
    plain = attribute(net3d, volumes, target=1, method=method, layer=layer, reduce="norm")
    colour = attribute(net3d, volumes, target=1, method=method, layer=layer, reduce="norm", colour=True)
    assert colour.shape == volumes.shape
    assert torch.equal(REDUCTIONS["norm"](colour), plain)


@pytest.mark.parametrize("method", ["gradient", "guided_grad_cam"])
@pytest.mark.parametrize("order", ["btc", "bct"])
def test_maps_in_colour_of_frames(method: str, order: str, lstm: Callable[[str], nn.Module], numbers: Numbers) -> None:
    video = numbers(2, 4, 3, 9, 11) if order == "btc" else numbers(2, 3, 4, 9, 11)
    layer = "cnn" if method == "guided_grad_cam" else None
    plain = attribute(lstm(order), video, target=1, method=method, layer=layer, reduce="sum")
    colour = attribute(lstm(order), video, target=1, method=method, layer=layer, reduce="sum", colour=True)
    assert colour.shape == (2, 3, 4, 9, 11)
    assert_close(REDUCTIONS["sum"](colour), plain)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_explain_a_volume_with_a_second_input(as_tensor: bool, net3d: nn.Module, numbers: Numbers) -> None:
    network, age = WithAge(net3d.float()).eval(), torch.tensor([[0.5]])
    preprocessing = VolumePreprocessing(mean=(0.0, 0.0), std=(1.0, 1.0))
    voxels: Any = numbers(2, 6, 8, 10).float()
    voxels = voxels if as_tensor else voxels.numpy()
    result = explain(wrap(network, image="scan", volume=preprocessing), {"scan": voxels, "age": age}, target=1)
    fixed = wrap(Fixed(network, "scan", age=age).eval(), volume=preprocessing)
    expected = explain(fixed, voxels, target=1)
    assert_close(result.raw, expected.raw)
    assert result.score == pytest.approx(expected.score)
    assert result.input == "scan"
    assert result.landed.shape == (6, 8, 10)
    result.panel()


def test_explain_a_video_with_a_photograph(lstm: Callable[[str], nn.Module], numbers: Numbers) -> None:
    network = WithPhotograph(lstm("btc")).float().eval()
    frames = np.random.default_rng(0).integers(0, 255, (4, 12, 14, 3), dtype=np.uint8)
    video, photograph = load_video(frames), numbers(1, 3, 8, 8).float()
    model = wrap(network, image="video", size=12)
    result = explain(model, {"video": video, "photograph": photograph}, target=1)
    expected = explain(wrap(Fixed(network, "video", photograph=photograph).eval(), size=12), video, target=1)
    assert_close(result.raw, expected.raw)
    assert len(result.raw) == 4
    result.panel()


def test_explain_in_colour(net3d: nn.Module, lstm: Callable[[str], nn.Module], numbers: Numbers) -> None:
    preprocessing = VolumePreprocessing(mean=(0.0, 0.0), std=(1.0, 1.0))
    voxels = numbers(2, 6, 8, 10).float().numpy()
    scan = explain(wrap(net3d.float(), volume=preprocessing), voxels, target=1, method="gradient", colour=True)
    assert scan.colour is not None
    assert scan.colour.shape == (2, 6, 8, 10)
    assert scan.colour_image().size == scan.still(scan).image.size
    frames = np.random.default_rng(0).integers(0, 255, (4, 12, 14, 3), dtype=np.uint8)
    model = wrap(lstm("btc").float(), size=12)
    film = explain(model, load_video(frames), target=1, method="gradient", colour=True)
    assert film.colour is not None
    assert film.colour.shape == (3, 4, 12, 12)
    assert film.colour_image().size == (14, 12)
    pair = explain(model, load_video(frames), target=[0, 1], method="gradient", colour=True)
    pair.colour_figure()
