"""Boxes, masks and exports of maps against values by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida as cl
from camlucida.annotation_formats import coco_run_lengths
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.errors import MethodError
from camlucida.types import Geometry


@pytest.fixture(scope="module")
def explanation():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    some = cl.explain(cl.load("toybox"), image)
    raw = torch.zeros(12, 16)
    raw[2:5, 3:9] = 1.0
    raw[8:10, 12:15] = 2.0
    raw[9, 0] = -3.0
    return replace(some, raw=raw, image=image, geometry=Geometry((16, 12), (16, 12), (1.0, 1.0), (0.0, 0.0)))


def test_box_of_the_largest_part(explanation):
    assert explanation.box(0.4) == (3, 2, 9, 5)
    assert explanation.box(0.9) == (12, 8, 15, 10)


def test_mask_is_a_fraction_of_the_maximum(explanation):
    expected = np.zeros((12, 16), bool)
    expected[2:5, 3:9] = expected[8:10, 12:15] = True
    np.testing.assert_array_equal(explanation.mask(0.49), expected)
    assert explanation.mask(0.51).sum() == 6


def test_empty_and_constant_maps(explanation):
    for value in (0.0, -1.0, 2.0):
        flat = replace(explanation, raw=torch.full((12, 16), value))
        assert flat.box() is None
        assert not flat.mask().any()


@pytest.mark.parametrize("threshold", [0, -0.1, 1.5, True, "0.5"])
def test_thresholds_out_of_range(explanation, threshold):
    with pytest.raises(MethodError, match="threshold is a fraction"):
        explanation.box(threshold)


def test_run_lengths_are_those_of_pycocotools(explanation):
    rng = np.random.default_rng(1)
    for mask in (rng.random((5, 7)) > 0.5, np.ones((3, 4), bool), np.zeros((3, 4), bool), explanation.mask()):
        runs = coco_run_lengths(mask)
        values = np.repeat(np.arange(len(runs["counts"])) % 2, runs["counts"]).astype(bool)
        np.testing.assert_array_equal(values.reshape(runs["size"], order="F"), mask)


def test_coco_file(explanation, tmp_path):
    other = replace(explanation, target="dog")
    file = ExplanationSet((explanation, other)).coco(tmp_path / "maps.json", 0.4, "a/b.png")
    content = json.loads(file.read_text())
    assert content["images"] == [{"id": 1, "file_name": "a/b.png", "width": 16, "height": 12}]
    assert [c["name"] for c in content["categories"]] == [explanation.target, "dog"]
    first = content["annotations"][0]
    assert first["bbox"] == [3, 2, 6, 3]
    assert first["area"] == 24
    assert first["segmentation"]["size"] == [12, 16]
    assert sum(first["segmentation"]["counts"][1::2]) == 24
    assert [a["category_id"] for a in content["annotations"]] == [1, 2]


def test_fiftyone_file(explanation, tmp_path):
    file = ExplanationSet((explanation,)).fiftyone(tmp_path / "maps.json", 0.4)
    (sample,) = json.loads(file.read_text())["samples"]
    (detection,) = sample["maps"]["detections"]
    assert detection["bounding_box"] == pytest.approx([3 / 16, 2 / 12, 6 / 16, 3 / 12])
    assert detection["label"] == explanation.target
    assert sample["predictions"]["label"] == explanation.predictions[0].name
