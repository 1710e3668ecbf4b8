"""What people paste from other libraries and notebooks: modules as layers, tensors without a batch, lists, bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.errors import CamlucidaError, ImageError, LayerError, TargetError
from camlucida.maps import upsample


def network(channels: int = 3, classes: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Conv2d(c, d, 3, 2, 1), nn.BatchNorm2d(d), nn.ReLU()) for c, d in ((channels, 6), (6, 8))]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)).eval()


NET = network()
INPUTS = torch.randn(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
MODEL = cl.wrap(NET, size=32, labels=["a", "b", "c"])


# --- layers as modules ---


def test_a_module_is_its_name() -> None:
    for method in ("grad_cam", "ablation_cam"):
        by_name = cl.attribute(NET, INPUTS, target=1, layer="1", method=method)
        assert torch.equal(cl.attribute(NET, INPUTS, target=1, layer=NET[1], method=method), by_name)
        assert torch.equal(cl.attribute(MODEL, INPUTS, target=1, layer=NET[1], method=method), by_name)


def test_a_list_of_modules() -> None:
    maps = cl.attribute(NET, INPUTS, target=1, layer=[NET[0], NET[1][0]])
    assert list(maps) == ["0", "1.0"]
    assert torch.equal(maps["0"], cl.attribute(NET, INPUTS, target=1, layer="0"))


@pytest.mark.parametrize(
    "around",
    [nn.DataParallel, torch.compile, lambda net: torch.compile(nn.DataParallel(net))],
    ids=["parallel", "compiled", "both"],
)
def test_a_module_inside_of_a_wrapper(around: Any) -> None:
    wanted = cl.attribute(NET, INPUTS, target=1, layer="0")
    assert torch.equal(cl.attribute(around(NET), INPUTS, target=1, layer=NET[0]), wanted)


def test_modules_at_every_door() -> None:
    layer = NET[0]
    explanation = cl.explain(MODEL, PHOTO, layer=layer)
    assert explanation.layer == "0"
    assert [e.layer for _, e in cl.explain_each(MODEL, [PHOTO], layer=layer)] == ["0"]
    assert [e.layer for e in cl.explain(MODEL, PHOTO, layer=[NET[0], NET[1]])] == ["0", "1"]
    trusted = cl.trust(MODEL, PHOTO, layer=layer, n_windows=16)
    assert trusted.layer == "0"
    assert_close(trusted.map, cl.trust(MODEL, PHOTO, layer="0", n_windows=16).map)
    assert cl.activations(MODEL, PHOTO, layer=layer).layer == "0"
    assert cl.top_images(MODEL, [PHOTO], channel=1, layer=layer).layer == "0"
    named = cl.sanity(MODEL, [PHOTO], methods=["grad_cam"], checks=["random_logit"], layer="0")
    assert cl.sanity(MODEL, [PHOTO], methods=["grad_cam"], checks=["random_logit"], layer=layer).steps == named.steps


def test_modules_in_an_evaluation() -> None:
    data = cl.open_dataset("toybox")
    result = cl.evaluate(MODEL, data, methods=["grad_cam"], metrics=["entropy"], layer=[NET[0], NET[1]], limit=1)
    assert {"grad_cam @ 0", "grad_cam @ 1"} <= set(result.methods)


def test_a_module_as_the_default() -> None:
    assert cl.wrap(NET, layer=NET[0]).layer == "0"
    assert cl.explain(cl.wrap(NET, size=32, layer=NET[0]), PHOTO).layer == "0"


def test_modules_that_are_none_of_the_network() -> None:
    for layer, sentence in ((network()[0], "no module of this Sequential"), (NET, "the network itself")):
        for ask in (cl.attribute, cl.explain):
            with pytest.raises(LayerError, match=sentence):
                ask(NET, INPUTS if ask is cl.attribute else PHOTO, layer=layer)
    with pytest.raises(LayerError, match=r"layer= here: layer=network.layer4"):
        cl.attribute(NET, INPUTS, target=1, target_layers=[NET[0]])


# --- tensors ---


def test_an_image_without_a_batch_axis() -> None:
    assert torch.equal(cl.attribute(NET, INPUTS[0], target=1), cl.attribute(NET, INPUTS[:1], target=1))
    assert cl.attribute(NET, INPUTS[0], target=1, method="rise", n=8).shape[0] == 1


class Spectrogram(nn.Module):
    """Takes (b, bands, time), so that one spectrogram is a batch, not an image."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network(1)

    def forward(self, x: Tensor) -> Tensor:
        assert x.ndim == 3
        return self.net(x[:, None])


