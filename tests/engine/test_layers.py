"""Does a layer's name mean what a user means, and is the default a sensible one?"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from camlucida.engine import candidates, copy_of, default_layer, resolve
from camlucida.errors import LayerError


def conv(into: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(into, out, 3, stride, 1), nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class Block(nn.Module):
    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, out, 3, stride, 1), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1), nn.BatchNorm2d(out)
        self.skip = nn.Conv2d(into, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.skip(x)
        result: Tensor = self.relu(out)
        return result


class Residual(nn.Module):
    """Built like a ResNet: stem, three stages of two blocks, average, linear; a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 4)
        self.layer1 = nn.Sequential(Block(4, 4), Block(4, 4))
        self.layer2 = nn.Sequential(Block(4, 6, 2), Block(6, 6))
        self.layer3 = nn.Sequential(Block(6, 8, 2), Block(8, 8))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)
        self.auxiliary = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        if self.training:
            x = self.auxiliary(x)
        return self.fc(self.avgpool(x).flatten(1))


IMAGES = torch.linspace(-1, 1, 3 * 32 * 32).sin().mul(99).sin().reshape(1, 3, 32, 32)


def names(network: nn.Module, *specs: Any, images: Tensor = IMAGES) -> list[str]:
    return [layer.name for layer in resolve(copy_of(network), images, specs)]


def refused(network: nn.Module, spec: Any) -> str:
    with pytest.raises(LayerError) as caught:
        resolve(copy_of(network), IMAGES, [spec])
    return str(caught.value)


# --- what a user types --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("layer2", ["layer2"]),
        ("layer2.0.conv1", ["layer2.0.conv1"]),
        ("layer?", ["layer1", "layer2", "layer3"]),
        ("layer[13]", ["layer1", "layer3"]),
        ("layer3.*", ["layer3.0", "layer3.1"]),
        ("layer*", ["layer1", "layer2", "layer3"]),
        ("layer?.1.bn2", ["layer1.1.bn2", "layer2.1.bn2", "layer3.1.bn2"]),
        ("*.1.skip", ["layer1.1.skip", "layer2.1.skip", "layer3.1.skip"]),
        ("*", ["stem", "layer1", "layer2", "layer3"]),
        ("all", ["stem", "layer1", "layer2", "layer3"]),
        (0, ["stem"]),
        (-1, ["layer3"]),
        ("-1", ["layer3"]),
        ("2", ["layer2"]),
        (None, ["layer3"]),
    ],
)
def test_specs(spec: Any, expected: list[str]) -> None:
    assert names(Residual(), spec) == expected


def test_several_specs_keep_their_order_and_do_not_repeat() -> None:
    assert names(Residual(), "layer3", "layer?", "stem", None, -1) == ["layer3", "layer1", "layer2", "stem"]


def test_a_module_called_twice_has_call_numbers() -> None:
    network = Residual()
    (bare,) = resolve(copy_of(network), IMAGES, ["layer1.0.relu"])
    assert (bare.call, bare.n_calls, bare.label) == (2, 2, "layer1.0.relu (call 2 of 2)")
    (early,) = resolve(copy_of(network), IMAGES, ["layer1.0.relu#1"])
    assert (early.name, early.call, early.label) == ("layer1.0.relu#1", 1, "layer1.0.relu#1 (call 1 of 2)")
    (first_maps,) = resolve(copy_of(network), IMAGES, ["layer1.0.bn1"])
    assert (first_maps.n_calls, first_maps.label) == (1, "layer1.0.bn1")


def test_the_grid_is_known_beforehand() -> None:
    layers = resolve(copy_of(Residual()), IMAGES[..., :20], ["layer?"])
    assert [layer.grid for layer in layers] == [(32, 20), (16, 10), (8, 5)]


def test_a_number_that_is_also_a_name() -> None:
    """In a bare Sequential the children are called 0, 1, 2: a string is the name first."""
    network = nn.Sequential(conv(3, 4), conv(4, 4), conv(4, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    assert names(network, "1") == ["1"]
    assert names(network, "2") == ["2"]
    assert names(network, -1) == ["2"]


# --- what cannot be done says why ---------------------------------------------------------------------------


def test_near_misses_are_offered() -> None:
    assert "Did you mean 'layer3'" in refused(Residual(), "layr3")
    assert "'layer3.1.conv2'" in refused(Residual(), "layer3.1.conv3")
    message = refused(Residual(), "zzz")
    assert "no layer 'zzz' in Residual" in message
    assert "Did you mean" not in message
    assert "Suitable layers: stem, layer1, layer2, layer3." in message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (9, "no layer at index 9: there are 4 candidates, 0 stem, 1 layer1, 2 layer2, 3 layer3"),
        (-5, "no layer at index -5"),
        ("layer9*", r"no layer with a spatial grid matches 'layer9*'"),
        ("conv?", "a * matches within one part of a name"),
        ("layer1.0.relu#3", "'layer1.0.relu' is called 2 times: there is no call #3"),
        ("layer1.0.relu#0", "there is no call #0"),
        ("layer1.0.relu#x", "there is no call #x"),
        ("auxiliary", "'auxiliary' was not called while Residual ran"),
        ("", "no layer ''"),
    ],
)
def test_refusals(spec: Any, words: str) -> None:
    assert words in refused(Residual(), spec)


