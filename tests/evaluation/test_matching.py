"""Greedy matching of detections with objects, by hand and as pycocotools' COCOeval does it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset, ObjectAnnotation, ToyboxDataset
from camlucida.data.toybox import CLASSES, Toybox
from camlucida.evaluation import evaluate
from camlucida.evaluation.matching import ANY_CLASS, box_overlaps, match
from camlucida.evaluation.target_regions import match_detections, region_of_detection
from camlucida.models.detection.targets import DetectionTargets
from camlucida.types import Region

OBJECTS = np.array([[0.0, 0, 10, 10], [8, 0, 18, 10]])
"""Two objects that overlap by 2 x 10 pixels."""
DETECTIONS = np.array([[1.0, 0, 11, 10], [0, 0, 10, 10], [8, 0, 18, 10], [8, 0, 18, 9]])
"""Most probable first: the first object by 9 / 11, exactly, the second one exactly, and a second time."""


def by_hand(detected: list[int], annotated: list[int], overlaps: NDArray[np.float64]) -> list[int]:
    """COCOeval.evaluateImg for one threshold, one class after the other, written as loops."""
    found = [-1] * len(detected)
    for k in set(detected):
        taken: set[int] = set()
        for i in [i for i, own in enumerate(detected) if own == k]:
            best, best_iou = -1, 0.5
            for j in [j for j, own in enumerate(annotated) if own == k]:
                if j not in taken and overlaps[i, j] >= best_iou:
                    best, best_iou = j, overlaps[i, j]
            if best >= 0:
                taken.add(best)
                found[i] = best
    return found


def test_two_detections_of_one_object_are_one_match() -> None:
    overlaps, shares = box_overlaps(DETECTIONS, OBJECTS)
    assert overlaps[0, 0] == pytest.approx(9 / 11)
    found = match([0] * 4, [0] * 2, overlaps, [False] * 2, shares)
    assert found.objects == (0, -1, 1, -1), "the most probable one takes the object, also where another fits better"
    assert found.missed == ()


def test_random_detections_match_as_in_the_loop_of_coco() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        n, m = generator.integers(0, 9, 2)
        corners = [generator.integers(0, 12, (count, 2)) for count in (n, m)]
        boxes, others = (np.hstack([c, c + generator.integers(4, 12, c.shape)]).astype(float) for c in corners)
        detected, annotated = generator.integers(0, 2, n).tolist(), generator.integers(0, 2, m).tolist()
        overlaps, shares = box_overlaps(boxes, others)
        assert list(match(detected, annotated, overlaps, [False] * m, shares).objects) == by_hand(
            detected, annotated, overlaps
        )


def test_an_object_without_a_class_matches_any_detection_once() -> None:
    overlaps, shares = box_overlaps(DETECTIONS, OBJECTS)
    assert match([3, 4, 5, 6], [ANY_CLASS, 5], overlaps, [False] * 2, shares).objects == (0, -1, 1, -1)


def test_regions_of_detections() -> None:
    regions = [Region(tuple(box), name=f"box {i}", index=0) for i, box in enumerate(DETECTIONS.tolist(), 1)]
    objects = [ObjectAnnotation(7, box) for box in OBJECTS]
    matches = match_detections(regions, objects, {7: 0}.get)
    found = [region_of_detection(region, matches) for region in regions]
    assert [each.match for each in found] == ["matched", "not matched", "matched", "not matched"]
    assert [each.text for each in found] == ["annotated box", "predicted box"] * 2
    assert found[0].box == OBJECTS[0].tolist()
    assert [each.label for each in found] == [7, None, 7, None]
    assert [region_of_detection(region, None).match for region in regions] == [None] * 4
    crowd = [replace(objects[0], is_ignored=True), objects[1]]
    found = [region_of_detection(region, match_detections(regions, crowd, {7: 0}.get)) for region in regions]
    assert [each.match for each in found] == [None, None, "matched", "not matched"]


@pytest.fixture(scope="module")
def unsuppressed() -> cl.Model:
    """A detector that reports candidates of one object several times."""
    return replace(cl.load("toybox:detector"), image_targets=DetectionTargets(threshold=0.3, iou=0.99))


def test_evaluate_matches_one_to_one(unsuppressed: cl.Model) -> None:
    scenes = ToyboxDataset(Toybox(2, seed=3, objects=2))
    table = evaluate(unsuppressed, scenes, metrics=["energy"], target="all").images.values()
    seen = 0
    for i in range(2):
        sample, rows = scenes.scenes[i], [row for row in table if row.image == i]
        objects = np.array([list(box) for box in sample.drawing.boxes], dtype=float)
        explained = cl.explain(unsuppressed, sample.image, target=[row.target_spec for row in rows])
        boxes = np.array([e.region.box for e in explained if e.region is not None])
        classes = [e.region.index for e in explained if e.region is not None]
        expected = by_hand([int(k or 0) for k in classes], list(sample.labels), box_overlaps(boxes, objects)[0])
        assert [row.correct for row in rows] == [number >= 0 for number in expected]
        assert [row.region for row in rows] == ["annotated box" if k >= 0 else "predicted box" for k in expected]
        assert sum(bool(row.correct) for row in rows) <= 2 < len(rows)
        seen += sum(not row.correct for row in rows)
    assert seen > 2, "duplicates are what this is about"


def test_one_box_competes_with_the_others_that_are_not_evaluated(unsuppressed: cl.Model) -> None:
    """A duplicate is no match either if it is the only target of the run."""
    scenes = ToyboxDataset(Toybox(1, seed=3, objects=2))
    together = list(evaluate(unsuppressed, scenes, metrics=["energy"], target="all").images.values())
    duplicate = next(row for row in together if not row.correct)
    alone = evaluate(unsuppressed, scenes, metrics=["energy"], target=duplicate.target_spec)
    assert [row.correct for row in alone.images.values()] == [False]


def test_predicted_and_confidence_are_those_of_the_row(tmp_path: object) -> None:
    """A candidate with two classes above the threshold is two detections, each of its own class."""
    model = replace(cl.load("toybox:detector"), image_targets=DetectionTargets(threshold=0.01, iou=0.5))
    scenes = ToyboxDataset(Toybox(1, seed=3, objects=2))
    rows = list(evaluate(model, scenes, metrics=["energy"], target="all").images.values())
    explained = {e.spec: e for e in cl.explain(model, scenes[0].image)}
    is_second = []
    for row in rows:
        region, best = explained[row.target_spec].region, explained[row.target_spec].predictions[0]
        assert region is not None
        assert row.predicted == CLASSES[region.index or 0]
        assert row.confidence == pytest.approx(region.probability, rel=1e-4)
        is_second.append(best.index != region.index)
    assert any(is_second), "for these, the candidate has another class with a higher probability"


def test_a_missed_object_is_not_predicted_and_has_its_own_probability() -> None:
    model, scenes = cl.load("toybox:detector"), ToyboxDataset(Toybox(1, seed=3, objects=2))
    absent = next(name for k, name in enumerate(CLASSES) if k not in scenes.scenes[0].labels)
    (row,) = evaluate(model, scenes, metrics=["energy"], target=f"{absent} at 5,5").images.values()
    explanation = cl.explain(model, scenes[0].image, target=f"{absent} at 5,5")
    assert explanation.region is not None
    assert explanation.region.is_missed
    assert row.predicted == ""
    assert row.confidence == pytest.approx(explanation.region.probability, rel=1e-4)


def test_words_without_an_object_are_one_sentence_and_no_failure() -> None:
    from camlucida.evaluation.baselines import controls_of
    from camlucida.report.summary_text import target_sentence

    model, scenes = cl.load("toybox:captioner"), ToyboxDataset(Toybox(1, seed=3, objects=2))
    result = evaluate(model, scenes, metrics=["energy"], target="all", controls=controls_of(model))
    assert result.failures == ()
    without = sum(row.region == "no region" for row in result.images.values())
    assert without == 3
    assert target_sentence(result).endswith(f"{without} words name no object of the data set: not measured.")
    item = Item(scenes[0].image, "no objects", objects=lambda: [])
    of_none = evaluate(model, ListDataset("own", [item], CLASSES), metrics=["energy"], target="word 2")
    assert target_sentence(of_none).endswith("1 word names no object of the data set: not measured.")