def test_a_network_that_takes_three_axes() -> None:
    with pytest.raises(ImageError, match=r"2×32×40 has no batch axis.*it raised AssertionError"):
        cl.attribute(Spectrogram().eval(), INPUTS[:, 0], target=1)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (INPUTS[0].permute(1, 2, 0), r"40×3 has no batch axis.*come last: pass tensor.permute\(2, 0, 1\)"),
        ((INPUTS[0] * 9).to(torch.uint8), "floating-point"),
        (INPUTS[0] * float("nan"), "NaN"),
        (np.zeros((2, 3, 32, 40), np.float32), "no tensor"),
        ("photo.jpg", "no tensor"),
        (PHOTO, "no tensor"),
    ],
)
def test_what_is_no_network_input(inputs: Any, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        cl.attribute(NET, inputs, target=1)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, image: Tensor, offset: Tensor) -> Tensor:
        return self.net(image + offset[:, :, None, None])


class OneList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, images: list[Tensor]) -> Tensor:
        return self.net(images[0] + 2 * images[1])


def test_a_list_for_several_arguments() -> None:
    net, offset = TwoInputs().eval(), torch.ones(2, 3)
    wanted = cl.attribute(net.net, INPUTS + 1, target=1)
    assert_close(cl.attribute(net, [INPUTS, offset], target=1), wanted)
    assert_close(cl.attribute(net, (INPUTS, offset), target=1), wanted)
    assert_close(cl.attribute(NET, [INPUTS], target=1), cl.attribute(NET, INPUTS, target=1))


def test_a_list_that_is_one_argument() -> None:
    wanted = cl.attribute(NET, 3 * INPUTS, target=1, layer="1")
    assert_close(cl.attribute(OneList().eval(), [INPUTS, INPUTS], target=1, layer="net.1"), wanted)


def test_tensors_are_explained_as_they_are() -> None:
    maps = cl.attribute(MODEL, INPUTS, target=1)
    one = cl.explain(MODEL, INPUTS[0], target=1)
    assert isinstance(one, Explanation)
    assert_close(one.map, maps[0])
    assert one.heatmap.shape == (32, 40)
    batch = cl.explain(MODEL, INPUTS, target=1)
    assert [e.source for e in batch] == ["Tensor[0]", "Tensor[1]"]
    for explanation, map_ in zip(batch, maps, strict=True):
        assert_close(explanation.map, map_)
    assert [e.map.equal(o.map) for (_, e), o in zip(cl.explain_each(MODEL, INPUTS, target=1), batch, strict=True)]


def test_a_tensor_is_displayed_without_its_normalisation() -> None:
    inputs, _ = MODEL.preprocessing(PHOTO)
    shown = np.asarray(cl.explain(MODEL, inputs).image).astype(int)
    wanted = np.asarray(MODEL.preprocessing.resize_and_place(PHOTO)[0]).astype(int)
    assert np.abs(shown - wanted).max() <= 1


def test_sets_and_targets_of_a_batch() -> None:
    several = cl.explain(MODEL, INPUTS, target=["a", "b"])
    assert all(isinstance(item, ExplanationSet) and len(item) == 2 for item in several)
    each = cl.explain(MODEL, INPUTS, target=torch.tensor([2, 0]))
    assert [e.index for e in each] == [2, 0]
    assert_close(each[1].map, cl.attribute(MODEL, INPUTS[1:], target=0)[0])
    with pytest.raises(TargetError, match="3 target indices for a batch of 2 images"):
        cl.explain(MODEL, INPUTS, target=torch.tensor([2, 0, 1]))


