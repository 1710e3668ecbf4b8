"""Numbers of maps on the layer's grid equal those of the map drawn on the image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from camlucida.audits.map_statistics import drawing_weights, map_statistics, statistics_of_maps
from camlucida.audits.object_region import ObjectRegion
from camlucida.data.datasets import Item
from camlucida.evaluation.model_input import fill_in
from camlucida.maps import to_image_grid
from camlucida.metrics import find
from camlucida.models.preprocessing import Preprocessing
from camlucida.types import Geometry

SIZES = [(80, 60), (60, 80), (300, 20), (33, 47)]
FITS = ["crop", "letterbox", "squash"]


def geometry_of(size: tuple[int, int], fit: str) -> Geometry:
    preprocessing = Preprocessing(size=(32, 40), resize=None, fit=fit)  # type: ignore[arg-type]
    return preprocessing(Image.fromarray(np.zeros((size[1], size[0], 3), dtype=np.uint8)))[1]


def mask_region(mask: torch.Tensor) -> ObjectRegion:
    item = Item(Image.new("RGB", (mask.shape[1], mask.shape[0])), "one", mask=lambda: mask.numpy())
    region = ObjectRegion.of(item, (mask.shape[1], mask.shape[0]))
    assert region is not None
    return region


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES)
def test_weights_draw_the_map(size: tuple[int, int], fit: str) -> None:
    geometry = geometry_of(size, fit)
    saliency = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    weights = drawing_weights(geometry, (4, 5))
    drawn = weights.rows @ saliency.double() @ weights.columns.T
    expected = to_image_grid(saliency, geometry).nan_to_num(nan=0.0).double()
    assert float((drawn - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES)
def test_energy_equals_the_metric(size: tuple[int, int], fit: str, relu: bool) -> None:
    geometry = geometry_of(size, fit)
    saliency = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    region = torch.zeros(size[1], size[0], dtype=torch.bool)
    region[size[1] // 3 : size[1] // 2 + 2, size[0] // 4 : size[0] // 2 + 2] = True
    drawn = to_image_grid(saliency.relu() if relu else saliency, geometry).nan_to_num(nan=0.0).relu()
    expected = find("energy").metric(drawn, region)["energy"].value
    result = map_statistics(saliency, geometry, mask_region(region), relu=relu)
    assert result.energy_in_box == pytest.approx(expected, abs=1e-4, nan_ok=True)
    assert result.box_area == pytest.approx(float(region.double().mean()))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("fit", FITS)
def test_center_and_border_equal_sums_by_hand(fit: str, relu: bool) -> None:
    geometry = geometry_of((80, 60), fit)
    saliency = torch.rand(4, 5, generator=torch.Generator().manual_seed(2)) ** 3 - (0 if relu else 0.2)
    drawn = to_image_grid(saliency, geometry).nan_to_num(nan=0.0).double().relu()
    x = (torch.arange(80, dtype=torch.float64) + 0.5) / 80
    y = (torch.arange(60, dtype=torch.float64) + 0.5) / 60
    result = map_statistics(saliency, geometry, relu=relu)
    assert result.center_x == pytest.approx(float((drawn.sum(0) * x).sum() / drawn.sum()), abs=1e-5)
    assert result.center_y == pytest.approx(float((drawn.sum(1) * y).sum() / drawn.sum()), abs=1e-5)
    seen = to_image_grid(saliency, geometry).isnan().logical_not()
    columns, rows = seen.any(0).nonzero().flatten(), seen.any(1).nonzero().flatten()
    left, right, top, bottom = int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
    dx, dy = round((right - left) * 0.1), round((bottom - top) * 0.1)
    inner = drawn[top + dy : bottom - dy, left + dx : right - dx].sum() / drawn.sum()
    assert result.energy_at_border == pytest.approx(1 - float(inner), abs=1e-5)


def test_entropy_of_one_position_and_of_a_constant() -> None:
    geometry = geometry_of((80, 60), "squash")
    point = torch.zeros(4, 5)
    point[1, 2] = 3.0
    assert map_statistics(point, geometry).entropy == pytest.approx(0.0, abs=1e-12)
    assert map_statistics(torch.ones(4, 5), geometry).entropy == pytest.approx(1.0)


def test_a_map_without_positive_values_has_no_numbers() -> None:
    result = map_statistics(
        -torch.ones(4, 5), geometry_of((80, 60), "crop"), mask_region(torch.ones(60, 80, dtype=torch.bool))
    )
    assert math.isnan(result.energy_in_box)
    assert math.isnan(result.center_x)
    assert result.box_area == 1.0


BOXES = {
    "one": [[3.2, 4.0, 20.5, 15.0]],
    "two apart": [[1.0, 1.0, 6.0, 9.0], [12.4, 10.0, 30.0, 19.6]],
    "overlapping": [[0.0, 0.0, 18.0, 12.0], [9.0, 5.0, 33.0, 19.0], [10.0, 6.0, 12.0, 8.0]],
    "outside and empty": [[-9.0, -2.0, 8.0, 7.0], [25.0, 10.0, 99.0, 99.0], [5.2, 5.2, 5.3, 9.0]],
}


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("boxes", sorted(BOXES))
def test_boxes_equal_the_mask_that_they_fill(boxes: str, size: tuple[int, int], relu: bool) -> None:
    geometry = geometry_of(size, "crop")
    maps = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(3))
    item = Item(Image.new("RGB", size), "one", boxes=np.array(BOXES[boxes]))
    filled = mask_region(fill_in(torch.tensor(BOXES[boxes]).double(), size))
    expected = statistics_of_maps(maps, geometry, filled, relu=relu)
    found = statistics_of_maps(maps, geometry, ObjectRegion.of(item, size), relu=relu)
    for result, by_mask in zip(found, expected, strict=True):
        assert result.box_area == pytest.approx(by_mask.box_area, abs=1e-12)
        assert result.energy_in_box == pytest.approx(by_mask.energy_in_box, abs=1e-9, nan_ok=True)


def test_boxes_without_a_pixel_are_no_object() -> None:
    item = Item(Image.new("RGB", (80, 60)), "one", boxes=np.array([[5.2, 5.2, 5.3, 9.0]]))
    result = map_statistics(torch.ones(4, 5), geometry_of((80, 60), "crop"), ObjectRegion.of(item, (80, 60)))
    assert math.isnan(result.box_area)
    assert math.isnan(result.energy_in_box)
    assert ObjectRegion.of(Item(Image.new("RGB", (80, 60)), "none"), (80, 60)) is None
