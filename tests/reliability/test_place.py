"""The randomisation test: the moves are a group, p is exact, and the network's answer is what counts."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from camlucida.data.datasets import Item
from camlucida.errors import MethodError
from camlucida.evaluation.model_input import ModelInput, prepare_input
from camlucida.models.load import wrap
from camlucida.reliability import position_test as places
from camlucida.reliability.confidence import border_test
from camlucida.reliability.position_test import (
    TIE_TOLERANCE,
    blur_images,
    pad_to_grid,
    position_test,
    top_pixels,
    transform_group,
)


class Corner(nn.Module):
    """The more of the upper left quarter of the picture is bright, the surer of class 1."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        bright = x[..., : height // 2, : width // 2].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(bright), 4 * bright], 1)


def model_input_of(image: Tensor, network: nn.Module | None = None) -> ModelInput:
    """Of a picture (3, H, W) that the network gets as it is."""
    height, width = image.shape[-2:]
    model = wrap(network or Corner(), size=(height, width), mean=[0.0] * 3, std=[1.0] * 3)
    blank = Item(np.zeros((height, width, 3), dtype=np.uint8), "picture")
    model_input = prepare_input(model, blank, None)
    with torch.no_grad():
        logits = model.network(image[None])[0]
    return dataclasses.replace(model_input, inputs=image[None], logits=logits, target=1)


@pytest.mark.parametrize(("shape", "moves", "count"), [((16, 16), 128, 128), ((16, 16), 64, 64), ((16, 16), 32, 32),
    ((16, 24), 128, 64), ((16, 24), 64, 64), ((16, 24), 32, 32)])  # fmt: skip
def test_transforms_form_a_group(shape: tuple[int, int], moves: int, count: int) -> None:
    """As permutations of the pixels: all different, not moving comes first, and two in a row are one of them."""
    numbered = torch.arange(shape[0] * shape[1]).view(shape)
    result = [tuple(one.flatten().tolist()) for one in transform_group(numbered, moves)]
    assert result[0] == tuple(numbered.flatten().tolist())
    assert len(set(result)) == len(result) == count
    for first, other in itertools.islice(itertools.product(result, result), 0, None, 7):
        assert tuple(other[i] for i in first) in set(result)


