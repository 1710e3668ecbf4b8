"""MaxBoxAcc, V1 and V2, against plain loops; the presets against OpenCV by the rules of the paper's code."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.testing import assert_close

from camlucida.errors import MetricError
from camlucida.metrics import max_box_acc, max_box_acc_v2
from camlucida.metrics.common.box_curves import choe2020_curve, image_curve, max_box_acc_reduction, minmax_scale

cv2 = pytest.importorskip("cv2")

THRESHOLDS = np.arange(0, 1, 0.001)


def maps(size: tuple[int, int], count: int = 6) -> list[NDArray[np.float32]]:
    """Return smooth and noisy maps, and maps with few levels, which have plateaus, holes and ties."""
    rng = np.random.default_rng(size[0])
    results = []
    for i in range(count):
        coarse = rng.random((3 + i, 4 + i), dtype=np.float32)
        saliency = torch.nn.functional.interpolate(torch.from_numpy(coarse)[None, None], size=size, mode="bicubic")[
            0, 0
        ]
        results.append(saliency.numpy())
    results.append(rng.random(size, dtype=np.float32))
    results.append(rng.integers(0, 4, size).astype(np.float32))
    results.append((rng.random(size) < 0.03).astype(np.float32))
    return results


def true_boxes(size: tuple[int, int], count: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 0.6, (count, 2)) * size[::-1]
    return torch.from_numpy(np.concatenate([corner, corner + 1 + rng.uniform(0, 0.39, (count, 2)) * size[::-1]], 1))


# The paper's code, as `evaluation.md` describes it


def opencv_boxes(scores: NDArray[np.float32], threshold: float, all_regions: bool) -> list[tuple[int, ...]]:
    saliency = (scores * 255).astype(np.uint8)
    height, width = saliency.shape
    binary = cv2.threshold(saliency, int(threshold * np.max(saliency)), 255, cv2.THRESH_BINARY)[1]
    contours = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not contours:
        return [(0, 0, 0, 0)]
    boxes = []
    for contour in contours if all_regions else [max(contours, key=cv2.contourArea)]:
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append((x, y, min(x + w, width - 1), min(y + h, height - 1)))
    return boxes


def inclusive_iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    intersection = max(0, width) * max(0, height)
    sizes = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return intersection / (sum(sizes) - intersection)


def opencv_curve(scores: NDArray[np.float32], boxes: Tensor, all_regions: bool) -> list[float]:
    true = [tuple(int(edge) for edge in box) for box in boxes.tolist()]
    return [
        max(inclusive_iou(a, b) for a in opencv_boxes(scores, threshold, all_regions) for b in true)
        for threshold in THRESHOLDS
    ]


@pytest.mark.parametrize("all_regions", [False, True])
@pytest.mark.parametrize("size", [(24, 31), (56, 56)])
def test_choe2020_is_opencvs(size: tuple[int, int], all_regions: bool) -> None:
    levels = [int(threshold * 255) for threshold in THRESHOLDS]
    assert set(levels) == set(range(255))  # an interval of 0.001 includes every threshold
    for i, saliency in enumerate(maps(size)):
        scores, boxes = minmax_scale(torch.from_numpy(saliency), size), true_boxes(size, 1 + i % 3, i)
        curve = choe2020_curve(scores, boxes, all_regions=all_regions)
        expected = torch.tensor(opencv_curve(scores, boxes, all_regions), dtype=torch.float64)
        assert_close(curve[levels], expected, rtol=0, atol=1e-12)


def test_choe2020_of_a_constant_map_is_a_box_in_the_corner() -> None:
    scores, boxes = minmax_scale(torch.ones(7, 7), (20, 20)), torch.tensor([[0.0, 0, 4, 9]])
    for all_regions in (False, True):
        curve = choe2020_curve(scores, boxes, all_regions=all_regions)
        assert_close(curve, torch.full((255,), 1 / 50, dtype=torch.float64))
        assert opencv_curve(scores, boxes, all_regions)[0] == 1 / 50


def test_minmax_scale_equals_opencv_bicubic() -> None:
    raw = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    cubic = cv2.resize(raw.numpy(), (50, 40), interpolation=cv2.INTER_CUBIC)
    expected = (cubic - cubic.min()) / (cubic - cubic.min()).max()
    assert_close(minmax_scale(raw, (40, 50)), expected, rtol=0, atol=2e-6)
    assert minmax_scale(raw, (40, 50)).max() == 1
    assert minmax_scale(torch.tensor([[1.0, float("nan")]]), (1, 2)).tolist() == [[0, 0]]


@pytest.mark.parametrize("sizes", [((500, 375), 224), ((333, 500), 224), ((96, 96), 64)])
def test_true_boxes_are_truncated_as_in_the_papers_code(sizes: tuple[tuple[int, int], int]) -> None:
    """Boxes are scaled by one factor, in the paper's code by two numbers: rounding must not change the truncation."""
    (width, height), side = sizes
    blob = np.zeros((side, side), dtype=np.float32)
    blob[5:30, 9:40] = 1
    for x in [*range(1, width, 25), 125, 250, 375][: width // 8]:
        box = (x // 3, x % height // 2, x, x % height)
        on_input = torch.tensor([box], dtype=torch.float64) * torch.tensor([side / width, side / height] * 2)
        theirs = (int(box[0] * side / width), int(box[1] * side / height), int(x * side / width))
        theirs = (*theirs, int(box[3] * side / height))
        results = choe2020_curve(blob, on_input, all_regions=False)[0].item()
        assert results == pytest.approx(inclusive_iou((9, 5, 40, 30), theirs), abs=1e-12)


# The protocol "image"


def reference_curve(display_map: Tensor, boxes: Tensor, all_regions: bool) -> list[float]:
    curve = []
    for step in range(1, 256):
        inside = (255 * display_map.double() / float(display_map.max()) >= step).numpy()
        labels, count = scipy.ndimage.label(inside, np.ones((3, 3)))
        results = [np.nonzero(labels == i) for i in range(1, count + 1)]
        results = results if all_regions else [max(results, key=lambda pixels: len(pixels[0]))]
        best = 0.0
        for y, x in results:
            a = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            for b in boxes.tolist():
                width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                intersection = max(width, 0) * max(height, 0)
                union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
                best = max(best, intersection / union)
        curve.append(best)
    return curve


@pytest.mark.parametrize("all_regions", [False, True])
def test_image_curve_equals_plain_loops(all_regions: bool) -> None:
    for i, saliency in enumerate(maps((24, 31))):
        display_map, boxes = torch.from_numpy(saliency).clamp_min(0), true_boxes((24, 31), 1 + i % 3, i)
        expected = torch.tensor(reference_curve(display_map, boxes, all_regions), dtype=torch.float64)
        assert_close(image_curve(display_map, boxes, all_regions=all_regions), expected)


def test_accuracy_uses_one_threshold_for_all_images() -> None:
    curves = torch.tensor([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5], [0.0, 0.0, 0.49]], dtype=torch.float64)
    assert max_box_acc_reduction([0.5])(curves) == pytest.approx(2 / 3)
    assert max_box_acc_reduction([0.3, 0.5, 0.7])(curves) == pytest.approx((1 + 2 / 3 + 1 / 3) / 3)
    assert max_box_acc_reduction([0.5])(curves[:1]) == 1
    assert np.isnan(max_box_acc_reduction([0.5])(curves[:0]))


@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.7])
def test_an_overlap_equal_to_the_threshold_is_a_hit(overlap: float) -> None:
    stored = torch.tensor([[overlap]], dtype=torch.float32).double()  # as curves are stored
    assert (
        max_box_acc_reduction([overlap])(stored)
        == 1
        == max_box_acc_reduction([overlap])(torch.tensor([[overlap]], dtype=torch.float64))
    )
    assert max_box_acc_reduction([overlap])(torch.tensor([[round(overlap * 375000) - 1]]).double() / 375000) == 0


