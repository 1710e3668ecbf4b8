"""One pass over the images finds, for every channel, the same images as `top_images`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

import camlucida as cl
from camlucida.data import toybox
from camlucida.errors import CamlucidaError, ImageError, LayerError, MethodError
from camlucida.features.top_images_by_channel import ChannelTopImages, channel_top_images

SCENES = [toybox.scene(seed, size=96).picture() for seed in range(9)]


@pytest.fixture(scope="module")
def model() -> Any:
    return cl.load("toybox")


@pytest.mark.parametrize("layer", ["layer1", "layer4"])
def test_it_agrees_with_top_images(model: Any, layer: str) -> None:
    """For channels all over the layer; the next test has every channel of another one."""
    images: list[Any] = [*SCENES[:4], b"broken", *SCENES[4:], SCENES[2], SCENES[0]]  # some are equal
    result = channel_top_images(model, images, layer=layer, n=5)
    for channel in {*range(0, result.channels, 7), result.channels - 1}:
        reference = cl.top_images(model, images, channel=channel, layer=layer, n=5)
        fast = result.top(channel)
        assert [one.strength for one in fast] == [one.strength for one in reference.items]
        assert [one.predicted for one in fast] == [one.predicted for one in reference.items]
        assert (result.layer, result.n_images, len(result.failed)) == (
            reference.layer,
            reference.n_images,
            len(reference.failed),
        )
        for first, other in zip(fast, reference.items, strict=True):
            assert_close(first.map, other.map, rtol=1e-3, atol=1e-4)
            assert float(first.map.max()) == pytest.approx(first.strength, rel=1e-3)
    assert result.channels == reference.channels


def test_by_brute_force(model: Any) -> None:
    maps = torch.stack([cl.activations(model, scene, layer="layer3").maps for scene in SCENES])
    peaks = maps.amax((2, 3))
    result = channel_top_images(model, SCENES, layer="layer3", n=3)
    for channel in range(result.channels):
        expected = sorted(range(len(SCENES)), key=lambda i: (-float(peaks[i, channel]), i))[:3]
        top = result.top(channel)
        assert [one.index for one in top] == expected
        assert_close(torch.tensor([one.strength for one in top]), peaks[expected, channel])
        for first in top:
            assert_close(first.map, maps[first.index, channel], rtol=1e-3, atol=1e-4)


def test_ties_keep_the_first_images(model: Any) -> None:
    result = channel_top_images(model, [SCENES[0]] * 5, layer="layer4", n=3)
    assert all([first.index for first in result.top(channel)] == [0, 1, 2] for channel in range(result.channels))


def test_large_and_negative_activations_survive_half_precision() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    with torch.no_grad():
        network[0].weight[0] *= 1e7
        network[0].bias[1] -= 50
    wrapped = cl.wrap(network, size=32)
    result = channel_top_images(wrapped, SCENES[:3], layer="0", n=3)
    for channel in (0, 1):
        reference = cl.top_images(wrapped, SCENES[:3], channel=channel, layer="0", n=3).items
        for first, other in zip(result.top(channel), reference, strict=True):
            assert first.strength == other.strength
            assert_close(first.map, other.map, rtol=1e-3, atol=1e-3 * float(other.map.abs().max()))


def test_fewer_images_are_kept_where_maps_are_large(model: Any) -> None:
    full = channel_top_images(model, SCENES, layer="layer1", n=6)
    max_bytes = 2 * 24 * 24 * 24 * 4 + 100  # four images of 24 channels of 24 × 24, two bytes each
    small = channel_top_images(model, SCENES, layer="layer1", n=6, max_bytes=max_bytes)
    assert (full.kept, small.kept) == (6, 4)
    assert small.nbytes < full.nbytes
    for channel in range(full.channels):
        assert [o.index for o in small.top(channel)] == [o.index for o in full.top(channel)][:4]
    assert channel_top_images(model, SCENES[:2], layer="layer1", max_bytes=1).kept == 1


def test_progress_callback_can_stop_it_and_bad_arguments_raise(model: Any) -> None:
    calls: list[CamlucidaError | None] = []

    class Enough(Exception):
        pass

    def tick(image: Any, error: CamlucidaError | None) -> None:
        calls.append(error)
        if len(calls) == 3:
            raise Enough

    with pytest.raises(Enough):
        channel_top_images(model, [SCENES[0], b"broken", *SCENES], progress=tick)
    assert calls[0] is None
    assert isinstance(calls[1], ImageError)
    with pytest.raises(MethodError, match="n must be 1 or more images per channel"):
        channel_top_images(model, SCENES, n=0)
    with pytest.raises(LayerError, match="to one layer, not to"):
        channel_top_images(model, SCENES, layer="layer?")
    with pytest.raises(LayerError, match="no layer 'layer9'"):
        channel_top_images(model, SCENES, layer="layer9")
    with pytest.raises(LayerError, match="layer4 has no channel 128"):
        channel_top_images(model, SCENES[:1], layer="layer4").top(128)
    nothing: ChannelTopImages = channel_top_images(model, [b"broken"])
    assert (nothing.top(5), nothing.n_images, len(nothing.failed), nothing.channels) == ((), 0, 1, 0)
