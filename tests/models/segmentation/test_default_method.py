"""The default method of regions, and what is said of Grad-CAM's map of one of several objects of a class.

The network is that of `test_targets`: a cell is red where the channel of red is 1, and a region has a gradient of 1 / n
in its cells. Grad-CAM's weight is its mean over the grid, so that its map is a multiple of the channel.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.models.segmentation import test_targets
from tests.models.segmentation.test_targets import SIZE, model
from torch import nn

import camlucida as cl
from camlucida.attribution.method_choice import default_choice, default_method, default_note, reason_of
from camlucida.attribution.region_remark import CHANNEL_METHODS
from camlucida.data import toybox
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.models.segmentation.targets import connected_parts
from camlucida.targets import RegionTarget

image = test_targets.image  # a fixture
SMALL = "class:red at 5,21"
"""The smaller one of two red squares: 9 cells of the grid, beside one of 16."""
N_SMALL, N_LARGE, N_CELLS = 9, 16, 16 * 16


def explained(image: Image.Image, target: Any, method: str | None = None) -> cl.Explanation:
    explanation = cl.explain(model(), image, target=target, method=method, layer="pick")
    assert isinstance(explanation, cl.Explanation)
    return explanation


def of_small(explanation: cl.Explanation) -> float:
    """Return the fraction of the map in the small square, on the grid."""
    values = explanation.raw.relu()
    return float(values[10:13, 2:5].sum() / values.sum())


def test_maps_of_one_of_two_objects_are_those_of_the_closed_form(image: Image.Image) -> None:
    red = torch.zeros(SIZE // 2, SIZE // 2)
    red[2:6, 2:6] = red[10:13, 2:5] = 1.0
    grad_cam, hires_cam = (explained(image, SMALL, method) for method in ("grad_cam", "hires_cam"))
    torch.testing.assert_close(grad_cam.raw, red / N_CELLS)
    small = red.clone()
    small[:8] = 0
    torch.testing.assert_close(hires_cam.raw, small / N_SMALL)
    assert of_small(grad_cam) == pytest.approx(N_SMALL / (N_SMALL + N_LARGE))
    assert of_small(hires_cam) == 1.0


def test_the_default_of_regions_is_hires_cam_and_says_why(image: Image.Image) -> None:
    for target in (
        SMALL,
        "class:red",
        "at 5,21",
        "class:green at 5,5",
        RegionTarget(np.ones((SIZE, SIZE)), "red"),
        "red",
    ):
        default = explained(image, target)
        assert default.method == "hires_cam"
        assert default.method_reason == "default for regions: it weights positions, not channels"
        assert "hires_cam (default for regions" in repr(default)
        assert json.loads(default.json())["method_reason"] == default.method_reason
    named = explained(image, SMALL, "hires_cam")
    assert torch.equal(named.raw, explained(image, SMALL).raw)
    assert named.method_reason == ""
    assert "method_reason" not in named.record()


def test_a_named_method_is_kept(image: Image.Image) -> None:
    assert explained(image, SMALL, "grad_cam").method == "grad_cam"
    assert cl.trust(model(), image, target=SMALL, method="grad_cam", n_windows=16).method == "grad_cam"


def test_every_entry_point_has_the_same_default(image: Image.Image, tmp_path: Path) -> None:
    segmenter, data = cl.load("toybox:segmenter"), ToyboxDataset(Toybox(1, seed=3, objects=2))
    assert default_method(segmenter) == "hires_cam"
    evaluation = cl.evaluate(segmenter, data, metrics=["energy"], target="all", out=tmp_path / "evaluation")
    assert list(evaluation.methods) == ["hires_cam"]
    sanity = cl.sanity(segmenter, [data[0].image], checks=["random_logit"], target="all", seeds=1)
    assert {step.method for step in sanity.steps} == {"hires_cam"}
    assert [each["method"] for each in cl.audit(segmenter, data, tmp_path / "audit", target="all").plan["methods"]] == [
        "hires_cam"
    ]
    assert cl.trust(model(), image, target=SMALL, n_windows=16).method == "hires_cam"
    inputs = segmenter.preprocessing(data[0].image)[0]
    assert torch.equal(cl.attribute(segmenter, inputs), cl.attribute(segmenter, inputs, method="hires_cam"))


def test_the_default_follows_the_kind_of_the_targets() -> None:
    kinds = {name: default_choice(cl.load(name)) for name in ("toybox", "toybox:detector", "toybox:captioner")}
    assert [kinds[name].name for name in sorted(kinds)] == ["grad_cam", "layer_cam", "hires_cam"]
    assert kinds["toybox"].reason == default_note(cl.load("toybox")) == ""
    assert "default for boxes" in default_note(cl.load("toybox:detector"))
    assert "default for words" in default_note(cl.load("toybox:captioner"))
    opaque = replace(cl.wrap(nn.Identity(), task="segmentation"), network=cl.wrap(lambda x: x.mean((2, 3))).network)
    assert default_choice(opaque).name == "occlusion"
    assert reason_of("grad_cam", cl.load("toybox:detector")) == ""


@pytest.mark.parametrize("method", sorted(CHANNEL_METHODS))
def test_a_map_that_is_mostly_elsewhere_has_a_remark_with_its_fraction(image: Image.Image, method: str) -> None:
    remark = explained(image, SMALL, method).remark
    fraction = int(remark.removeprefix("Only ").partition("%")[0]) / 100
    # on the image the squares have soft edges, of which the smaller one has more
    assert fraction == pytest.approx(N_SMALL / (N_SMALL + N_LARGE), abs=0.08)
    assert f"{method} weights channels, not positions" in remark
    assert remark.endswith("Use hires_cam.")


@pytest.mark.parametrize("method", ["hires_cam", "layer_cam", "grad_cam_elementwise"])
def test_a_map_of_positions_has_no_remark(image: Image.Image, method: str) -> None:
    assert explained(image, SMALL, method).remark == ""


def test_no_remark_where_the_class_has_no_other_region(image: Image.Image) -> None:
    """The whole class, the only object of a class, a part of that object, and the object with most of the map."""
    part = np.zeros((SIZE, SIZE))
    part[9:11, 20:24] = 1
    for target in ("class:red", "class:green at 20,10", RegionTarget(part, "green"), "class:red at 5,5"):
        assert explained(image, target, "grad_cam").remark == ""


def test_a_mask_in_one_object_is_compared_with_all_of_that_object(image: Image.Image) -> None:
    pixel = np.zeros((SIZE, SIZE))
    pixel[22:24, 6:8] = 1
    assert "in the object of the region" in explained(image, RegionTarget(pixel, "red"), "grad_cam").remark
    pixel[:] = 0
    pixel[6:8, 6:8] = 1  # in the large one, which holds 64 % of the map
    assert explained(image, RegionTarget(pixel, "red"), "grad_cam").remark == ""


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam"])
def test_a_missed_point_is_compared_with_what_is_there(method: str) -> None:
    """The cats lie far from the point in the background: Grad-CAM's map of a missed cat there is on them."""
    scene = toybox.scene(4, kinds=["cat", "dog"], objects=2).draw()
    background = cl.explain("toybox:segmenter", scene.image, target="class:cat at 4,4", method=method, layer="up1")
    assert isinstance(background, cl.Explanation)
    near = np.hypot(*(np.indices((96, 96)) + 0.5 - 4)) <= 96 / 8
    saliency = np.clip(background.landed, 0, None)
    assert (f"Only {saliency[near].sum() / saliency.sum():.0%} of the map lies at the point" in background.remark) == (
        method == "grad_cam"
    )
    rows, columns = np.nonzero(scene.masks[1])
    target = f"class:cat at {columns[len(columns) // 2]},{rows[len(rows) // 2]}"
    on_dog = cl.explain("toybox:segmenter", scene.image, target=target, method=method, layer="up1")
    assert isinstance(on_dog, cl.Explanation)
    assert ("of the map lies at the point" in on_dog.remark) == (method == "grad_cam")


def test_a_large_image_is_looked_at_at_even_distances(image: Image.Image) -> None:
    large = image.resize((50 * SIZE, 50 * SIZE), Image.Resampling.NEAREST)
    small = explained(image, SMALL, "grad_cam").remark
    remark = explained(large, "class:red at 275,1075", "grad_cam").remark
    numbers = [int(text.removeprefix("Only ").partition("%")[0]) for text in (small, remark)]
    assert abs(numbers[0] - numbers[1]) <= 4


def test_connected_parts_are_those_that_a_seed_touches() -> None:
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 1], [1, 0, 0, 0]], dtype=torch.bool)
    seeds = torch.zeros_like(mask)
    assert not connected_parts(mask, seeds).any()
    seeds[0, 0] = seeds[1, 0] = True
    assert connected_parts(mask, seeds).int().tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    seeds[1, 3] = True
    assert connected_parts(mask, seeds).int().tolist() == [[1, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