def test_p_values_are_exact() -> None:
    """Whatever the numbers: over all the moves of a map the share with p <= a is at most a, and with no ties equal."""
    mask = torch.zeros(16, 16, dtype=torch.float64)
    mask[1:5, 2:9] = 1
    mask[5, 2] = 1
    labels = torch.rand(16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    start, p = transform_group(mask), []
    for transformed in start:
        drops = torch.stack([(first * labels).sum() for first in transform_group(transformed)])
        p.append(float((drops >= drops[0] - 1e-12).double().mean()))
    for level in (1 / 128, 0.05, 0.1, 0.25, 0.5, 1):
        share = float(np.mean(np.array(p) <= level + 1e-12))
        assert share <= level + 1e-12
        assert share == pytest.approx(np.floor(level * 128 + 1e-9) / 128)


def test_score_drops_by_hand() -> None:
    """One loop over the moves, one picture at a time."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((3, 16, 16), generator=generator)
    image[:, :6, :6] += 2
    model_input = model_input_of(image)
    map_ = torch.rand((16, 16), generator=generator) + 3 * (image[0] > 1.5)
    result = position_test(model_input, map_)
    assert result is not None
    soft = places.feather(top_pixels(map_.double(), model_input.random("place")))
    plain = blur_images(image[None], 2.0, "reflect")[0]
    drops = []
    for transformed in transform_group(soft):
        perturbed = image * (1 - transformed.float()) + plain * transformed.float()
        after = Corner()(perturbed[None])[0].double().log_softmax(0)[1]
        drops.append(float(Corner()(image[None])[0].double().log_softmax(0)[1] - after))
    np.testing.assert_allclose(result.drops.numpy(), drops, atol=1e-6)
    assert result.drop == pytest.approx(drops[0], abs=1e-6)
    assert result.mean_drop_elsewhere == pytest.approx(np.mean(drops[1:]), abs=1e-6)
    assert result.p == sum(drop >= drops[0] - TIE_TOLERANCE for drop in drops) / 128


def test_p_value_of_a_right_and_a_wrong_map() -> None:
    image = torch.zeros((3, 32, 32))
    image[:, 2:10, 3:11] = 3.0
    there, elsewhere = torch.zeros(32, 32), torch.zeros(32, 32)
    there[2:10, 3:11], elsewhere[20:28, 18:26] = 1.0, 1.0
    right, wrong = position_test(model_input_of(image), there), position_test(model_input_of(image), elsewhere)
    assert right is not None
    assert wrong is not None
    assert right.p <= 0.05 < 0.2 < wrong.p
    assert right.drop > 10 * abs(wrong.drop)


def test_top_pixels_break_ties_at_random() -> None:
    distinct = torch.arange(100.0).view(10, 10)[torch.randperm(10)]
    assert torch.equal(top_pixels(distinct, torch.Generator()) > 0, distinct >= 80)
    flat = torch.zeros(10, 10)
    first, second = (top_pixels(flat, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert float(first.sum()) == float(second.sum()) == 20
    assert not torch.equal(first, second)


@pytest.mark.parametrize("map_", [torch.zeros(16, 16), torch.full((16, 16), torch.nan), torch.full((16, 16), 3.0)])
def test_constant_and_nan_maps_are_not_tested(map_: Tensor) -> None:
    assert position_test(model_input_of(torch.rand(3, 16, 16)), map_) is None


def test_sizes_not_divisible_by_four() -> None:
    assert pad_to_grid(torch.rand(13, 18)).shape == (16, 20)
    assert pad_to_grid(torch.rand(16, 20)).shape == (16, 20)
    result = position_test(model_input_of(torch.rand(3, 13, 18)), torch.rand(13, 18))
    assert result is not None
    assert len(result.drops) == 64
    assert result.highlighted.shape == (13, 18)


def test_blur_keeps_means_and_constants() -> None:
    image = torch.rand((1, 2, 20, 24), dtype=torch.float64)
    torch.testing.assert_close(blur_images(image, 2.0, "circular").mean((2, 3)), image.mean((2, 3)))
    torch.testing.assert_close(blur_images(torch.ones(1, 1, 9, 9), 3.0, "reflect"), torch.ones(1, 1, 9, 9))


def test_invalid_number_of_transforms() -> None:
    with pytest.raises(MethodError, match="128, 64 or 32, not 100"):
        transform_group(torch.zeros(16, 16), 100)


def test_border_is_the_outer_sixth() -> None:
    """By hand, one pixel after the other; bright at the lower edge only, the middle does not count."""
    image = torch.zeros((3, 24, 36))
    image[:, 22:] = 3.0
    model_input = model_input_of(image.flip(1))
    plain = blur_images(image.flip(1)[None], 3.0, "reflect")[0]
    drops = []
    for expected in (True, False):
        perturbed = image.flip(1).clone()
        for y, x in itertools.product(range(24), range(36)):
            if (y < 4 or y >= 20 or x < 6 or x >= 30) is expected:
                perturbed[:, y, x] = plain[:, y, x]
        drops.append(float((model_input.logits.log_softmax(0) - Corner()(perturbed[None])[0].log_softmax(0))[1]))
    result = border_test(model_input, (image.flip(1)[0] > 0).float())
    assert (result.edge, result.middle, result.marked) == pytest.approx((*drops, 1.0), abs=1e-6)
    assert result.decides
    inside = torch.zeros(24, 36)
    inside[3:10, 10:20] = 1  # a row of it reaches into the edge: what the map marks is not the edge
    beside = border_test(model_input, inside)
    assert beside.marked == pytest.approx(1 / 7)
    assert not beside.decides
    assert not border_test(model_input, None).decides
