"""Boxes, regions, words and prompts in an evaluation: one row per target, measured on the region of that target."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset, ObjectAnnotation, ToyboxDataset, subset
from camlucida.data.toybox import CLASSES, Toybox
from camlucida.engine.weight_randomization import randomize_weights, stages
from camlucida.errors import TargetError
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.baselines import RandomWeights, standard_controls
from camlucida.evaluation.dataset_pass import outputs_of
from camlucida.evaluation.plan import Plan, explainers_of
from camlucida.evaluation.ray_engine import EvaluationWork
from camlucida.evaluation.store import TARGET_COLUMNS, Store, read_table
from camlucida.evaluation.target_regions import named_classes
from camlucida.metrics import find
from camlucida.models.model import Model

SCENES = ToyboxDataset(Toybox(3, seed=3, objects=2))
"""Of a car and a dog, a house and a car, a tree and a fish; the detector finds all of them."""


@pytest.fixture(scope="module")
def detector() -> Model:
    return cl.load("toybox:detector")


@pytest.fixture(scope="module")
def of_boxes(detector: Model) -> Evaluation:
    return evaluate(detector, SCENES, metrics=["energy", "class_discrimination"], target="all")


def rows(result: Evaluation, metric: str = "energy") -> list[dict[str, Any]]:
    table = pyarrow.parquet.read_table(result.path / "results.parquet").to_pylist()
    return [row for row in table if not metric or row["metric"] == metric or row["error"]]


def energy(saliency: np.ndarray[Any, Any], inside: np.ndarray[Any, Any]) -> float:
    saliency = np.nan_to_num(saliency).clip(0)
    return float(saliency[inside].sum() / saliency.sum())


def in_box(box: Sequence[float], size: int = 96) -> np.ndarray[Any, Any]:
    x = np.arange(size) + 0.5
    return ((x >= box[1]) & (x < box[3]))[:, None] & ((x >= box[0]) & (x < box[2]))


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def test_each_box_is_measured_on_the_object_that_it_detects(of_boxes: Evaluation, detector: Model) -> None:
    table = rows(of_boxes)
    assert len(table) == 6
    for row in table:
        sample = SCENES.scenes[row["index"]]
        explanation = cl.explain(detector, sample.image, target=row["target_spec"])
        assert row["target"] == explanation.target
        assert row["target_spec"] == f"box {row['target_number'] + 1}"
        assert explanation.region is not None
        overlaps = [iou(explanation.region.box, box) for box in sample.drawing.boxes]  # type: ignore[arg-type]
        k = int(np.argmax(overlaps))
        assert row["label"] == CLASSES[sample.labels[k]]
        assert (row["match"], row["region"]) == ("matched", "annotated box")
        assert row["region_box"] == list(sample.drawing.boxes[k])
        assert row["value"] == pytest.approx(energy(explanation.landed, in_box(row["region_box"])), rel=1e-4)
        assert row["confidence"] == pytest.approx(explanation.region.probability, rel=1e-4)
    assert {row["target_number"] for row in table} == {0, 1}


def test_a_map_of_one_box_is_not_in_the_other_object(of_boxes: Evaluation, detector: Model) -> None:
    row = rows(of_boxes, "class_share")[0]
    sample = SCENES.scenes[row["index"]]
    own = sample.labels.index(CLASSES.index(row["label"]))
    saliency = np.nan_to_num(cl.explain(detector, sample.image, target=row["target_spec"]).landed).clip(0)
    inside = in_box(row["region_box"]) & ~sample.drawing.masks[1 - own]
    means = saliency[inside].mean(), saliency[sample.drawing.masks[1 - own] & ~in_box(row["region_box"])].mean()
    assert row["value"] == pytest.approx(means[0] / sum(means), rel=1e-4)


def test_the_columns_of_a_run_and_its_images(of_boxes: Evaluation) -> None:
    column = of_boxes.column("energy", "hires_cam")
    assert column.images.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(set(column.index.tolist())) == 6
    assert [of_boxes.images[i].image for i in column.index] == [0, 0, 1, 1, 2, 2]
    summary = of_boxes.summary("energy", "hires_cam")
    assert (summary.n, summary.n_images) == (6, 3)
    assert np.isnan(summary.low), "three images are too few for an interval, however many boxes they have"
    of_image = np.array([i for i in of_boxes.images if of_boxes.images[i].image == 1])
    assert of_boxes.summary("energy", "hires_cam", indices=of_image).value == pytest.approx(column.values[2:4].mean())
    assert set(of_boxes.images[int(column.index[0])].region_box or ()) == {2.0, 26.0, 45.0, 52.0}


def test_false_positives_and_images_without_annotations(detector: Model) -> None:
    item = SCENES[0]
    sample = SCENES.scenes[0]
    objects = item.objects() if item.objects else ()
    dog = [each for each in objects if each.label == CLASSES.index("dog")]
    moved = replace(dog[0], box=dog[0].box + 40)  # type: ignore[operator]
    other_class = replace(dog[0], label=CLASSES.index("cat"))
    items = [
        Item(sample.image, "dog only", objects=lambda: dog),
        Item(sample.image, "elsewhere", objects=lambda: [moved]),
        Item(sample.image, "a cat there", objects=lambda: [other_class]),
        Item(sample.image, "two dogs", objects=lambda: [moved, *dog]),
        Item(sample.image, "nothing", objects=lambda: []),
        Item(sample.image, "unknown"),
        Item(sample.image, "one box of a class", CLASSES.index("car"), np.array([[2.0, 26, 45, 52]])),
    ]
    table = rows(evaluate(detector, ListDataset("own", items, CLASSES), metrics=["energy"], target="all"))
    found = {(row["image"], row["target"]): (row["match"], row["region"], row["label"]) for row in table}
    car, dog_box = "car (box 1)", "dog (box 2)"
    predicted = "predicted box"
    assert found["dog only", car] == ("not matched", predicted, None)
    assert found["dog only", dog_box] == ("matched", "annotated box", "dog")
    for name in ("elsewhere", "a cat there", "nothing"):
        assert found[name, dog_box] == ("not matched", predicted, None)
    assert found["unknown", dog_box] == (None, predicted, None)
    assert found["one box of a class", car] == ("matched", "annotated box", "car")
    assert found["one box of a class", dog_box] == ("not matched", predicted, None)
    explanation = cl.explain(detector, sample.image, target="box 1")
    row = next(row for row in table if (row["image"], row["target"]) == ("two dogs", dog_box))
    assert row["region_box"] == dog[0].box.tolist(), "the one that overlaps most, not the first one"  # type: ignore[union-attr]
    row = next(row for row in table if (row["image"], row["target"]) == ("dog only", car))
    assert explanation.region is not None
    assert explanation.region.box is not None
    assert row["region_box"] == pytest.approx(explanation.region.box)
    assert row["value"] == pytest.approx(energy(explanation.landed, in_box(explanation.region.box)), rel=1e-4)


def test_regions_of_a_segmentation() -> None:
    model = cl.load("toybox:segmenter")
    sample = SCENES.scenes[0]
    without = Item(sample.image, "without masks", objects=lambda: [ObjectAnnotation(0, np.array([0.0, 0, 9, 9]))])
    data = ListDataset("own", [SCENES[0], without], CLASSES)
    table = rows(evaluate(model, data, metrics=["energy"], target="all"))
    assert [row["target_spec"] for row in table] == ["class:dog", "class:car"] * 2
    for row in table:
        explanation = cl.explain(model, sample.image, target=row["target_spec"])
        mask = sample.drawing.masks[sample.labels.index(CLASSES.index(row["predicted"]))]
        expected = ("matched", "annotated mask", row["predicted"])
        if row["image"] == "without masks":
            assert explanation.region is not None
            assert explanation.region.mask is not None
            mask, expected = explanation.region.mask.numpy(), (None, "predicted mask", None)
        assert (row["match"], row["region"], row["label"]) == expected
        assert row["value"] == pytest.approx(energy(explanation.landed, mask), rel=1e-4)


def test_a_class_that_is_annotated_elsewhere_in_the_data_is_a_false_positive() -> None:
    item = SCENES[0]
    car = [each for each in (item.objects() if item.objects else ()) if each.label == CLASSES.index("car")]
    data = ListDataset("own", [replace(item, objects=lambda: car)], CLASSES)
    table = rows(evaluate("toybox:segmenter", data, metrics=["energy"], target="all"))
    assert [(row["predicted"], row["match"], row["region"]) for row in table] == [
        ("dog", "not matched", "predicted mask"),
        ("car", "matched", "annotated mask"),
    ]


def test_words_are_measured_on_the_objects_that_they_name() -> None:
    model = cl.load("toybox:captioner")
    table = rows(evaluate(model, subset(SCENES, [0]), metrics=["energy"], target="all"), "")
    words = [(row["target_spec"], row["predicted"], row["region"]) for row in table if row["metric"] == "explaining"]
    assert [word for word, _, _ in words] == [f"word {k}" for k in range(1, 6)]
    assert [region for _, _, region in words] == [
        *("no region", "annotated mask"),
        *("no region", "no region", "annotated mask"),
    ]
    measured = [row for row in table if row["metric"] == "energy"]
    assert not any(row["error"] for row in table), "the word 'and' has no region, which is no failure"
    for row in measured:
        sample = SCENES.scenes[0]
        mask = sample.drawing.masks[sample.labels.index(CLASSES.index(row["label"]))]
        explanation = cl.explain(model, sample.image, target=row["target_spec"], method="layer_cam")
        assert row["value"] == pytest.approx(energy(explanation.landed, mask), rel=1e-4)


def test_which_classes_a_text_names() -> None:
    classes = ("dog", "hot dog, hotdog", "cat", "fox")
    assert named_classes("a photo of Dogs", classes) == {0}
    assert named_classes("two hot dogs", classes) == {0, 1}
    assert named_classes("foxes and a catalogue", classes) == {3}
    assert named_classes("a", classes) == frozenset()


@pytest.mark.parametrize(
    ("target", "specs"),
    [
        ("box 2", ["box 2"]),
        ("box 2: cat rather than dog", ["box 2: cat rather than dog"]),
        ("edge left of box 1", ["edge left of box 1"]),
        ("dog at 60,40", ["box 2"]),
        ("dog", [""]),
        (1, [""]),
        ("top3", ["", "", ""]),
        ("not dog", [""]),
    ],
)
def test_any_target_that_explain_takes(target: Any, specs: list[str], detector: Model) -> None:
    table = rows(evaluate(detector, subset(SCENES, [0]), metrics=["energy", "deletion"], target=target), "")
    energies = [row for row in table if row["metric"] == "energy"]
    assert [row["target_spec"] for row in table if row["metric"] == "explaining"] == specs
    explained = cl.explain(detector, SCENES[0].image, target=target)
    explanations = list(explained) if isinstance(explained, cl.ExplanationSet) else [explained]
    for row in energies:
        explanation = explanations[row["target_number"]]
        assert row["target"] == explanation.target
        assert row["region"].startswith("annotated")
        assert row["value"] == pytest.approx(energy(explanation.landed, _region_of(row)), rel=1e-4)
    assert {row["error"] for row in table} == {None}


def _region_of(row: dict[str, Any]) -> np.ndarray[Any, Any]:
    if row["region"] == "annotated box":
        return in_box(row["region_box"])
    drawing = SCENES.scenes[row["index"]].drawing
    mask: np.ndarray[Any, Any] = drawing.masks[[list(box) for box in drawing.boxes].index(row["region_box"])]
    return mask


def test_the_random_network_is_read_at_the_same_box(detector: Model) -> None:
    """The control random_weights of every box, by hand; one network serves all boxes."""
    control = next(c for c in standard_controls("hires_cam") if isinstance(c, RandomWeights))
    result = evaluate(detector, subset(SCENES, [0]), metrics=["energy"], target="all", controls=[control])
    network = randomize_weights(detector.network, stages(detector.network), seed=0)
    table = [row for row in rows(result) if row["method"] == "random_weights"]
    targets = detector.image_targets
    assert targets is not None
    inputs = detector.preprocessing(SCENES[0].image)[0][None]
    for row, bound in zip(table, targets.bind(detector, inputs, None), strict=True):
        own = replace(bound.model, network=network)
        map_ = cl.attribute(own, inputs, target=bound.target, method="hires_cam")
        saliency = torch.nn.functional.interpolate(map_[None], (96, 96), mode="bilinear")[0, 0].relu().numpy()
        assert row["value"] == pytest.approx(energy(saliency, in_box(row["region_box"])), rel=1e-3)
    assert len({row["value"] for row in table}) == 2
    assert result.uninformative == (), "it is read at the box, so it knows where the object is"
    whole = evaluate(detector, subset(SCENES, [0]), metrics=["energy"], controls=[control])
    assert whole.uninformative == ("random_weights",)


class Stop(Exception):
    pass


def numbers(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in table]


def test_an_interrupted_run_and_a_broken_image(tmp_path: Path, detector: Model) -> None:
    items = [SCENES[i % 3] for i in range(9)]
    items = [replace(item, name=f"{i}") for i, item in enumerate(items)]
    (tmp_path / "text.png").write_text("no image")
    items[1] = Item(tmp_path / "text.png", "broken", 0)
    items[2] = Item(torch.zeros(3, 96, 96), "black")  # nothing is detected
    data = ListDataset("nine", items, CLASSES)

    def run(out: str, **options: Any) -> Evaluation:
        return evaluate(detector, data, metrics=["energy"], target="all", out=tmp_path / out, **options)

    whole = run("whole")

    def stop(done: int, total: int) -> None:
        if done == 9:
            raise Stop

    with pytest.raises(Stop):
        run("part", progress=stop)
    assert [p.name for p in (tmp_path / "part" / "parts").iterdir()] == ["part-00000.parquet"]
    resumed = run("part")
    assert numbers(rows(resumed, "")) == numbers(rows(whole, ""))
    reasons = {image: reason for image, _, reason in resumed.failures}
    assert "text.png" in reasons["broken"]
    assert reasons["black"].startswith("nothing was detected")
    keys = [(row["index"], row["target"], row["method"], row["metric"]) for row in rows(resumed, "")]
    assert len(keys) == len(set(keys))
    assert resumed.summary("energy", "hires_cam").n_images == 7
    with pytest.raises(cl.errors.DataError, match="holds another run: target is 'all', not 'box 1'"):
        evaluate(detector, data, metrics=["energy"], target="box 1", out=tmp_path / "part")


def test_the_parts_of_a_ray_worker_have_the_same_rows(of_boxes: Evaluation, detector: Model, tmp_path: Path) -> None:
    """Without Ray: the work of a pool, part by part."""
    evaluate(detector, SCENES, metrics=["energy", "class_discrimination"], target="all", out=tmp_path, limit=3)
    plan = Plan(
        *(detector, SCENES, (0, 1, 2), outputs_of(SCENES.classes, detector)),
        *(explainers_of(["hires_cam"]), tuple(map(find, ("energy", "class_discrimination"))), "all", 0),
    )
    work = EvaluationWork(plan, Store(tmp_path, TARGET_COLUMNS))
    shutil.rmtree(tmp_path / "parts")
    work.run(0)
    assert numbers(read_table(tmp_path / "parts" / "part-00000.parquet").to_pylist()) == numbers(rows(of_boxes, ""))


def test_targets_that_there_are_not(detector: Model) -> None:
    result = evaluate(detector, subset(SCENES, [0]), metrics=["energy"], target="box 7")
    ((image, method, reason),) = result.failures
    assert (image, method) == ("scene 0", "")
    assert "there is no box 7: the detector found box 1 (car 91%), box 2 (dog 84%)" in reason
    with pytest.raises(TargetError, match="class scores for every word, but none of the whole image"):
        evaluate("toybox:captioner", SCENES, metrics=["energy"])
    with pytest.raises(TargetError, match="--target all"):
        evaluate("toybox:captioner", SCENES, metrics=["energy"], target="true")
    with pytest.raises(TargetError, match=r"no class 'dgo' in this model. Did you mean 'dog'"):
        evaluate("toybox", SCENES, metrics=["energy"], target="dgo")
    with pytest.raises(TargetError, match=r"'dog'[?] Targets of each image are 'all' and what explain takes: 'box 1'"):
        evaluate(detector, SCENES, metrics=["energy"], target="dgo")
    with pytest.raises(TargetError, match="what explain takes as text"):
        evaluate(detector, SCENES, metrics=["energy"], target=lambda scores: scores[:, 0])  # type: ignore[arg-type]


def test_all_classes_of_a_classifier() -> None:
    result = evaluate("toybox", subset(SCENES, [0]), metrics=["energy"], target="all")
    table = rows(result, "explaining")
    assert [row["target"] for row in table] == list(CLASSES)
    present = {row["target"]: row["match"] for row in table}
    assert [name for name, match in present.items() if match == "matched"] == ["dog", "car"]
    many = cl.wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 30, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()))
    with pytest.raises(TargetError, match="this classifier has 30"):
        evaluate(many, subset(SCENES, [0]), metrics=["energy"], target="all")


@pytest.fixture(scope="module")
def clip() -> Model:
    pytest.importorskip("open_clip")
    from tests.models.image_text.networks import open_clip_tokenizer, open_clip_vit

    return cl.wrap(open_clip_vit(), tokenizer=open_clip_tokenizer(), size=32)


class TestPrompts:
    """A small CLIP with random weights."""

    PROMPTS = ("a dog", "a cat", "a car")

    @pytest.mark.parametrize("target", ["predicted", "true"])
    def test_prompts_as_classes(self, target: str, clip: Model) -> None:
        classes = clip.with_prompts(self.PROMPTS, template="a photo of {}")
        result = evaluate(classes, subset(SCENES, [0, 1]), metrics=["energy", "deletion"], target=target)
        table = rows(result)
        # The label of the second scene, a house, is none of the prompts: the predicted one is explained.
        own = cl.explain(classes, SCENES[1].image).target
        expected = [cl.explain(classes, SCENES[0].image).target, own] if target == "predicted" else ["a car", own]
        assert [row["target"] for row in table] == expected
        for row in table:
            item = SCENES[row["index"]]
            explanation = cl.explain(classes, item.image, target=row["target"])
            assert item.mask is not None
            assert row["value"] == pytest.approx(energy(explanation.landed, item.mask()), rel=1e-4)

    def test_each_prompt_has_the_region_of_the_class_that_it_names(self, clip: Model) -> None:
        classes = clip.with_prompts(self.PROMPTS)
        table = rows(evaluate(classes, subset(SCENES, [0]), metrics=["gini"], target="all"), "gini")
        assert [(row["target"], row["match"]) for row in table] == [
            ("a dog", "matched"),
            ("a cat", "not matched"),
            ("a car", "matched"),
        ]
        alone = rows(evaluate(clip, subset(SCENES, [0]), metrics=["energy"], target="text:a dog among a cat, a car"))
        explanation = cl.explain(clip, SCENES[0].image, target="text:a dog among a cat, a car")
        mask = SCENES.scenes[0].drawing.masks[SCENES.scenes[0].labels.index(CLASSES.index("dog"))]
        assert alone[0]["value"] == pytest.approx(energy(explanation.landed, mask), rel=1e-4)
        assert alone[0]["target_spec"] == "text:a dog among a cat, a car"

    def test_classes_are_asked_for(self, clip: Model) -> None:
        for target in ("predicted", "true", "all"):
            with pytest.raises(TargetError, match=r"compares images with texts and has no classes.*with_prompts"):
                evaluate(clip, SCENES, metrics=["energy"], target=target)
