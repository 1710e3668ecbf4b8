"""Regions, their boxes and contours, against plain loops, SciPy one level at a time, and OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from numpy.typing import NDArray
from torch.testing import assert_close

from camlucida.errors import MetricError
from camlucida.metrics.common import regions
from camlucida.metrics.common.regions import (
    component_boxes,
    components,
    components_by_level,
    enclosed_area,
    iou,
    is_rankable,
    largest_box,
    largest_region,
    threshold_map,
)

cv2 = pytest.importorskip("cv2")


def drawing(*rows: str) -> torch.Tensor:
    return torch.tensor([[pixel == "#" for pixel in row] for row in rows])


FOUR = drawing(
    "####........",
    "####........",
    "####.....#..",
    "####....#...",
    ".......#....",
    "......#.....",
    ".....#....#.",
    "....#....#..",
    "........#...",
    "#.......####",
    "#...........",
)
"""A square of 16 pixels, a diagonal line of 6 in a box of 36, a hook of 6 in a box of 16, a line of 2."""


def test_a_box_is_exclusive() -> None:
    inside = torch.zeros(5, 8, dtype=torch.bool)
    inside[2, 3] = True
    assert largest_box(inside).tolist() == [3, 2, 4, 3]
    inside[1:4, 2:7] = True
    assert largest_box(inside).tolist() == [2, 1, 7, 4]
    assert largest_box(torch.zeros(4, 4, dtype=torch.bool)).tolist() == [0, 0, 0, 0]
    assert largest_box(torch.ones(4, 6, dtype=torch.bool)).tolist() == [0, 0, 6, 4]


def test_four_rules_for_the_largest() -> None:
    assert largest_box(FOUR, "component").tolist() == [0, 0, 4, 4]
    assert largest_box(FOUR, "contour").tolist() == [0, 0, 4, 4]
    assert largest_box(FOUR, "rectangle").tolist() == [4, 2, 10, 8]
    assert largest_box(FOUR, "everything").tolist() == [0, 0, 12, 11]
    ring = drawing("#####..####", "#...#..####", "#...#..####", "#####..####", ".......####")
    assert largest_box(ring, "component").tolist() == [7, 0, 11, 5]  # 20 pixels against 14
    assert enclosed_area(ring[:4, :5].numpy()) == 12 == enclosed_area(ring[:, 7:].numpy())
    with pytest.raises(MetricError, match="Did you mean 'contour'"):
        largest_region(FOUR, "contuor")  # type: ignore[arg-type]


def test_equal_regions_first_in_reading_order() -> None:
    assert largest_box(drawing("...##", ".....", "##...")).tolist() == [3, 0, 5, 1]


def test_diagonal_pixels_are_connected() -> None:
    assert components(drawing("#..", ".#.", "..#")).unique().tolist() == [0, 1]
    assert components(FOUR).max() == 4
    assert component_boxes(components(FOUR)).tolist() == [[0, 0, 4, 4], [4, 2, 10, 8], [8, 6, 12, 10], [0, 9, 1, 11]]


def reference_components(saliency: NDArray[np.uint8], corners: bool) -> list[tuple[int, ...]]:
    results = []
    for level in range(255):
        labels, count = scipy.ndimage.label(saliency > level, np.ones((3, 3)) if corners else None)
        for i in range(1, count + 1):
            y, x = np.nonzero(labels == i)
            first = int(y[0] * saliency.shape[1] + x[0])
            results.append((level, x.min(), y.min(), x.max() + 1, y.max() + 1, len(x), first))
    return sorted(tuple(int(n) for n in component) for component in results)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("at_once", [1, 40, 1_000_000])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 11), (12, 8)])
def test_all_levels_at_once(
    shape: tuple[int, int], at_once: int, corners: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions, "MAX_RUNS", at_once)
    rng = np.random.default_rng(sum(shape))
    for low, high in ((0, 2), (1, 4), (0, 256), (7, 8)):
        saliency = rng.integers(low, high, shape).astype(np.uint8)
        chunks = components_by_level(saliency, corners=corners)
        parts = [np.column_stack([f.level, f.boxes, f.pixels, f.first]) for f in chunks]
        results = [tuple(row) for part in parts for row in part.tolist()]
        assert sorted(results) == reference_components(saliency, corners)


def test_enclosed_is_opencvs_contour_area() -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        noise = rng.random((14, 17)) < rng.choice([0.3, 0.5, 0.7, 0.9])
        labels, count = scipy.ndimage.label(noise, np.ones((3, 3)))
        for i in range(1, count + 1):
            component = (labels == i).astype(np.uint8)
            outer = cv2.findContours(component, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
            assert enclosed_area(component > 0) == cv2.contourArea(outer[0])


def reference_iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0) * max(height, 0)
    return intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection)


def test_iou() -> None:
    rng = np.random.default_rng(1)
    predicted, true = (np.sort(rng.uniform(0, 9, (n, 2, 2)), axis=1).reshape(n, 4) for n in (7, 5))
    expected = [[reference_iou(list(a), list(b)) for b in true] for a in predicted]
    assert_close(iou(torch.from_numpy(predicted), torch.from_numpy(true)), torch.tensor(expected, dtype=torch.float64))


def test_iou_of_exclusive_and_of_inclusive_boxes() -> None:
    a, b = torch.tensor([[1.0, 2, 5, 6]]), torch.tensor([[3.0, 1, 4, 5]])
    assert_close(iou(a, b), torch.tensor([[3 / 17]]))
    one_more = torch.tensor([0.0, 0, 1, 1])
    assert_close(iou(a + one_more, b + one_more), torch.tensor([[8 / 27]]))
    assert iou(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_above_takes_the_threshold_in() -> None:
    saliency = torch.tensor([[0.0, 0.5, 1.0, 2.0]], dtype=torch.float64)
    assert threshold_map(saliency, 0.25).tolist() == [[False, True, True, True]]
    assert threshold_map(saliency, 0.26).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan"), float("inf")])
def test_empty_and_constant_maps_are_not_rankable(value: float) -> None:
    assert not is_rankable(torch.full((3, 4), value))
    saliency = torch.zeros(3, 4)
    saliency[1, 1] = 1
    assert is_rankable(saliency)
    assert not is_rankable(-saliency)
