"""Arguments of an evaluation have an effect, and all its random numbers depend on the seed alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset, sample_indices, subset
from camlucida.data.toybox import Toybox
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.model_input import prepare_input
from camlucida.evaluation.plan import Plan, explainers_of
from camlucida.evaluation.provenance import mismatch, other_images, weights_mismatch
from camlucida.evaluation.statistics import resamples
from camlucida.metrics import find
from camlucida.models.load import load

SCENES = ToyboxDataset(Toybox(6, seed=3, objects=2))


def test_a_choice_follows_from_its_seed() -> None:
    assert sample_indices(50, 10, 0) == sample_indices(50, 10, 0)
    assert sample_indices(50, 10, 0) != sample_indices(50, 10, 1)
    for seed in range(20):
        chosen = sample_indices(50, 10, seed)
        assert chosen == sorted(set(chosen))
        assert len(chosen) == 10
        assert chosen != list(range(10))
    assert sample_indices(5, None, 3) == sample_indices(5, 9, 3) == [0, 1, 2, 3, 4]
    assert {i for seed in range(200) for i in sample_indices(20, 3, seed)} == set(range(20)), "including the last ones"


def test_bootstrap_resamples_depend_on_their_seed() -> None:
    def sampled(seed: int) -> Any:
        return np.vstack(list(resamples(7, draws=20, seed=seed)))

    assert (sampled(0) == sampled(0)).all()
    assert (sampled(0) != sampled(1)).any()
    assert len({tuple(row) for row in sampled(0)}) > 10


def test_random_numbers_differ_by_seed_and_by_image(tmp_path: Path) -> None:
    image = SCENES[0].image
    twice = ListDataset("twice", [Item(image, "one", 1), Item(image, "two", 1)], SCENES.classes)

    def values(out: str, seed: int) -> list[float]:
        result = evaluate(
            "toybox", twice, methods=["random_cam"], metrics=["max_sensitivity"], seed=seed, out=tmp_path / out
        )
        return result.column("max_sensitivity", "random_cam").values.tolist()

    first = values("a", 0)
    assert first == values("b", 0)
    assert first != values("c", 1)
    assert first[0] != first[1]
    model_inputs = [prepare_input(load("toybox"), item, None, seed=seed) for item in twice.items for seed in (0, 1)]
    generators = [model_input.random(purpose) for model_input in model_inputs for purpose in ("a", "b")]
    sampled = {float(torch.rand(1, generator=generator)) for generator in generators}
    assert len(sampled) == 8


def test_the_requested_class_is_explained(tmp_path: Path) -> None:
    model = load("toybox:permuted")
    rows = {
        target: {row["index"]: row for table in Evaluation(_of(model, target, tmp_path)).path.glob("parts/*.parquet")
                 for row in _rows(table)}
        for target in ("predicted", "true")
    }  # fmt: skip
    differing = [index for index, row in rows["true"].items() if row["label"] != row["predicted"]]
    assert differing
    for index in differing:
        assert rows["true"][index]["target"] == rows["true"][index]["label"]
        assert rows["predicted"][index]["target"] == rows["predicted"][index]["predicted"]


def _of(model: Any, target: str, tmp_path: Path) -> Path:
    return evaluate(model, SCENES, metrics=["entropy"], target=target, out=tmp_path / target).path


def _rows(file: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    table: list[dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
    return table


def test_also_correct_classes_count_as_correct(tmp_path: Path) -> None:
    model = load("toybox")
    image = SCENES[0].image
    predicted = cl.explain(model, image).index
    assert predicted is not None
    other = (predicted + 1) % 10
    items = [
        Item(image, "right too", other, also_correct=(predicted,)),
        Item(image, "wrong", other),
        Item(image, "right", predicted),
        Item(image, "unknown"),
    ]
    result = evaluate(model, ListDataset("four", items, model.labels), metrics=["entropy"], out=tmp_path)
    assert [result.images[i].correct for i in range(4)] == [True, False, True, None]


def test_every_field_of_a_plan_is_in_its_record() -> None:
    model = load("toybox")
    plan = Plan(model, SCENES, (0, 1), (0,) * 10, explainers_of(["grad_cam"]), (find("entropy"),), "predicted", 0)
    others: dict[str, Any] = {
        "model": load("toybox:vgg"),
        "data": ToyboxDataset(Toybox(6, seed=4, objects=2)),
        "indices": (0, 2),
        "explainers": tuple(replace(one, layer="layer3") for one in explainers_of(["grad_cam"])),  # of the same name
        "presets": (find("gini"),),
        "target": "true",
        "seed": 1,
        "compared_pairs": (("grad_cam", "gradient"),),
        "batch_size": 2,
    }
    assert set(others) == {field.name for field in fields(Plan)} - {"outputs"}  # determined by model and data
    record = plan.record()
    assert replace(plan).record() == record
    for name, value in others.items():
        assert replace(plan, **{name: value}).record() != record, name


def test_mismatch_of_model_or_data(tmp_path: Path) -> None:
    model = load("toybox")
    plan = evaluate(model, SCENES, metrics=["entropy"], limit=4, seed=2, out=tmp_path).plan
    assert mismatch(plan, model, SCENES) == ""
    assert "weights" in weights_mismatch(plan, load("toybox:vgg"))
    assert other_images(plan, ToyboxDataset(Toybox(6, seed=4, objects=2)))
    boxes = [replace(item, boxes=None) for item in subset(SCENES, range(6)).items]
    assert other_images(plan, ListDataset(SCENES.name, boxes, SCENES.classes))
    assert mismatch(plan, None, None) == ""


@pytest.mark.parametrize(("metric", "better"), [("energy", "high"), ("deletion", "low")])
def test_direction_of_metrics(metric: str, better: str, tmp_path: Path) -> None:
    result = evaluate("toybox", SCENES, metrics=[metric], limit=2, out=tmp_path)
    name = next(name for name in result.values if name.startswith(metric))
    assert result.values[name].better == better


def test_a_limit_depends_on_the_seed(tmp_path: Path) -> None:
    many = ToyboxDataset(Toybox(40))

    def sampled(out: str, seed: int) -> list[int]:
        return list(evaluate("toybox", many, metrics=["entropy"], limit=4, seed=seed, out=tmp_path / out).images)

    assert sampled("a", 0) == sampled("b", 0) == sample_indices(40, 4, 0)
    assert sampled("c", 1) == sample_indices(40, 4, 1) != sample_indices(40, 4, 0)