def test_tensors_at_the_other_doors() -> None:
    tensor = INPUTS[0]
    explanation = cl.explain(MODEL, tensor)
    wanted = upsample(explanation.map[None], (32, 40))[0]
    assert_close(cl.trust(MODEL, explanation, n_windows=16).map, wanted)
    assert_close(cl.trust(MODEL, tensor, n_windows=16).map, wanted)
    with torch.no_grad():
        assert_close(cl.activations(MODEL, tensor, layer="0").maps, NET[0](tensor[None])[0])


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (torch.zeros(32, 40), "not one image"),
        (torch.zeros(32, 40, 3), r"come last: tensor.permute\(2, 0, 1\)"),
        (torch.zeros(4, 32, 40), "4 channels"),
        (torch.zeros(3, 32, 40, dtype=torch.uint8), "pass floats"),
        (torch.full((3, 32, 40), float("inf")), "infinite"),
    ],
)
def test_tensors_that_cannot_be_explained(image: Tensor, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        cl.explain(MODEL, image)


# --- bands ---


@pytest.mark.parametrize("bands", [2, 4, 8, 12])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_multispectral_images(bands: int, dtype: Any) -> None:
    values = np.random.default_rng(3).random((32, 32, bands))
    largest = 1 if dtype is np.float32 else np.iinfo(dtype).max
    array = (values * largest).astype(dtype)
    mean, std = np.full(bands, 0.4), np.linspace(0.1, 0.5, bands)
    model = cl.wrap(network(bands), size=32, mean=mean, std=std, labels=["a", "b", "c"])
    explanation = cl.explain(model, array, target=1)
    inputs = torch.from_numpy((array.astype(np.float64) / largest - mean) / std).permute(2, 0, 1).float()
    assert_close(explanation.map, cl.attribute(model, inputs[None], target=1)[0], atol=1e-5, rtol=1e-4)
    shown = np.asarray(explanation.image) / 255
    wanted = array[:, :, :3] / largest if bands > 2 else np.repeat(array[:, :, :1] / largest, 3, axis=2)
    assert np.abs(shown - wanted).max() < 0.003
    assert explanation.panel().size[0] > 100


def test_bands_at_the_other_doors() -> None:
    array = np.random.default_rng(3).integers(0, 256, (40, 50, 8), dtype=np.uint8)
    model = cl.wrap(network(8), size=32, mean=[0.5] * 8, std=[0.2] * 8, labels=["a", "b", "c"])
    explanation = cl.explain(model, array)
    trusted = cl.trust(model, explanation, n_windows=16)
    assert_close(trusted.map, upsample(explanation.map[None], (32, 32))[0])
    assert_close(trusted.map, cl.trust(model, array, n_windows=16).map)
    assert trusted.panel().mode == "RGB"
    assert cl.activations(model, array).maps.shape[0] == 8
    assert len(cl.concepts(model, [array], k=2).classes) == 2
    assert cl.sanity(model, [array], methods=["grad_cam"], checks=["random_logit"]).steps
    for method in ("occlusion", "lime", "integrated_gradients"):
        cl.explain(model, array, method=method)


def test_four_bands_are_no_transparency() -> None:
    """Near infrared is the fourth band of a network of four channels, and a transparency for one of three."""
    array = np.full((32, 32, 4), 200, np.uint8)
    array[:, :, 3] = 0
    four = cl.wrap(network(4), size=32, mean=[0.0] * 4, std=[1.0] * 4)
    assert np.asarray(cl.explain(four, array).image)[0, 0].tolist() == [200] * 3
    assert np.asarray(cl.explain(MODEL, array).image)[0, 0].tolist() == [255] * 3
    assert torch.equal(cl.explain(four, Image.fromarray(array)).map, cl.explain(four, array).map)


@pytest.mark.parametrize(
    ("channels", "image", "sentence"),
    [
        (8, PHOTO, "8 channels"),
        (8, np.zeros((8, 32, 32), np.uint8), "8 channels"),
        (8, np.zeros((32, 32, 8), np.int64), "no known range"),
        (8, np.full((32, 32, 8), 3.0), "must be in"),
        (3, np.zeros((32, 32, 8), np.uint8), "mean= and std= of 8 numbers"),
    ],
)
def test_other_bands_than_the_networks(channels: int, image: Any, sentence: str) -> None:
    model = cl.wrap(network(channels), size=32, mean=[0.5] * channels, std=[0.2] * channels)
    with pytest.raises(CamlucidaError, match=sentence):
        cl.explain(model, image)
