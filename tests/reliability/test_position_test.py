"""The randomisation test: the transforms form a group, p-values are exact, and statistics are those of a loop."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from scipy.stats import kstest
from torch import Tensor, nn

from camlucida.data.datasets import Item
from camlucida.errors import MethodError
from camlucida.evaluation.model_input import ModelInput, prepare_input
from camlucida.models.load import wrap
from camlucida.reliability.confidence import border_test
from camlucida.reliability.position_test import (
    WINDOW_KINDS,
    blur_drops,
    blur_images,
    blurred_areas,
    cell_weights,
    feather,
    position_test,
    top_pixels,
    transform_group,
    weighted_importance,
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


@pytest.mark.parametrize(
    ("side", "square", "expected"), [(6, True, 288), (6, False, 144), (4, True, 128), (4, False, 64)]
)
def test_transforms_form_a_group(side: int, square: bool, expected: int) -> None:
    """As permutations of the cells they differ, begin with the identity, and are closed under composition."""
    numbered = torch.arange(side * side).view(side, side)
    permutations = [tuple(transformed.flatten().tolist()) for transformed in transform_group(numbered, square=square)]
    known = set(permutations)
    assert permutations[0] == tuple(numbered.flatten().tolist())
    assert len(known) == len(permutations) == expected
    for first, second in itertools.islice(itertools.product(permutations, permutations), 0, None, 37):
        assert tuple(second[i] for i in first) in known


def test_p_values_are_exact() -> None:
    """Over all transforms of a map, the fraction with p <= a is at most a, and equal to it without ties."""
    generator = torch.Generator().manual_seed(3)
    weights, importance = (torch.rand(6, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    p_values = []
    for transformed in transform_group(weights):
        statistics = weighted_importance(transformed, importance, square=True)
        p_values.append(float((statistics >= statistics[0] - 1e-12).double().mean()))
    assert sorted(p_values) == pytest.approx([k / 288 for k in range(1, 289)])


def test_p_values_of_random_maps_are_uniform() -> None:
    """Maps that are as likely as their copies, of an image with a bright square: a simulation with a toy network."""
    image = torch.zeros((3, 24, 24))
    image[:, 2:9, 3:10] = 3.0
    model_input, generator = model_input_of(image), torch.Generator().manual_seed(0)
    tested = position_test(model_input, torch.rand(24, 24, generator=generator))
    assert tested is not None
    p_values = []
    for _ in range(400):
        white = torch.randn((1, 1, 24, 24), generator=generator, dtype=torch.float64)
        weights = cell_weights(blur_images(white, 3.0, "circular")[0, 0], 6)
        statistics = weighted_importance(weights, tested.importance, square=True)
        p_values.append(dataclasses.replace(tested, statistics=statistics).p)
    assert kstest(p_values, "uniform").pvalue > 0.001
    assert np.mean(np.array(p_values) <= 0.05) <= 0.08  # 0.0486 is expected, with a standard error of 0.011


@pytest.mark.parametrize("shape", [(24, 24), (13, 18)])
def test_statistics_by_hand(shape: tuple[int, int]) -> None:
    """The reference implementation is a loop over windows, pixels and transforms with one forward pass each."""
    generator, side, (height, width) = torch.Generator().manual_seed(0), 4, shape
    image = torch.rand((3, *shape), generator=generator)
    image[:, :6, :6] += 2
    map_ = torch.rand(shape, generator=generator, dtype=torch.float64) + 3 * (image[0] > 1.5)
    model_input = model_input_of(image)
    result = position_test(model_input, map_, n_windows=side * side)
    assert result is not None
    blurred = blur_images(image[None], min(shape) / 8, "reflect")[0]

    def score(mask: Tensor) -> tuple[float, float]:
        """Return the log-probability and the logit with a region blurred."""
        logits = Corner()((image * (1 - mask) + blurred * mask)[None])[0].double()
        return float(logits.softmax(0)[1].log()), float(logits[1])

    before, importance = score(torch.zeros(shape)), np.zeros((side, side))
    window_drops = np.zeros((side, side))
    for perturbation, area in WINDOW_KINDS:
        changes = np.zeros((side, side))
        for row, column in itertools.product(range(side), repeat=2):
            mask = torch.zeros(shape)
            distances = {
                (y, x): np.hypot((y + 0.5) / height - (row + 0.5) / side, (x + 0.5) / width - (column + 0.5) / side)
                for y, x in itertools.product(range(height), range(width))
            }
            radius = sorted(distances.values())[round(area * height * width) - 1]
            for pixel, distance in distances.items():
                mask[pixel] = 1 / (1 + np.exp(-64 * (radius - distance)))
            log_probability, logit = score(mask if perturbation == "deletion" else 1 - mask)
            changes[row, column] = before[1] - logit if perturbation == "deletion" else logit - before[1]
            if (perturbation, area) == ("deletion", 0.2):
                window_drops[row, column] = before[0] - log_probability
        importance += (changes - changes.mean()) / changes.std()
    fine = (map_ - map_.min()).numpy().repeat(side, 0).repeat(side, 1)  # pixels of the cells' edges are divided exactly
    weights = fine.reshape(side, height, side, width).sum((1, 3)) / fine.sum()
    turns = (0, 1, 2, 3) if height == width else (0, 2)
    statistics = []
    for turn, mirrored, down, across in itertools.product(turns, (False, True), range(side), range(side)):
        turned = np.rot90(weights, turn)
        turned = turned[:, ::-1] if mirrored else turned
        shifted = [[turned[(r - down) % side, (c - across) % side] for c in range(side)] for r in range(side)]
        statistics.append(float((np.array(shifted) * importance).sum()))
    np.testing.assert_allclose(result.importance.numpy(), importance, atol=1e-3)
    np.testing.assert_allclose(result.statistics.numpy(), statistics, atol=1e-3)
    np.testing.assert_allclose(result.window_drops.numpy(), window_drops, atol=1e-5)
    assert result.statistic == result.statistics[0]
    assert result.mean_drop_elsewhere == pytest.approx(window_drops.mean(), abs=1e-5)
    assert result.p == sum(value >= statistics[0] - 1e-9 for value in statistics) / len(statistics)
    soft = feather(top_pixels(map_, model_input.random("place"))).float()
    assert result.drop == pytest.approx(before[0] - score(soft)[0], abs=1e-5)
    np.testing.assert_allclose(blur_drops(model_input, soft[None]).item(), result.drop, atol=1e-6)


def test_equal_copies_count_as_equal() -> None:
    """A round map in the middle equals eight of its copies, up to rounding; without any effect all copies are equal."""
    distance = (torch.arange(24, dtype=torch.float64) - 11.5).square() / 24
    centred = (-distance[:, None] - distance).exp()
    image = torch.rand((3, 24, 24), generator=torch.Generator().manual_seed(0))
    result = position_test(model_input_of(image), centred)
    assert result is not None
    assert (result.p * 288) % 8 == pytest.approx(0)
    ignores = position_test(model_input_of(torch.full((3, 24, 24), 0.5)), centred)
    assert ignores is not None
    assert (ignores.p, float(ignores.importance.abs().max())) == (1, 0)


@pytest.mark.parametrize("shape", [(48, 96), (60, 60)])
def test_windows_have_one_area_and_are_in_one_piece(shape: tuple[int, int]) -> None:
    """At the border, too: there the window lies on its own side of the image, and nothing on the opposite side."""
    for perturbation, area in WINDOW_KINDS:
        masks = blurred_areas(*shape, 6, (perturbation, area))
        inside = masks if perturbation == "deletion" else 1 - masks
        expected = torch.full((36,), area, dtype=torch.float64)
        torch.testing.assert_close(inside.mean((1, 2)), expected, atol=0.01, rtol=0)
        assert all(label(window.numpy() > 0.5)[1] == 1 for window in inside)
        corner = inside[0]
        assert float(corner[0, 0]) > 0.99
        assert float(max(corner[-1].max(), corner[:, -1].max())) < 0.01


@pytest.mark.parametrize("n_better", range(9))
def test_p_value_of_a_single_cell_in_closed_form(n_better: int) -> None:
    """In a grid of 3 by 3 cells, each cell is the image of any other under 8 of the 72 transforms."""
    importance = torch.arange(9, dtype=torch.float64).view(3, 3)
    weights = torch.zeros(9, dtype=torch.float64)
    weights[8 - n_better] = 1
    statistics = weighted_importance(weights.view(3, 3), importance, square=True)
    assert len(statistics) == 72
    assert float((statistics >= statistics[0]).double().mean()) == pytest.approx((n_better + 1) / 9)


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


def test_blur_keeps_means_and_constants() -> None:
    image = torch.rand((1, 2, 20, 24), dtype=torch.float64)
    torch.testing.assert_close(blur_images(image, 2.0, "circular").mean((2, 3)), image.mean((2, 3)))
    torch.testing.assert_close(blur_images(torch.ones(1, 1, 9, 9), 3.0, "reflect"), torch.ones(1, 1, 9, 9))


def test_invalid_number_of_windows() -> None:
    with pytest.raises(MethodError, match="must be 36 or 16, not 100"):
        position_test(model_input_of(torch.rand(3, 16, 16)), torch.rand(16, 16), n_windows=100)


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
