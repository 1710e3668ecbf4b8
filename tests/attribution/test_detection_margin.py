"""The map of a detection relative to what a detection needs adds up to the margin, and flips for a missing object."""

from __future__ import annotations

import math

import pytest
import torch

import camlucida as cl
from camlucida.attribution.detection_margin import cell_fractions
from camlucida.data import toybox
from camlucida.errors import MethodError, TargetError
from camlucida.types import Geometry


@pytest.fixture(scope="module")
def scene() -> toybox.Scene:
    return toybox.scene((7000, 1), objects=2)


@pytest.fixture(scope="module")
def target(scene: toybox.Scene) -> str:
    left, top, right, bottom = scene.draw().boxes[0]
    return f"{scene.objects[0].kind} at {(left + right) / 2:g},{(top + bottom) / 2:g}"


def test_the_sum_is_the_log_odds_minus_those_of_the_threshold(scene, target):
    explanation = cl.explain("toybox:detector", scene.picture(), target=target)
    margin = explanation.detection_margin()
    assert explanation.region.threshold == 0.3
    assert margin.score == pytest.approx(explanation.score - math.log(0.3 / 0.7), rel=1e-6)
    assert float(margin.raw.sum()) == pytest.approx(margin.score, rel=1e-4)
    left, top, right, bottom = (v / 8 for v in explanation.region.box)  # in cells of 8 pixels
    changed = (margin.raw - explanation.raw).abs() > 1e-9
    rows, columns = changed.any(1).nonzero()[:, 0].tolist(), changed.any(0).nonzero()[:, 0].tolist()
    assert (rows[0], rows[-1]) == (max(0, int(top)), min(11, int(bottom)))
    assert (columns[0], columns[-1]) == (max(0, int(left)), min(11, int(right)))
    spread = (margin.raw - explanation.raw)[rows[1] : rows[-1], columns[1] : columns[-1]]  # whole cells
    torch.testing.assert_close(spread, spread[:1, :1].expand_as(spread), atol=1e-6, rtol=1e-5)
    assert margin.notes["sum_of_map"] == pytest.approx(float(explanation.raw.sum()), rel=1e-4)


def test_the_rest_of_the_score_is_the_bias_of_the_last_layer(scene, target):
    model = cl.load("toybox:detector")
    explanation = cl.explain(model, scene.picture(), target=target, layer="head")
    rest = explanation.score - float(explanation.raw.sum())
    assert rest == pytest.approx(float(model.network.class_scores.bias[explanation.index].detach()), abs=1e-4)


def test_a_removed_object_flips_the_sign(scene, target):
    mask = scene.draw().masks[0]
    means = []
    for image in (scene.picture(), scene.without(0).picture()):
        explanation = cl.explain("toybox:detector", image, target=target)
        means.append(float(explanation.detection_margin().landed[mask].mean()))
    assert "missed" in explanation.target
    assert means[0] > 0 > means[1]
    assert explanation.detection_margin().shows_signs


def test_cells_by_hand():
    geometry = Geometry((40, 20), (20, 20), (0.5, 0.5), (0.0, 5.0))  # a letterbox
    # cells of 10 pixels of the image, whose edges are at x = 0, 10, 20, 30, 40 and y = -10, 0, 10, 20, 30
    cells = cell_fractions((10.0, 0.0, 25.0, 20.0), (4, 4), geometry)
    row = [0, 1 / 3, 1 / 6, 0]
    torch.testing.assert_close(cells, torch.tensor([[0] * 4, row, row, [0] * 4], dtype=torch.float64))
    inside_one = cell_fractions((11.0, 9.0, 12.0, 9.5), (4, 4), geometry)
    assert inside_one[1, 1] == inside_one.sum() == 1
    outside = cell_fractions((50.0, 5.0, 60.0, 8.0), (4, 4), geometry)
    assert outside[1, 3] == outside.sum() == 1


def test_other_maps_are_refused(scene, target):
    image = scene.picture()
    with pytest.raises(TargetError, match="one box of a detector"):
        cl.explain("toybox", image).detection_margin()
    with pytest.raises(MethodError, match="of the value"):
        cl.explain("toybox:detector", image, target="edge left of box 1").detection_margin()
    with pytest.raises(MethodError, match="by grad_cam, of the logit"):
        cl.explain("toybox:detector", image, target=target, method="grad_cam").detection_margin()
    with pytest.raises(MethodError, match="of the probability"):
        cl.explain("toybox:detector", image, target=target, score="probability").detection_margin()
