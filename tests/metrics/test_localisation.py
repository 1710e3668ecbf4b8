"""Localisation metrics against closed forms, plain loops and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.errors import MetricError
from camlucida.metrics import (
    auroc,
    average_precision,
    box_iou,
    energy,
    find,
    localisation_error,
    mask_iou,
    metrics,
    pointing,
    pointing_recall,
    pxap,
    relevance_rank,
)
from camlucida.metrics.pxap import PXAP_REDUCTION

NAN = float("nan")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def value(result: dict[str, Any], name: str = "") -> float:
    return float(result[name].value if name else next(iter(result.values())).value)


def block(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> Tensor:
    saliency = torch.zeros(size)
    saliency[top:bottom, left:right] = 1
    return saliency


BOXES = torch.tensor([[2, 3, 9, 8], [10, 0, 14, 4]], dtype=torch.float64)


# Boxes and masks


def test_box_iou_is_exclusive() -> None:
    assert value(box_iou(block((12, 16), 2, 3, 9, 8), BOXES)) == 1
    assert value(box_iou(block((12, 16), 2, 3, 10, 8), BOXES)) == pytest.approx(35 / 40)
    assert value(box_iou(block((12, 16), 10, 0, 14, 4), BOXES)) == 1  # the best of the true boxes


@pytest.mark.parametrize(("preset", "threshold"), [("iou/gradcam2017", 0.15), ("iou/cam2016", 0.2)])
def test_box_iou_presets(preset: str, threshold: float) -> None:
    saliency = block((12, 16), 0, 0, 16, 12) * (threshold - 0.001) + block((12, 16), 2, 3, 9, 8)
    saliency[3, 9] = threshold * float(saliency.max()) + 1e-3  # a pixel more, to the right
    chosen = find(preset)
    assert value(chosen.metric(saliency, BOXES, **chosen.settings)) == pytest.approx(35 / 40)


def test_mask_iou() -> None:
    mask = block((12, 16), 2, 3, 9, 8) > 0
    saliency = block((12, 16), 2, 3, 9, 8) + 0.5 * block((12, 16), 12, 0, 14, 2)
    assert value(mask_iou(saliency, mask)) == pytest.approx(35 / 39)
    assert value(mask_iou(saliency, mask, threshold=0.6)) == 1
    assert value(mask_iou(saliency, mask, region="component")) == 1


def error(saliency: Tensor, label: int, logits: list[float], target: int, **options: Any) -> list[float]:
    result = localisation_error(saliency, BOXES, label, torch.tensor(logits), target, **options)
    return [result[f"localisation_error_{which}"].value for which in ("known", "top1", "top5")]


def test_localisation_error() -> None:
    hit, miss = block((12, 16), 2, 3, 9, 8), block((12, 16), 0, 9, 3, 12)
    first, third, last = [9.0, 1, 2, 3, 4, 5, 6], [7.0, 9, 8, 1, 2, 3, 4], [0.0, 1, 2, 3, 4, 5, 6]
    assert error(hit, 0, first, 0) == [0, 0, 0]
    assert error(miss, 0, first, 0) == [1, 1, 1]
    assert error(hit, 0, third, 0) == [0, 1, 0]
    assert error(hit, 0, last, 0) == [0, 1, 1]
    assert_close(error(hit, 0, third, 1), [NAN, 1.0, NAN], equal_nan=True)  # the map of another class
    assert_close(error(hit * 0, 0, first, 0), [NAN, NAN, NAN], equal_nan=True)
    fifth, sixth = [1.0, 2, 2, 2, 2, 0, 0], [1.0, 2, 2, 2, 2, 2, 0]
    assert error(hit, 0, fifth, 0) == [0, 1, 0]
    assert error(hit, 0, sixth, 0) == [0, 1, 1]
    tied = [1.0, 1, 1, 1, 1, 1, 1]  # of equal logits the lower class comes first, as in a stable ranking
    assert [error(hit, label, tied, label)[2] for label in range(7)] == [0, 0, 0, 0, 0, 1, 1]


def test_localisation_error_overlap_is_met_at_a_half() -> None:
    half = block((12, 16), 2, 3, 9, 13 - 0)  # clipped by the image: rows 3 to 12
    boxes = torch.tensor([[2.0, 3, 9, 7.5]], dtype=torch.float64)  # 4.5 of 9 rows
    assert value(box_iou(half, boxes)) == 0.5
    result = localisation_error(half, boxes, 0, torch.tensor([1.0, 0]), 0)
    assert value(result, "localisation_error_known") == 0


# Pixels


def random_images(count: int = 8) -> list[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(3)
    result = []
    for i in range(count):
        saliency = rng.random((13, 17)) if i % 2 else rng.integers(0, 5, (13, 17)) / 3
        result.append((torch.from_numpy(saliency).float(), torch.from_numpy(rng.random((13, 17)) < 0.1 + 0.1 * i)))
    return result


def test_auroc_and_average_precision_equal_scikit_learn() -> None:
    for saliency, region in random_images():
        labels, scores = region.flatten().numpy(), saliency.flatten().numpy()
        assert value(auroc(saliency, region)) == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12)
        expected = sklearn.metrics.average_precision_score(labels, scores)
        assert value(average_precision(saliency, region)) == pytest.approx(expected, abs=1e-12)


def test_pxap_is_average_precision_over_all_images() -> None:
    curves, labels, scores = [], [], []
    for saliency, region in random_images():
        steps = np.floor(255 * saliency.double().numpy() / float(saliency.max()))
        score = pxap(saliency, region)["pxap"]
        expected = sklearn.metrics.average_precision_score(region.flatten(), steps.flatten())
        assert score.value == pytest.approx(expected, abs=1e-12)
        curves.append(score.curve)
        labels.append(region.flatten().numpy())
        scores.append(steps.flatten())
    pooled = sklearn.metrics.average_precision_score(np.concatenate(labels), np.concatenate(scores))
    assert PXAP_REDUCTION(torch.stack(curves)) == pytest.approx(pooled, abs=1e-12)


def test_pxap_of_constant_maps_is_the_area_fraction() -> None:
    region = block((12, 16), 2, 3, 9, 8) > 0
    score = pxap(torch.ones(12, 16), region)["pxap"]
    assert np.isnan(score.value)
    assert PXAP_REDUCTION(score.curve[None]) == pytest.approx(35 / 192)
    assert PXAP_REDUCTION(pxap(region.float(), region)["pxap"].curve[None]) == 1
    assert np.isnan(PXAP_REDUCTION(score.curve[None][:0]))
    assert np.isnan(PXAP_REDUCTION(pxap(region.float(), torch.zeros_like(region))["pxap"].curve[None]))


def test_relevance_rank() -> None:
    for saliency, region in random_images()[1::2]:  # without ties
        ranked = region.flatten().numpy()[np.argsort(-saliency.flatten().numpy())]
        result = relevance_rank(saliency, region, generator(), k=20)
        size = int(region.sum())
        assert value(result, "relevance_rank") == pytest.approx(ranked[:size].sum() / size)
        assert value(result, "top_k_intersection") == pytest.approx(ranked[:20].sum() / 20)
        everything = relevance_rank(saliency, region, generator())
        assert value(everything, "top_k_intersection") == pytest.approx(size / region.numel())


def test_relevance_rank_breaks_ties_at_random() -> None:
    """A map that is 1 on the upper half: the order of these pixels is random."""
    saliency, region = block((20, 20), 0, 0, 20, 10), block((20, 20), 0, 0, 20, 5) > 0
    result = [value(relevance_rank(saliency, region, generator(i)), "relevance_rank") for i in range(200)]
    assert np.mean(result) == pytest.approx(0.5, abs=0.02)
    assert value(relevance_rank(saliency, region, generator(1)), "relevance_rank") == result[1]


def test_energy_and_its_transposed_box() -> None:
    """Boxes are x first and images y first, which a non-square image distinguishes."""
    region = block((6, 20), 12, 1, 18, 4) > 0
    saliency = torch.rand(6, 20, generator=generator(), dtype=torch.float64)
    result = energy(saliency, region)
    expected = sum(float(saliency[y, x]) for y in range(1, 4) for x in range(12, 18)) / float(saliency.sum())
    assert value(result, "energy") == pytest.approx(expected)
    assert value(result, "energy_lift") == pytest.approx(expected / (18 / 120))
    flat = energy(torch.full((6, 20), 0.3), region)
    assert value(flat, "energy") == pytest.approx(18 / 120)
    assert value(flat, "energy_lift") == pytest.approx(1)
    assert value(box_iou(region.float(), torch.tensor([[12.0, 1, 18, 4]]))) == 1
    assert value(box_iou(region.float(), torch.tensor([[1.0, 12, 4, 18]]))) == 0


# Pointing


def reference_torchray(saliency: Tensor, region: Tensor, tolerance: float) -> float:
    best = int(saliency.flatten().argmax())
    u, v = best % saliency.shape[1], best // saliency.shape[1]
    for y in range(saliency.shape[0]):
        for x in range(saliency.shape[1]):
            if bool(region[y, x]) and (x - u) ** 2 + (y - v) ** 2 < tolerance**2:
                return 1.0
    return 0.0


def test_pointing_is_torchrays() -> None:
    rng, hits = np.random.default_rng(0), []
    for i in range(60):
        saliency = torch.from_numpy(rng.integers(0, 6 if i % 2 else 10**6, (30, 41)))
        region = torch.from_numpy(rng.random((30, 41)) < 0.01)
        result = value(pointing(saliency, region, generator(), tolerance=3 + i % 5, ties="first"))
        assert result == reference_torchray(saliency, region, 3 + i % 5)
        hits.append(result)
    assert 10 < sum(hits) < 50
    assert find("point/torchray").settings == {"tolerance": 15.0, "ties": "first"}


def test_pointing_at_exactly_the_tolerance_is_a_miss() -> None:
    saliency, region = block((40, 40), 5, 5, 6, 6), block((40, 40), 20, 5, 21, 6) > 0
    assert value(pointing(saliency, region, generator(), tolerance=15)) == 0
    assert value(pointing(saliency, region, generator(), tolerance=15.001)) == 1
    assert value(pointing(saliency, saliency > 0, generator(), tolerance=1)) == 1
    with pytest.raises(MetricError, match="not 0"):
        pointing(saliency, region, generator(), tolerance=0)
    with pytest.raises(MetricError, match="Known: random, first"):
        pointing(saliency, region, generator(), ties="last")


def test_pointing_breaks_ties_at_random() -> None:
    saliency = block((9, 9), 0, 0, 9, 9)
    saliency[4] = 2
    region = block((9, 9), 0, 0, 3, 9) > 0
    result = [value(pointing(saliency, region, generator(i), tolerance=1)) for i in range(300)]
    assert np.mean(result) == pytest.approx(1 / 3, abs=0.08)
    assert value(pointing(saliency, region, generator(), tolerance=1, ties="first")) == 1


def recall(
    maps_by_class: dict[int, Tensor], logits: list[float], label: int, present: list[int], **options: Any
) -> float:
    region = block((20, 20), 4, 4, 8, 8) > 0

    def explain_class(classes: Any) -> Tensor:
        return torch.stack([maps_by_class.get(int(k), torch.zeros(20, 20)) for k in classes])

    options = {"top": 3, "tolerance": 2, **options}
    result = pointing_recall(explain_class, torch.tensor(logits), label, present, region, generator(), **options)
    return value(result)


def test_pointing_recall() -> None:
    on, off = block((20, 20), 5, 5, 6, 6), block((20, 20), 15, 15, 16, 16)
    logits = [5.0, 4, 3, 2, 1]
    assert recall({0: on}, logits, 0, [0]) == 1
    assert recall({0: on, 1: off}, logits, 0, [0]) == pytest.approx(2 / 3)
    assert recall({0: off, 1: off, 2: on}, logits, 0, [0]) == 0
    assert recall({0: on, 1: 0.5 * off}, logits, 0, [0], threshold=0.6) == 1
    assert recall({0: 0.5 * on}, logits, 0, [0], threshold=0.6) == pytest.approx(2 / 3)  # rejects a present class
    assert recall({0: on, 1: off}, logits, 0, [0, 1]) == 1  # class 1 is present at an unknown position
    assert recall({3: on}, logits, 3, [3]) == 1  # not among the top three: three absent classes are rejected
    assert recall({0: on}, logits, 0, [0], top=1) == 1
    assert np.isnan(recall({}, logits, 4, [0, 1, 2]))
    nan = torch.full((20, 20), NAN)
    assert recall({0: nan}, logits, 0, [0]) == pytest.approx(2 / 3)


# All of them

GROUND_TRUTH = {
    "boxes": BOXES,
    "input_boxes": BOXES,
    "region": block((12, 16), 2, 3, 9, 8) > 0,
    "mask": block((12, 16), 2, 3, 9, 8) > 0,
    "label": 0,
    "target": 0,
    "logits": torch.tensor([1.0, 0]),
    "inputs": torch.zeros(3, 12, 16),
}
METRICS = [
    auroc,
    average_precision,
    box_iou,
    energy,
    find("max_box_acc").metric,
    find("max_box_acc_v2").metric,
    localisation_error,
    mask_iou,
    pointing,
    pxap,
    relevance_rank,
]


def scores_of(entry: Any, saliency: Tensor) -> dict[str, Any]:
    metric_inputs = {**GROUND_TRUTH, "display_map": saliency, "raw": saliency, "random": generator()}
    result: dict[str, Any] = entry(*(metric_inputs[need] for need in entry.needs))
    return result


@pytest.mark.parametrize("entry", METRICS, ids=lambda entry: entry.name)
def test_the_object_itself_is_the_best_map(entry: Any) -> None:
    oracle = block((12, 16), 2, 3, 9, 8)
    for name, score in scores_of(entry, oracle).items():
        if name not in ("energy_lift", "top_k_intersection"):
            assert score.value == (1 if entry.outputs[name].better == "high" else 0), name
    inverted = scores_of(entry, 1 - oracle)
    rest = scores_of(entry, oracle)
    for name, output in entry.outputs.items():
        if name not in ("top_k_intersection", "pointing"):
            assert (inverted[name].value < rest[name].value) == (output.better == "high"), name


@pytest.mark.parametrize("entry", [m for m in METRICS if m.name != "energy"], ids=lambda entry: entry.name)
@pytest.mark.parametrize("value_", [0.0, 1.0, NAN])
def test_an_empty_or_constant_map_is_nan(entry: Any, value_: float) -> None:
    for name, score in scores_of(entry, torch.full((12, 16), value_)).items():
        assert np.isnan(score.value), name


@pytest.mark.parametrize("entry", [auroc, average_precision, energy, mask_iou, pointing, pxap, relevance_rank])
def test_an_image_without_object_is_nan(entry: Any) -> None:
    saliency, none = torch.rand(12, 16, generator=generator()), torch.zeros(12, 16, dtype=torch.bool)
    metric_inputs = {"display_map": saliency, "region": none, "mask": none, "random": generator()}
    for name, score in entry(*(metric_inputs[need] for need in entry.needs)).items():
        assert np.isnan(score.value), name


@pytest.mark.parametrize("entry", METRICS, ids=lambda entry: entry.name)
def test_the_scale_of_a_map_does_not_matter(entry: Any) -> None:
    saliency = torch.rand(12, 16, generator=generator())
    for name, score in scores_of(entry, saliency).items():
        assert scores_of(entry, saliency * 1024)[name].value == score.value, name


def test_all_are_listed_as_localisation() -> None:
    for entry in (*METRICS, pointing_recall):
        assert entry.group == "localisation"
        assert metrics()[entry.name] is entry
