"""The predicted classes of a segmentation network, drawn beside the map with a legend."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida as cl
from camlucida.attribution.bind_targets import bind_targets, region_on_image
from camlucida.data import toybox
from camlucida.render.class_mask import BACKGROUND_COLOUR, class_colours, draw_classes, legend_entries
from camlucida.render.map_grid import draw_grid
from camlucida.render.page import record_pages
from camlucida.render.palettes import CATEGORICAL_COLOURS
from camlucida.render.panel import draw_panel
from camlucida.types import Geometry, PredictedClasses, Region

NAMES = {0: "background", 1: "cat", 3: "bus"}


@pytest.fixture
def region() -> Region:
    """A cat in the left third, a bus in the right third, and background between them, on 12 × 8 pixels."""
    indices = torch.zeros(8, 12, dtype=torch.long)
    indices[:, :4], indices[:, 8:] = 1, 3
    return Region(mask=indices == 3, name="bus", classes=PredictedClasses(indices, NAMES, 0))


def rgb(colour: str) -> np.ndarray:
    return np.array(list(bytes.fromhex(colour)), float)


def test_every_class_has_a_colour_of_its_own():
    names = {k: str(k) for k in range(len(CATEGORICAL_COLOURS))}
    assert len(set(class_colours(PredictedClasses(torch.zeros(1, 1), names)).values())) == len(names)
    collision = class_colours(PredictedClasses(torch.zeros(1, 1), {2: "a", 14: "b", 5: "c"}, 5))
    assert collision[2] == CATEGORICAL_COLOURS[2]
    assert collision[14] != collision[2]
    assert collision[5] == BACKGROUND_COLOUR


def test_pixels_have_the_colour_of_their_class(region):
    image = Image.new("RGB", (240, 160), (255, 255, 255))
    drawn = np.asarray(draw_classes(image, region), float)
    colours = class_colours(region.classes)
    np.testing.assert_allclose(drawn[80, 220], 255 + 0.75 * (rgb(colours[3]) - 255), atol=1)  # the region in question
    np.testing.assert_allclose(drawn[80, 20], 255 + 0.3 * (rgb(colours[1]) - 255), atol=1)
    np.testing.assert_allclose(drawn[80, 120], 255 + 0.3 * (rgb(BACKGROUND_COLOUR) - 255), atol=1)


def test_without_a_region_all_classes_are_equally_strong(region):
    drawn = np.asarray(draw_classes(Image.new("RGB", (240, 160), "white"), Region(classes=region.classes)), float)
    colours = class_colours(region.classes)
    for x, index in ((20, 1), (120, 0), (220, 3)):
        np.testing.assert_allclose(drawn[80, x], 255 + 0.75 * (rgb(colours[index]) - 255), atol=1)


def test_legend_names_the_class_in_question(region):
    entries = {name: (fraction, meant) for _, name, fraction, meant in legend_entries(region)}
    assert entries == {"background": ("33.3 %", False), "cat": ("33.3 %", False), "bus": ("33.3 %", True)}
    outside = torch.nn.functional.pad(region.classes.indices, (6, 6), value=-1)
    cropped = Region(classes=PredictedClasses(outside, NAMES, 0))
    assert [fraction for _, _, fraction, _ in legend_entries(cropped)] == ["33.3 %"] * 3
    point = Region(point=(1.5, 2.5), classes=region.classes)
    assert [name for _, name, _, meant in legend_entries(point) if meant] == ["cat"]
    assert not any(meant for *_, meant in legend_entries(Region(classes=region.classes)))


@pytest.mark.parametrize("size", [(12, 8), (60, 8)])
def test_panel_has_the_classes_and_their_names(region, size):
    wide = Region(classes=PredictedClasses(torch.zeros(size[::-1], dtype=torch.long), NAMES, 0))
    texts = {}
    for name, drawn in (("with", wide), ("without", None)):
        with record_pages() as pages:
            draw_panel(Image.new("RGB", size), np.zeros(size[::-1]), title="bus", region=drawn)
        texts[name] = repr(pages[0])
    assert all(word in texts["with"] for word in ("Predicted classes", "background", "cat", "bus"))
    assert "Predicted classes" not in texts["without"]


def test_grid_has_the_classes_beside_the_image(region):
    def drawn(classes: Region | None) -> Image.Image:
        cells = [[(np.zeros((8, 12)), "a caption")]]
        return draw_grid(
            cells, rows=[""], columns=["a"], title="t", original=Image.new("RGB", (12, 8)), classes=classes, density=1
        )

    colour = rgb(class_colours(region.classes)[3])
    with_classes, without = (np.asarray(drawn(r), float) for r in (Region(classes=region.classes), None))
    assert (np.abs(with_classes - colour).sum(2) < 3).any()  # the swatch of the legend
    assert not (np.abs(without - colour).sum(2) < 3).any()


def test_classes_are_those_of_the_network_on_the_image():
    model = cl.load("toybox:segmenter")
    picture = toybox.scene(4, kinds=["cat", "boat"], objects=2).picture()
    explanation = cl.explain(model, picture, target="class:cat")
    inputs, geometry = model.preprocessing(picture)
    predicted = model.network(inputs[None])[0].argmax(0)
    classes = explanation.region.classes
    assert geometry.scale == (1, 1)
    torch.testing.assert_close(classes.indices, predicted)
    assert set(classes.names.values()) >= {"background", "cat", "boat"}
    torch.testing.assert_close(classes.indices == explanation.index, explanation.region.mask)


def test_classes_are_moved_to_the_image():
    indices = torch.arange(12).view(3, 4)
    classes = PredictedClasses(indices, {})
    geometry = Geometry((8, 8), (4, 3), (0.5, 0.5), (0.0, -0.5))
    moved = region_on_image(Region(classes=classes), geometry).classes.indices
    assert moved.shape == (8, 8)
    assert moved[0].tolist() == [-1] * 8  # above the network input
    assert moved[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert moved[6].tolist() == [8, 8, 9, 9, 10, 10, 11, 11]
    assert moved[7].tolist() == [-1] * 8  # below it


def test_all_regions_of_an_image_share_their_classes():
    model = cl.load("toybox:segmenter")
    inputs, geometry = model.preprocessing(toybox.scene(4, kinds=["cat", "boat"], objects=2).picture())
    cat, boat = bind_targets(model, inputs, [None], geometry)
    assert cat.region.classes is boat.region.classes


def test_html_file_has_the_drawing_and_the_legend(tmp_path):
    picture = toybox.scene(4, kinds=["cat", "boat"], objects=2).picture()
    cl.explain("toybox:segmenter", picture, target="class:cat").save(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    (data,) = (json.loads(m) for m in re.findall(r'<script type="application/json" id="data">(.*?)</script>', text))
    (of_map,) = data["maps"]
    assert of_map["classes"].startswith("data:image/")
    assert [entry["name"] for entry in of_map["legend"] if entry["meant"]] == ["cat"]
    cl.explain("toybox", picture).save(tmp_path / "b.html")
    assert '"legend":' not in (tmp_path / "b.html").read_text()
