"""Sanity checks of boxes, regions and words: the re-initialised network is read where the original one is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tests.models.detection import small_detectors
from tests.models.detection.test_torchvision_detectors import DETECTORS

import camlucida as cl
from camlucida.attribution.bind_targets import bind_one
from camlucida.attribution.class_targets import class_targets
from camlucida.attribution.output_reader import predict
from camlucida.data.toybox import Toybox
from camlucida.engine.weight_randomization import randomize_weights, stages
from camlucida.errors import TargetError
from camlucida.models.detection.candidates import Candidates, box_iou
from camlucida.models.detection.readers import BoxScores, RowScores
from camlucida.models.detection.transformers import TransformersDetector
from camlucida.models.model import Model
from camlucida.sanity_checks import Step, sanity
from camlucida.sanity_checks.verdict import judge_check

SCENES = [sample.image for sample in Toybox(2, seed=3, objects=2)]


def bound_to(model: Model, target: str, scene: int = 0) -> Any:
    inputs, geometry = model.preprocessing(SCENES[scene])
    return bind_one(model, inputs, target, geometry, "tests"), inputs[None]


@pytest.mark.parametrize(
    ("spec", "target", "method"),
    [
        ("toybox:detector", "box 2", "hires_cam"),
        ("toybox:segmenter", "class:car", "grad_cam"),
        ("toybox:captioner", "word 5", "layer_cam"),
    ],
)
def test_each_step_is_that_of_the_bound_model_with_other_weights(spec: str, target: str, method: str) -> None:
    """Maps of the model that was bound to the unmodified network, with the random one in its place, and SciPy."""
    model = cl.load(spec)
    result = sanity(model, SCENES[:1], methods=[method], checks=["cascading"], target=target, seeds=1)
    bound, inputs = bound_to(model, target)
    if spec == "toybox:detector":  # the same cell of the grid, wherever its box is
        row = int(bound.model.output.match(Candidates.of(model.network(inputs)))[0])
        by_hand = replace(bound.model, output=lambda output: output["scores"][:, row])
        bound = replace(bound, model=by_hand)
    original = cl.attribute(bound.model, inputs, target=bound.target, method=method, signed=True)
    order = stages(model.network)
    assert [step.stage for step in result.steps] == [stage.name for stage in order]
    for n, step in enumerate(result.steps, 1):
        network = randomize_weights(model.network, order[:n], seed=0)
        other = cl.attribute(
            replace(bound.model, network=network), inputs, target=bound.target, method=method, signed=True
        )
        both = torch.stack([original.flatten(), other.flatten()])
        if spec == "toybox:detector":  # the other cells do not matter for this one, with any weights
            both = both[:, (both != 0).any(0)]
            assert both.shape[1] == 9
        expected = spearmanr(*both).statistic
        assert step.spearman == pytest.approx(expected, abs=1e-4, nan_ok=True)
        assert step.target == cl.explain(model, SCENES[0], target=target).target


def test_the_random_detector_is_read_at_the_same_cell() -> None:
    """With random weights, the box of the same cell hardly overlaps with the one that is asked about, or not at all."""
    model = cl.load("toybox:detector")
    inputs, geometry = model.preprocessing(SCENES[0])
    for spec in ("box 1", "box 2", "box 1: cat rather than dog", "edge left of box 1"):
        (unpinned,) = class_targets(model, inputs, [spec], geometry)
        (pinned,) = class_targets(model, inputs, [spec], geometry, pinned=True)
        assert torch.equal(pinned.logits, unpinned.logits)
        assert (pinned.label, pinned.spec, pinned.index) == (unpinned.label, unpinned.spec, unpinned.index)
    (box,) = class_targets(model, inputs, ["box 1"], geometry, pinned=True)
    original = Candidates.of(model.network(inputs[None]))
    row = box.model.output.row  # type: ignore[union-attr]
    reference = torch.tensor(box.bound.region.box)  # type: ignore[union-attr]
    assert float(box_iou(original.boxes[0, row].detach(), reference)) > 0.99
    network = randomize_weights(model.network, stages(model.network)[:2], seed=0)
    output = network(inputs[None])
    assert torch.equal(predict(replace(box.model, network=network), inputs[None])[0], output["scores"][:, row])
    (by_overlap,) = class_targets(model, inputs, ["box 1"], geometry)
    other_row = int(by_overlap.model.output.match(Candidates.of(output))[0])  # type: ignore[union-attr]
    assert other_row != row, "the candidate that overlaps is another one"


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_only_detectors_with_a_fixed_order_are_pinned(name: str) -> None:
    model = cl.wrap(DETECTORS[name]())
    inputs, geometry = model.preprocessing(SCENES[0])
    first = model.image_targets.detect(model.network(inputs[None]))[0]  # type: ignore[union-attr]
    (found, *_) = class_targets(model, inputs, ["box 1"], geometry, pinned=True)
    if name == "faster_rcnn":
        assert isinstance(found.model.output, BoxScores)
        return
    assert isinstance(found.model.output, RowScores)
    row = found.model.output.row
    assert (row, found.index) == (first.row, first.index)
    network = randomize_weights(model.network, stages(model.network)[:1], seed=0)
    output = network(inputs[None])
    assert torch.equal(predict(replace(found.model, network=network), inputs[None])[0], output["scores"][:, row])
    result = sanity(model, SCENES[:1], checks=["random_logit"], target="box 1", seeds=1)
    assert {step.target for step in result.steps} == {found.label}


def test_queries_that_are_selected_are_not_pinned() -> None:
    """RT-DETR and two-stage DETR select their queries from the positions of the encoder."""
    hf = pytest.importorskip("transformers")
    torch.manual_seed(0)
    built = {name: getattr(small_detectors, name)(hf).eval() for name in ("detr", "deformable_detr_two_stage")}
    assert TransformersDetector(built["detr"]).fixed_order
    assert not TransformersDetector(built["deformable_detr_two_stage"]).fixed_order


def test_another_number_of_candidates_is_an_error() -> None:
    with pytest.raises(TargetError, match="returned 3 candidates and 5 before"):
        RowScores(1, 5)({"boxes": torch.zeros(1, 3, 4), "scores": torch.zeros(1, 3, 2)})


def test_the_reader_of_a_box_takes_the_candidate_that_overlaps() -> None:
    """The candidate that is read overlaps with the reference box more than any other, in the random network too."""
    model = cl.load("toybox:detector")
    bound, inputs = bound_to(model, "box 1")
    other, _ = bound_to(model, "box 2")
    network = randomize_weights(model.network, stages(model.network)[:2], seed=0)
    candidates = Candidates.of(network(inputs))
    reader = bound.model.output
    rows, overlap = reader.match(candidates)
    overlaps = box_iou(candidates.boxes_of(reader.index)[0], torch.tensor(reader.box))
    close = overlaps >= reader.min_iou
    expected = (
        overlaps.argmax()
        if not close.any()
        else candidates.scores[0, :, reader.index].masked_fill(~close, -99).argmax()
    )
    assert int(rows) == int(expected)
    assert float(overlap) == pytest.approx(float(overlaps[int(expected)]))
    assert int(rows) != int(other.model.output.match(candidates)[0])


def test_the_random_captioner_has_the_same_text() -> None:
    """Teacher forcing: the logits at the position of the word, for the tokens that the original network wrote."""
    model = cl.load("toybox:captioner")
    bound, inputs = bound_to(model, "word 5")
    network = randomize_weights(model.network, stages(model.network)[:1], seed=0)
    ids = bound.model.held["input_ids"]
    scores, _ = predict(replace(bound.model, network=network), inputs)
    with torch.no_grad():
        expected = network(pixel_values=inputs, input_ids=ids)[0, bound.model.output.position]
    assert torch.allclose(scores[0], expected, atol=1e-5)
    assert expected.argmax() != bound.target, "the random network would write another text"


def test_all_targets_of_all_images() -> None:
    model = cl.load("toybox:detector")
    result = sanity(model, SCENES, checks=["random_logit"], target="all", seeds=1)
    labels = list(dict.fromkeys((step.image, step.target) for step in result.steps))
    assert [target for _, target in labels] == ["car (box 1)", "dog (box 2)", "house (box 1)", "car (box 2)"]
    assert result.verdicts[0].n == 6 * 4
    assert len({step.image for step in result.steps}) == 2
    names = [name for name, _ in labels]
    pairs = [step.pair for step in result.steps if step.stage == "runner-up"]
    maps = [[cl.explain(model, image, target=f"box {k}").raw.flatten() for k in (1, 2)] for image in SCENES]
    runner_up = _runner_up(model)
    # A map is compared with one of another image, never with the other box of its own.
    assert names[0] == names[1] != names[2]
    assert pairs[1] == pytest.approx(spearmanr(maps[1][1], runner_up).statistic, abs=1e-3)


def _runner_up(model: Model) -> Any:
    """The map of the second most probable class at the second box of the first scene."""
    bound, inputs = bound_to(model, "box 2")
    scores = bound.model.output(model.network(inputs))[0]
    second = int(scores.topk(2).indices[1])
    return cl.attribute(bound.model, inputs, target=second, method="hires_cam", signed=True).flatten()


def test_an_image_without_the_target_is_listed() -> None:
    black = np.zeros((96, 96, 3), dtype=np.uint8)
    result = sanity("toybox:detector", [SCENES[0], black], checks=["random_logit"], target="box 1", seeds=1)
    ((_, reason),) = result.failures
    assert reason.startswith("nothing was detected")
    with pytest.raises(TargetError, match=r"none of the 1 images has the target 'box 9'.*found box 1 \(car 91%\)"):
        sanity("toybox:detector", SCENES[:1], target="box 9")


def test_targets_that_there_are_not() -> None:
    with pytest.raises(TargetError, match="--target all"):
        sanity("toybox:captioner", SCENES[:1])
    with pytest.raises(TargetError, match="without labels"):
        sanity("toybox", SCENES[:1], target="true")
    with pytest.raises(TargetError, match="random_logit explains other classes, and 'left edge of box 1'"):
        sanity("toybox:detector", SCENES[:1], target="edge left of box 1")
    edge = sanity("toybox:detector", SCENES[:1], target="edge left of box 1", checks=["cascading"], seeds=1)
    assert len(edge.steps) == len(stages(cl.load("toybox:detector").network))


def test_a_class_of_a_classifier_is_explained_in_batches() -> None:
    named = sanity("toybox", SCENES, target="dog", checks=["cascading"], seeds=1)
    model = cl.load("toybox")
    network = randomize_weights(model.network, stages(model.network)[:1], seed=0)
    for i, step in enumerate(s for s in named.steps if s.stage == "fc"):
        inputs = model.preprocessing(SCENES[i])[0][None]
        first, other = (
            cl.attribute(replace(model, network=n), inputs, target="dog", method="grad_cam", signed=True)
            for n in (model.network, network)
        )
        assert step.spearman == pytest.approx(spearmanr(first.flatten(), other.flatten()).statistic, abs=1e-4)


def test_boxes_of_one_image_do_not_narrow_the_error() -> None:
    """Equal numbers of ten boxes of each image have the standard error of one number per image."""
    values = [0.1, 0.5, 0.2, 0.9]

    def steps(n: int) -> list[Step]:
        return [
            Step(f"{i}", "a", "labels", "s", 1.0, 0, value, 0, 0, 0, 0, f"box {k}")
            for i, value in enumerate(values)
            for k in range(n)
        ]

    expected = np.std(values, ddof=1) / 2
    assert judge_check("a", "labels", steps(1)).error == pytest.approx(expected)
    assert judge_check("a", "labels", steps(10)).error == pytest.approx(expected)
