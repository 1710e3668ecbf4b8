"""What is said of the confidence in an object that the network did not find."""

from __future__ import annotations

from dataclasses import replace

import pytest

import camlucida as cl
from camlucida.app.routes.trust.verdict import verdict_of
from camlucida.data import toybox
from camlucida.models.detection.targets import DetectionTargets

IMAGE = toybox.scene(4, kinds=["cat", "dog"], objects=2).picture()


def trusted(model: cl.Model | str, target: str) -> cl.Trust:
    return cl.trust(model, IMAGE, target=target, n_windows=16)


def test_a_missed_detection_has_its_own_probability() -> None:
    result = trusted("toybox:detector", "dog at 10,20")
    explanation = cl.explain("toybox:detector", IMAGE, target="dog at 10,20")
    assert explanation.region is not None
    assert result.probability == pytest.approx(explanation.region.probability, rel=1e-4)
    name, text, details = result.rows[0]
    assert name == "confidence of the prediction"
    assert text == f"not detected (dog {result.probability:.1%})"
    assert details == "a detection has at least 30%"
    assert result.confidence.probability > 0.9, "that of 'not dog', which nobody predicts there"
    assert f"{result.confidence.probability:.1%}" not in str(result)
    assert verdict_of(result).confidence.probability == pytest.approx(result.probability)


def test_a_detection_has_the_probability_of_its_class() -> None:
    result = trusted("toybox:detector", "box 1")
    assert result.missed is None
    assert result.rows[0][1] == f"predicted ({result.probability:.1%})"


def test_a_suppressed_candidate_says_so() -> None:
    """Two boxes of one object: the second one is a detection of a network without suppression only."""
    free = replace(cl.load("toybox:detector"), image_targets=DetectionTargets(threshold=0.3, iou=0.99))
    own = [e for e in cl.explain(free, IMAGE) if e.region is not None and e.region.index == 0]
    assert len(own) > 1, "the cat is detected more than once"
    (left, top, right, bottom), (x0, y0, x1, y1) = (e.region.box for e in own[:2])  # type: ignore[union-attr,misc]
    strict = replace(free, image_targets=DetectionTargets(threshold=0.3, iou=0.01))
    inside_second = [
        (x + 0.5, y + 0.5)
        for x in range(int(x0), int(x1))
        for y in range(int(y0), int(y1))
        if not (left <= x + 0.5 < right and top <= y + 0.5 < bottom)
    ]
    assert inside_second
    x, y = inside_second[0]
    result = trusted(strict, f"cat at {x},{y}")
    assert result.missed is not None
    assert result.probability >= 0.3
    assert result.rows[0][2] == "another detection of the class suppressed it"


def test_a_class_that_is_not_predicted_at_a_pixel() -> None:
    result = trusted("toybox:segmenter", "class:dog at 10,20")
    assert result.rows[0][1].startswith("not predicted (dog ")
    assert result.rows[0][2] == "predicted there is background"


def test_whole_image_classes_are_as_before() -> None:
    text = trusted("toybox", "cat").rows[0]
    assert "over the second class" in text[1]
    assert text[2].endswith("of 10 classes")