def score_of(entry: object, saliency: Tensor, protocol: str) -> object:
    boxes = torch.tensor([[2.0, 3, 9, 8]], dtype=torch.float64)
    return entry(saliency, boxes, saliency, boxes, torch.zeros(3, *saliency.shape), protocol=protocol)  # type: ignore[operator]


@pytest.mark.parametrize("entry", [max_box_acc, max_box_acc_v2], ids=lambda entry: entry.name)
@pytest.mark.parametrize("protocol", ["image", "choe2020"])
def test_metric_by_both_protocols(entry: object, protocol: str) -> None:
    saliency = torch.zeros(12, 16)
    saliency[3:8, 2:9] = 1
    score = next(iter(score_of(entry, saliency, protocol).values()))  # type: ignore[attr-defined]
    # The paper's code takes the first pixel outside for the last one inside, on both sides of the comparison.
    assert score.value == 1
    assert score.curve.shape == (255,)
    for invalid in (saliency * 0, saliency * 0 + 1, saliency * float("nan")):
        score = next(iter(score_of(entry, invalid, protocol).values()))  # type: ignore[attr-defined]
        assert np.isnan(score.value)
        assert score.curve.max() < 0.05
    with pytest.raises(MetricError, match="Known: image, choe2020"):
        score_of(entry, saliency, "choe")
