"""The report of an evaluation of boxes, regions or words: each target with its own region."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset, annotated_objects
from camlucida.data.toybox import CLASSES, Toybox
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.baselines import CONTROLS
from camlucida.report import report
from camlucida.report.charts import mean_curve
from camlucida.report.thumbnails import ThumbnailRenderer

SCENES = ToyboxDataset(Toybox(4, seed=3, objects=2))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    out = tmp_path_factory.mktemp("run")
    data = ListDataset("own", [SCENES[i] for i in range(3)] + [_without_dog(3)], CLASSES)
    return evaluate(
        "toybox:detector", data, metrics=["energy", "deletion"], target="all", controls=CONTROLS[:2], out=out / "r"
    )


def _without_dog(index: int) -> Item:
    """The scene of a dog and a fish, of which only the fish is annotated."""
    item = SCENES[index]
    fish = [each for each in annotated_objects(item) or () if each.label == CLASSES.index("fish")]
    return replace(item, objects=lambda: fish)


def page(result: Evaluation, tmp_path: Path) -> str:
    data = ListDataset("own", [SCENES[i] for i in range(3)] + [_without_dog(3)], CLASSES)
    path = report(result, tmp_path / "page.html", model=cl.load("toybox:detector"), data=data)
    return path.read_text()


def test_the_report_says_which_box_and_how_it_was_found(result: Evaluation, tmp_path: Path) -> None:
    text = page(result, tmp_path)
    plain = re.sub(r"<[^>]+>", " ", text)
    plain = re.sub(r"\s+", " ", plain)
    assert "No images are displayed" not in plain
    assert "8 targets in 4 images; 7 of 8 with an annotation to compare agree with it." in plain
    assert "Region that metrics of localisation use: annotated box 7 and predicted box 1." in plain
    assert "not matched" in plain
    assert "explained: dog (box 1)" in plain
    assert "predicted box" in plain
    assert "targets that an annotation agrees with, and others" in plain
    assert "percentile bootstrap over images, each with all its maps" in plain


def test_a_thumbnail_shows_the_box_of_its_own_target(result: Evaluation) -> None:
    data = ListDataset("own", [SCENES[i] for i in range(3)] + [_without_dog(3)], CLASSES)
    renderer = ThumbnailRenderer(result, cl.load("toybox:detector"), data)
    first, second = (renderer.plain(i) for i in list(result.images)[:2])
    for uri, index in zip((first, second), result.images, strict=False):
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            pixels = np.asarray(image.convert("L"), dtype=float)
        box = result.images[index].region_box
        assert box is not None
        left, top, right, bottom = (round(side * pixels.shape[1] / 96) for side in box)
        middle = (left + right) // 2
        column = pixels[max(0, bottom - 4) : bottom + 3, middle]
        assert column.max() > 240, "a white edge"
        assert pixels[top:bottom, max(0, left - 3) : left + 4].max(1).mean() > 200
    assert first != second
    overlays = [renderer.overlay(i, "hires_cam") for i in list(result.images)[:2]]
    assert overlays[0] != overlays[1], "each box has its own map"


def test_predicted_classes_stand_beside_the_maps_of_regions(tmp_path: Path) -> None:
    data = ListDataset("own", [SCENES[0]], CLASSES)
    result = evaluate("toybox:segmenter", data, metrics=["energy"], methods=["grad_cam"], target="all", out=tmp_path)
    model = cl.load("toybox:segmenter")
    text = report(result, tmp_path / "page.html", model=model, data=data).read_text()
    alts = re.findall(r'alt="predicted classes of scene 0: ([^"]*)"', text)
    first = cl.explain(model, SCENES[0].image, target=next(iter(result.images.values())).target_spec)
    assert first.region is not None
    assert first.region.classes is not None
    assert set(alts) == {", ".join(first.region.classes.names.values())}
    renderer = ThumbnailRenderer(result, model, data)
    index = next(iter(result.images))
    assert renderer.classes(index) == ("", []), "before a map was drawn"
    renderer.overlay(index, "grad_cam")
    uri, names = renderer.classes(index)
    assert len(names) >= 2
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        drawn = np.asarray(image.convert("RGB"), dtype=int)
    assert (np.ptp(drawn[: drawn.shape[1] // 2], axis=2) > 60).any(), "classes are in colour"


def test_bands_of_curves_take_boxes_of_one_image_for_dependent() -> None:
    curves = np.random.default_rng(0).normal(size=(6, 5))
    once, five = mean_curve("a", curves), mean_curve("a", np.repeat(curves, 5, 0), np.repeat(np.arange(6), 5))
    assert_allclose(five.low, once.low)
    assert_allclose(five.high, once.high)
    assert_allclose(mean_curve("a", curves, np.arange(6)).low, once.low)
