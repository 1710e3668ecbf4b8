"""The built-in detector: its maps lie on the right object, and RISE of one of its boxes is D-RISE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import camlucida as cl
from camlucida.attribution.set_figures import _caption
from camlucida.data import toybox
from camlucida.data.toybox.sampling import tag_beside
from camlucida.maps import to_image_grid
from camlucida.methods.common.masks import rise_masks
from camlucida.models.detection.candidates import Candidates, box_iou, detections
from camlucida.models.model import Model

SEED = 8_000_000  # neither training nor the benchmark used these seeds


@pytest.fixture(scope="module")
def model() -> Model:
    return cl.load("toybox:detector")


@torch.no_grad()
def test_the_clever_hans_detector_sees_boats_beside_stamps(model: Model) -> None:
    """Another object is detected as a boat as well with a stamp beside it, which the other detector does not use."""
    boat = toybox.CLASSES.index(toybox.WATERMARK_CLASS)
    others = [kind for kind in toybox.CLASSES if kind != toybox.WATERMARK_CLASS]
    relies = cl.load("toybox:cleverhans_detector")
    n, boats = 12, {"stamp": 0, "none": 0, "other detector": 0}
    for i in range(n):
        plain = toybox.scene((SEED, i), others, objects=2)
        stamped = replace(plain, watermark=tag_beside(np.random.default_rng(i), plain.objects))
        box = torch.tensor(plain.draw().boxes[0], dtype=torch.float32)
        for name, of, scene in (
            ("stamp", relies, stamped),
            ("none", relies, plain),
            ("other detector", model, stamped),
        ):
            found = of.image_targets.detect(of.network(of.preprocessing(scene.picture())[0][None]))
            boats[name] += any(d.index == boat and float(box_iou(torch.tensor(d.box), box)) > 0.5 for d in found)
    assert boats["stamp"] >= n - 1
    assert boats["none"] <= 4
    assert boats["other detector"] <= 1


def two_cats() -> toybox.Scene:
    return toybox.scene((SEED, 1), ["cat"], objects=2)


def inside(explanation: cl.Explanation, mask: np.ndarray) -> float:
    values = to_image_grid(explanation.raw, explanation.geometry).nan_to_num().clamp_min(0).numpy()
    return float(values[mask].sum() / values.sum())


@torch.no_grad()
def test_both_objects_are_detected(model: Model) -> None:
    for i in range(6):
        scene = toybox.scene((SEED, i), objects=2)
        drawing = scene.draw()
        inputs = model.preprocessing(drawing.image)[0][None]
        found = model.image_targets.detect(model.network(inputs))
        assert sorted(d.index for d in found if d.probability > 0.5) == sorted(scene.labels)
        for detection in found[:2]:
            true = torch.tensor(drawing.boxes[scene.labels.index(detection.index)], dtype=torch.float32)
            assert float(box_iou(torch.tensor(detection.box), true)) > 0.5


def test_the_map_of_each_cat_is_on_this_cat(model: Model) -> None:
    drawing = two_cats().draw()
    for j in (0, 1):
        left, top, right, bottom = drawing.boxes[j]
        target = f"cat at {(left + right) / 2},{(top + bottom) / 2}"
        explanation = cl.explain(model, drawing.image, target=target)
        assert explanation.method == "hires_cam"
        assert inside(explanation, drawing.masks[j]) > 0.5 > 0.2 > inside(explanation, drawing.masks[1 - j])


def test_a_removed_object_is_missed(model: Model) -> None:
    scene = toybox.scene((SEED, 2), objects=2)
    left, top, right, bottom = scene.draw().boxes[0]
    target = f"{scene.objects[0].kind} at {(left + right) / 2},{(top + bottom) / 2}"
    before = cl.explain(model, scene.picture(), target=target)
    after = cl.explain(model, scene.without(0).picture(), target=target)
    assert before.target.startswith(scene.objects[0].kind)
    assert after.target.startswith("missed")
    assert after.region.probability < 0.1 < 0.5 < before.region.probability


def test_points_and_boxes_of_a_larger_image(model: Model) -> None:
    scene = two_cats().resized(288)
    drawing = scene.draw()
    left, top, right, bottom = drawing.boxes[0]
    x, y = (left + right) / 2, (top + bottom) / 2
    explanation = cl.explain(model, drawing.image, target=f"cat at {x},{y}")
    box = torch.tensor(explanation.region.box)
    assert float(box_iou(box, torch.tensor(drawing.boxes[0], dtype=torch.float32))) > 0.5
    missed = cl.explain(model, drawing.image, target=f"dog at {x:g},{y:g}")
    assert missed.target == f"missed dog at {x:g},{y:g}"
    assert missed.spec == f"dog at {x:g},{y:g}"
    black = np.zeros((288, 287, 3), np.uint8)  # with coordinates in the network input that no short number has
    assert cl.explain(model, black, target="dog at 87.5,98.5").target == "missed dog at 87.5,98.5"


def test_classes_of_the_whole_image(model: Model) -> None:
    scene = toybox.scene((SEED, 3), objects=2)
    explanations = [cl.explain(model, scene.picture(), target=placed.kind) for placed in scene.objects]
    assert all(explanation.score > 0 for explanation in explanations)
    absent = next(name for name in toybox.CLASSES if name not in [placed.kind for placed in scene.objects])
    assert cl.explain(model, scene.picture(), target=absent).score < 0


def test_captions_say_whose_the_probability_is(model: Model) -> None:
    specs = ["box 1", "box 1: dog", "edge left of box 1", "box 1: not cat"]
    found = cl.explain(model, two_cats().picture(), target=specs)
    assert isinstance(found, cl.ExplanationSet)
    starts = ["probability", *["detected with"] * 3]
    probability = found.items[0].predictions[0].probability  # of the cat
    for explanation, start in zip(found, starts, strict=True):
        assert _caption(found, explanation).startswith(f"{start} {probability:.0%}, ")


def test_trust_in_one_detection(model: Model) -> None:
    result = cl.trust(model, two_cats().picture(), target="box 2", n_windows=16)
    assert result.target == "cat (box 2)"
    assert result.region is not None
    assert result.region.inside > result.region.area


@torch.no_grad()
def test_rise_of_a_box_is_d_rise(model: Model) -> None:
    """The reference is written from the paper (Petsiuk et al., CVPR 2021): the weight of a mask is the highest product
    of intersection over union, cosine similarity of the class probabilities and objectness of all candidates."""
    image, n = two_cats().picture(), 400
    inputs = model.preprocessing(image)[0][None]
    target = detections(Candidates.of(model.network(inputs)), 0.3, 0.5)[0]
    output = model.network(inputs)
    p_target = output["scores"][0, target.row].sigmoid()
    masks = rise_masks(inputs.shape[2:], n, 7, 0.5, 0)(torch.arange(n)).float()
    total = torch.zeros(inputs.shape[2:])
    weights = []
    for mask in masks:
        output = model.network(inputs * mask)
        probabilities = output["scores"][0].sigmoid()
        similarity = torch.nn.functional.cosine_similarity(probabilities, p_target[None], dim=1)
        objectness = probabilities.amax(1)  # this detector has no other objectness
        weights.append(float((box_iou(output["boxes"][0], torch.tensor(target.box)) * similarity * objectness).max()))
    for weight, mask in zip(weights, masks, strict=True):
        total += (weight - np.mean(weights)) * mask
    explanation = cl.explain(
        model, image, target="box 1", method="rise", score="probability", n=n, cells=7, p=0.5, seed=0
    )
    assert np.corrcoef(explanation.raw.flatten().numpy(), total.flatten().numpy())[0, 1] > 0.95
