"""Parts of the search for spurious cues, against closed forms and enumeration."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from camlucida.audits.hypotheses.edits import paste, remove
from camlucida.audits.hypotheses.find import repetitions
from camlucida.audits.hypotheses.outlier_channels import outlier_groups
from camlucida.audits.hypotheses.regions import Regions, box_in_image, half_maximum_box
from camlucida.audits.hypotheses.sentences import position_name
from camlucida.audits.hypotheses.verification import rank_among_controls_p
from camlucida.metrics.common.imputation import impute
from camlucida.types import Geometry


@pytest.mark.parametrize("box", [(3, 4, 9, 10), (0, 12, 5, 20), (14, 0, 20, 6)])
def test_removal_equals_imputation_of_the_whole_image(box: tuple[int, int, int, int]) -> None:
    images = torch.randn(3, 2, 20, 20, generator=torch.Generator().manual_seed(0))
    masks = Regions((box, (5, 5, 8, 11), box), (20, 20)).masks()
    removed = remove(images, masks)
    for i in range(3):
        expected = impute(images[i], masks[i][None])[0]
        assert float((removed[i] - expected).abs().max()) < 1e-6
        assert torch.equal(removed[i][:, ~masks[i]], images[i][:, ~masks[i]])


def test_removal_of_nothing_and_of_everything() -> None:
    images = torch.randn(2, 3, 8, 8)
    masks = torch.stack([torch.zeros(8, 8, dtype=torch.bool), torch.ones(8, 8, dtype=torch.bool)])
    removed = remove(images, masks)
    assert torch.equal(removed[0], images[0])
    assert torch.allclose(removed[1], images[1].mean((1, 2), keepdim=True).expand_as(images[1]))


def test_pasting_changes_the_region_only() -> None:
    recipients, sources = torch.zeros(1, 3, 24, 24), torch.ones(1, 3, 24, 24)
    masks = Regions(((0, 8, 12, 22),), (24, 24)).masks()
    pasted = paste(recipients, sources, masks)
    assert float(pasted[0, 0][~masks[0]].abs().max()) == 0
    assert float(pasted[0, 0, 15, 5]) == 1
    assert 0 < float(pasted[0, 0, 8, 11]) < 0.5  # the corner is soft
    assert float(pasted[0, 0, 15, 0]) == 1  # the border of the image is not an edge of the patch


def test_half_maximum_box_is_connected() -> None:
    map_ = torch.zeros(30, 40)
    map_[5:11, 20:29] = 1.0
    map_[7, 25] = 1.5
    map_[25, 3] = 1.4  # as high, but elsewhere
    assert half_maximum_box(map_) == (20, 5, 29, 11)


def test_other_regions_have_the_same_area_elsewhere() -> None:
    rng = np.random.default_rng(0)
    regions = Regions(((0, 10, 8, 20), (12, 2, 20, 12)), (24, 32))
    own = regions.masks()
    for _ in range(20):
        other = regions.masks_elsewhere(rng)
        assert (other.flatten(1).sum(1) == own.flatten(1).sum(1)).all()
        assert ((other & own).flatten(1).sum(1) <= 0.25 * own.flatten(1).sum(1)).all()
    border = Regions(((0, 0, 32, 24),), (24, 32), is_border=True)
    cross = border.masks_elsewhere(rng)
    assert int(cross.sum()) == int(border.masks().sum())
    assert bool(border.masks()[0, 0, 0])
    assert bool(cross[0, 12, 16])


def test_boxes_become_fractions_of_the_image() -> None:
    geometry = Geometry((400, 200), (100, 100), (0.5, 0.5), (-50.0, 0.0))  # resized to 200 x 100, cropped in the middle
    assert box_in_image((0, 50, 50, 100), geometry) == [0.25, 0.5, 0.5, 1.0]
    assert position_name((0.0, 0.8, 0.2, 1.0)) == "at the lower left"
    assert position_name((0.4, 0.4, 0.6, 0.6)) == "in the middle"
    assert position_name((0.4, 0.0, 0.6, 0.1)) == "at the top"


def test_p_among_controls_equals_enumeration() -> None:
    values, controls = np.array([3.0, 1.0, 5.0]), np.array([[1.0, 2.0], [0.0, 4.0], [4.0, 6.0]])
    total = int((values[:, None] > controls).sum())
    outcomes = [sum(ranks) for ranks in itertools.product(range(3), repeat=3)]
    expected = np.mean([outcome >= total for outcome in outcomes])
    assert rank_among_controls_p(values, controls) == pytest.approx(float(expected))
    assert rank_among_controls_p(np.full(4, 9.0), np.zeros((4, 2))) == pytest.approx(3**-4)
    assert rank_among_controls_p(np.zeros(4), np.zeros((4, 2))) == pytest.approx(1.0)


def test_p_among_controls_is_uniform_without_an_effect() -> None:
    rng = np.random.default_rng(0)
    p = [rank_among_controls_p(values[:, 0], values[:, 1:]) for values in rng.random((1000, 8, 4))]
    assert np.mean(np.array(p) <= 0.05) <= 0.06


def test_the_channel_that_stands_out_comes_first() -> None:
    rng = np.random.default_rng(0)
    relevance = rng.random((100, 30))
    relevance[:12, 7] += 10.0
    channel, members, separation = outlier_groups(relevance, 5, 60)[0]
    assert channel == 7
    assert np.flatnonzero(members).tolist() == list(range(12))
    assert separation > 0.5
    assert outlier_groups(relevance[:4], 5, 60) == []


def test_groups_with_mostly_the_same_images_repeat_the_first() -> None:
    def group(rows: range, class_index: int = 0) -> Any:
        return SimpleNamespace(members=np.array(rows), class_index=class_index)

    verified = [group(range(40)), group(range(30, 50)), group(range(45, 60)), group(range(10), 1), group(range(50, 90))]
    assert repetitions(verified) == {2: 1, 5: 3}  # half of the smaller group counts, and a repetition is no root
