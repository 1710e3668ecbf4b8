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
from camlucida.model_input import Sight, look
from camlucida.models.load import wrap
from camlucida.trusting import place as places
from camlucida.trusting.certainty import edge
from camlucida.trusting.place import SAME, blurred, canvas, group, place, top


class Corner(nn.Module):
    """The more of the upper left quarter of the picture is bright, the surer of class 1."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        bright = x[..., : height // 2, : width // 2].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(bright), 4 * bright], 1)


def sight_of(picture: Tensor, network: nn.Module | None = None) -> Sight:
    """Of a picture (3, H, W) that the network gets as it is."""
    height, width = picture.shape[-2:]
    model = wrap(network or Corner(), size=(height, width), mean=[0.0] * 3, std=[1.0] * 3)
    blank = Item(np.zeros((height, width, 3), dtype=np.uint8), "picture")
    sight = look(model, blank, None)
    with torch.no_grad():
        logits = model.network(picture[None])[0]
    return dataclasses.replace(sight, inputs=picture[None], logits=logits, target=1)


@pytest.mark.parametrize(("shape", "moves", "count"), [((16, 16), 128, 128), ((16, 16), 64, 64), ((16, 16), 32, 32),
    ((16, 24), 128, 64), ((16, 24), 64, 64), ((16, 24), 32, 32)])  # fmt: skip
def test_moves_are_a_group(shape: tuple[int, int], moves: int, count: int) -> None:
    """As permutations of the pixels: all different, not moving comes first, and two in a row are one of them."""
    numbered = torch.arange(shape[0] * shape[1]).view(shape)
    found = [tuple(one.flatten().tolist()) for one in group(numbered, moves)]
    assert found[0] == tuple(numbered.flatten().tolist())
    assert len(set(found)) == len(found) == count
    for one, other in itertools.islice(itertools.product(found, found), 0, None, 7):
        assert tuple(other[i] for i in one) in set(found)


def test_the_test_is_exact_by_enumeration() -> None:
    """Whatever the numbers: over all the moves of a map the share with p <= a is at most a, and with no ties equal."""
    mask = torch.zeros(16, 16, dtype=torch.float64)
    mask[1:5, 2:9] = 1
    mask[5, 2] = 1
    truth = torch.rand(16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    start, p = group(mask), []
    for moved in start:
        falls = torch.stack([(one * truth).sum() for one in group(moved)])
        p.append(float((falls >= falls[0] - 1e-12).double().mean()))
    for level in (1 / 128, 0.05, 0.1, 0.25, 0.5, 1):
        share = float(np.mean(np.array(p) <= level + 1e-12))
        assert share <= level + 1e-12
        assert share == pytest.approx(np.floor(level * 128 + 1e-9) / 128)


def test_falls_by_hand() -> None:
    """One loop over the moves, one picture at a time."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand((3, 16, 16), generator=generator)
    picture[:, :6, :6] += 2
    sight = sight_of(picture)
    map_ = torch.rand((16, 16), generator=generator) + 3 * (picture[0] > 1.5)
    found = place(sight, map_)
    assert found is not None
    soft = places.feathered(top(map_.double(), sight.random("place")))
    plain = blurred(picture[None], 2.0, "reflect")[0]
    falls = []
    for moved in group(soft):
        changed = picture * (1 - moved.float()) + plain * moved.float()
        after = Corner()(changed[None])[0].double().log_softmax(0)[1]
        falls.append(float(Corner()(picture[None])[0].double().log_softmax(0)[1] - after))
    np.testing.assert_allclose(found.falls.numpy(), falls, atol=1e-6)
    assert found.fall == pytest.approx(falls[0], abs=1e-6)
    assert found.elsewhere == pytest.approx(np.mean(falls[1:]), abs=1e-6)
    assert found.p == sum(fall >= falls[0] - SAME for fall in falls) / 128


def test_a_map_on_what_counts_and_one_beside_it() -> None:
    picture = torch.zeros((3, 32, 32))
    picture[:, 2:10, 3:11] = 3.0
    there, elsewhere = torch.zeros(32, 32), torch.zeros(32, 32)
    there[2:10, 3:11], elsewhere[20:28, 18:26] = 1.0, 1.0
    right, wrong = place(sight_of(picture), there), place(sight_of(picture), elsewhere)
    assert right is not None
    assert wrong is not None
    assert right.p <= 0.05 < 0.2 < wrong.p
    assert right.fall > 10 * abs(wrong.fall)


def test_the_top_fifth_by_rank_and_ties_by_chance() -> None:
    distinct = torch.arange(100.0).view(10, 10)[torch.randperm(10)]
    assert torch.equal(top(distinct, torch.Generator()) > 0, distinct >= 80)
    flat = torch.zeros(10, 10)
    first, second = (top(flat, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert float(first.sum()) == float(second.sum()) == 20
    assert not torch.equal(first, second)


@pytest.mark.parametrize("map_", [torch.zeros(16, 16), torch.full((16, 16), torch.nan), torch.full((16, 16), 3.0)])
def test_a_map_without_a_place_cannot_be_tested(map_: Tensor) -> None:
    assert place(sight_of(torch.rand(3, 16, 16)), map_) is None


def test_sides_that_four_does_not_divide() -> None:
    assert canvas(torch.rand(13, 18)).shape == (16, 20)
    assert canvas(torch.rand(16, 20)).shape == (16, 20)
    found = place(sight_of(torch.rand(3, 13, 18)), torch.rand(13, 18))
    assert found is not None
    assert len(found.falls) == 64
    assert found.marked.shape == (13, 18)


def test_blur_keeps_the_mean_on_the_torus_and_what_is_constant() -> None:
    picture = torch.rand((1, 2, 20, 24), dtype=torch.float64)
    torch.testing.assert_close(blurred(picture, 2.0, "circular").mean((2, 3)), picture.mean((2, 3)))
    torch.testing.assert_close(blurred(torch.ones(1, 1, 9, 9), 3.0, "reflect"), torch.ones(1, 1, 9, 9))


def test_an_unknown_number_of_moves() -> None:
    with pytest.raises(MethodError, match="128, 64 or 32, not 100"):
        group(torch.zeros(16, 16), 100)


def test_the_edge_is_the_outer_sixth() -> None:
    """By hand, one pixel after the other; bright at the lower edge only, the middle does not count."""
    picture = torch.zeros((3, 24, 36))
    picture[:, 22:] = 3.0
    sight = sight_of(picture.flip(1))
    plain = blurred(picture.flip(1)[None], 3.0, "reflect")[0]
    falls = []
    for wanted in (True, False):
        changed = picture.flip(1).clone()
        for y, x in itertools.product(range(24), range(36)):
            if (y < 4 or y >= 20 or x < 6 or x >= 30) is wanted:
                changed[:, y, x] = plain[:, y, x]
        falls.append(float((sight.logits.log_softmax(0) - Corner()(changed[None])[0].log_softmax(0))[1]))
    found = edge(sight, (picture.flip(1)[0] > 0).float())
    assert (found.edge, found.middle, found.marked) == pytest.approx((*falls, 1.0), abs=1e-6)
    assert found.decides
    inside = torch.zeros(24, 36)
    inside[3:10, 10:20] = 1  # a row of it reaches into the edge: what the map marks is not the edge
    beside = edge(sight, inside)
    assert beside.marked == pytest.approx(1 / 7)
    assert not beside.decides
    assert not edge(sight, None).decides