def test_a_image_that_is_too_small_for_a_grid() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(
        LayerError, match=r"no layer of Sequential returns a spatial grid.*\(8, 8\) pixels.*larger image"
    ):
        default_layer(copy_of(network), torch.randn(1, 3, 8, 8))
    assert candidates(copy_of(network), torch.randn(1, 3, 8, 8)) == []


def test_inputs_that_hold_no_image() -> None:
    network = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(LayerError, match=r"must hold a batch of images \(b, c, h, w\), volumes.*, but it is \(2, 4\)"):
        default_layer(copy_of(network), torch.randn(2, 4))


# --- the default --------------------------------------------------------------------------------------------


def default(network: nn.Module, images: Tensor = IMAGES) -> str:
    return default_layer(copy_of(network), images).name


def test_vgg_like_ends_before_the_pool() -> None:
    features = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(True),
        nn.MaxPool2d(2),
    )
    network = nn.Sequential(
        OrderedDict(
            features=features, flat=nn.Flatten(), head=nn.Sequential(nn.Linear(294, 8), nn.ReLU(), nn.Linear(8, 3))
        )
    )
    assert default(network) == "features.4"
    assert names(network, "all") == ["features.1", "features.4"]


def test_a_class_map_is_an_output_already() -> None:
    """As SqueezeNet: the last convolution has one channel a class; what it is made of explains it."""
    network = nn.Sequential(
        OrderedDict(
            features=conv(3, 6, 2),
            more=conv(6, 8, 2),
            classify=nn.Conv2d(8, 5, 1),
            relu=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
        )
    )
    assert default(network) == "more"


class ClassToken(nn.Module):
    def __init__(self, read: str) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.blocks = nn.Sequential(*(AttentionBlock() for _ in range(3)))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = self.norm(self.blocks(torch.cat([self.token.expand(len(x), -1, -1), x], 1)))
        return self.head(x[:, 0] if self.read == "class" else x[:, 1:].mean(1))


class AttentionBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attn(y, y, y)[0]
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


def test_transformers() -> None:
    """Of what comes after the last attention only the class token is read: it has no position in the image."""
    assert default(ClassToken("class")) == "blocks.2.norm1"
    assert default(ClassToken("mean")) == "norm"
    assert names(ClassToken("class"), "all") == ["blocks.0", "blocks.1", "blocks.2.norm1"]


def test_a_head_of_zeros_hides_nothing() -> None:
    """A freshly made head may be all zero; the answer depends on what enters it all the same."""
    network = Residual()
    nn.init.zeros_(network.fc.weight)
    assert default(network) == "layer3"


def test_a_image_of_one_colour_hides_nothing() -> None:
    assert default(Residual(), torch.zeros(1, 3, 32, 32)) == "layer3"


def test_a_softmax_over_tokens_is_no_grid() -> None:
    """(b, heads, t, t) is as square as the image, but its positions are pairs of tokens."""

    class Attending(ClassToken):
        def __init__(self) -> None:
            super().__init__("class")
            self.softmax, self.last = nn.Softmax(-1), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x).flatten(2).transpose(1, 2)
            x = self.blocks(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
            heads = x.unflatten(2, (2, 4)).transpose(1, 2)
            weights = self.softmax(heads @ heads.transpose(2, 3))
            return self.head((weights @ heads).transpose(1, 2).flatten(2)[:, 0])

    assert default(Attending()) == "blocks"


def test_a_map_given_out_beside_the_pooled_one_that_is_read() -> None:
    """As in transformers: the backbone returns its map and the mean of it, the head reads the mean."""

    class Backbone(Residual):
        def forward(self, x: Tensor) -> Any:
            x = self.layer3(self.layer2(self.layer1(self.stem(x))))
            return {"map": x, "pooled": self.avgpool(x).flatten(1)}

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = Backbone(), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.head(self.backbone(x)["pooled"])
            return result

    assert default(Classifier()) == "backbone.layer3"


def test_a_layer_without_influence_is_not_the_default() -> None:
    class Sidetracked(Residual):
        def forward(self, x: Tensor) -> Tensor:
            result = super().forward(x)
            self.auxiliary(self.layer3(self.layer2(self.layer1(self.stem(x)))))
            return result

    assert default(Sidetracked()) == "layer3#1"


def test_the_default_does_not_depend_on_the_batch() -> None:
    for network in (Residual(), ClassToken("class")):
        assert default(network, IMAGES.expand(3, -1, -1, -1)) == default(network)
