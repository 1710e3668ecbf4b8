"""The randomisation test: the transforms form a group, p-values are exact, and drops are those of the network."""

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
from camlucida.reliability.confidence import border_test
from camlucida.reliability.position_test import (
    TIE_TOLERANCE,
    blur_images,
    feather,
    pad_to_grid,
    position_test,
    top_pixels,
    transform_group,
)


class Corner(nn.Module):
    """A network whose score of class 1 is the mean brightness of the upper left quarter of the image."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        bright = x[..., : height // 2, : width // 2].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(bright), 4 * bright], 1)


def model_input_of(image: Tensor, network: nn.Module | None = None) -> ModelInput:
    """Return the model input of an image `(3, H, W)` without preprocessing, with class 1 as the target."""
    height, width = image.shape[-2:]
    model = wrap(network or Corner(), size=(height, width), mean=[0.0] * 3, std=[1.0] * 3)
    blank = Item(np.zeros((height, width, 3), dtype=np.uint8), "image")
    model_input = prepare_input(model, blank, None)
    with torch.no_grad():
        logits = model.network(image[None])[0]
    return dataclasses.replace(model_input, inputs=image[None], logits=logits, target=1)


@pytest.mark.parametrize(("shape", "n", "expected"), [((16, 16), 128, 128), ((16, 16), 64, 64), ((16, 16), 32, 32),
    ((16, 24), 128, 64), ((16, 24), 64, 64), ((16, 24), 32, 32)])  # fmt: skip
def test_transforms_form_a_group(shape: tuple[int, int], n: int, expected: int) -> None:
    """As permutations of the pixels they differ, begin with the identity, and are closed under composition."""
    numbered = torch.arange(shape[0] * shape[1]).view(shape)
    permutations = [tuple(transformed.flatten().tolist()) for transformed in transform_group(numbered, n)]
    assert permutations[0] == tuple(numbered.flatten().tolist())
    assert len(set(permutations)) == len(permutations) == expected
    for first, second in itertools.islice(itertools.product(permutations, permutations), 0, None, 7):
        assert tuple(second[i] for i in first) in set(permutations)


def test_p_values_are_exact() -> None:
    """Over all transforms of a map, the fraction with p <= a is at most a, and equal to it without ties."""
    mask = torch.zeros(16, 16, dtype=torch.float64)
    mask[1:5, 2:9] = 1
    mask[5, 2] = 1
    evidence = torch.rand(16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    p_values = []
    for transformed in transform_group(mask):
        drops = torch.stack([(again * evidence).sum() for again in transform_group(transformed)])
        p_values.append(float((drops >= drops[0] - 1e-12).double().mean()))
    for level in (1 / 128, 0.05, 0.1, 0.25, 0.5, 1):
        fraction = float(np.mean(np.array(p_values) <= level + 1e-12))
        assert fraction <= level + 1e-12
        assert fraction == pytest.approx(np.floor(level * 128 + 1e-9) / 128)


def test_score_drops_by_hand() -> None:
    """The reference implementation is a loop over the transforms with one forward pass each."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((3, 16, 16), generator=generator)
    image[:, :6, :6] += 2
    model_input = model_input_of(image)
    map_ = torch.rand((16, 16), generator=generator) + 3 * (image[0] > 1.5)
    result = position_test(model_input, map_)
    assert result is not None
    soft = feather(top_pixels(map_.double(), model_input.random("place")))
    blurred = blur_images(image[None], 2.0, "reflect")[0]
    drops = []
    for transformed in transform_group(soft):
        perturbed = image * (1 - transformed.float()) + blurred * transformed.float()
        after = Corner()(perturbed[None])[0].double().log_softmax(0)[1]
        drops.append(float(Corner()(image[None])[0].double().log_softmax(0)[1] - after))
    np.testing.assert_allclose(result.drops.numpy(), drops, atol=1e-6)
    assert result.drop == pytest.approx(drops[0], abs=1e-6)
    assert result.mean_drop_elsewhere == pytest.approx(np.mean(drops[1:]), abs=1e-6)
    assert result.p == sum(drop >= drops[0] - TIE_TOLERANCE for drop in drops) / 128


def test_p_value_of_a_correct_and_a_wrong_map() -> None:
    image = torch.zeros((3, 32, 32))
    image[:, 2:10, 3:11] = 3.0
    correct_map, wrong_map = torch.zeros(32, 32), torch.zeros(32, 32)
    correct_map[2:10, 3:11], wrong_map[20:28, 18:26] = 1.0, 1.0
    correct, wrong = (position_test(model_input_of(image), map_) for map_ in (correct_map, wrong_map))
    assert correct is not None
    assert wrong is not None
    assert correct.p <= 0.05 < 0.2 < wrong.p
    assert correct.drop > 10 * abs(wrong.drop)


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
    with pytest.raises(MethodError, match="must be 128, 64 or 32, not 100"):
        transform_group(torch.zeros(16, 16), 100)


def test_border_is_the_outer_sixth() -> None:
    """Blurred pixel by pixel; the image is bright in the border only, and the score does not depend on the middle."""
    image = torch.zeros((3, 24, 36))
    image[:, 22:] = 3.0
    model_input = model_input_of(image.flip(1))
    blurred = blur_images(image.flip(1)[None], 3.0, "reflect")[0]
    drops = []
    for blurs_border in (True, False):
        perturbed = image.flip(1).clone()
        for y, x in itertools.product(range(24), range(36)):
            if (y < 4 or y >= 20 or x < 6 or x >= 30) is blurs_border:
                perturbed[:, y, x] = blurred[:, y, x]
        drops.append(float((model_input.logits.log_softmax(0) - Corner()(perturbed[None])[0].log_softmax(0))[1]))
    result = border_test(model_input, (image.flip(1)[0] > 0).float())
    assert (result.edge, result.middle, result.marked) == pytest.approx((*drops, 1.0), abs=1e-6)
    assert result.decides
    inside = torch.zeros(24, 36)
    inside[3:10, 10:20] = 1  # one row of it lies in the border
    middle = border_test(model_input, inside)
    assert middle.marked == pytest.approx(1 / 7)
    assert not middle.decides
    assert not border_test(model_input, None).decides
