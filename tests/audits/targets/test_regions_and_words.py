"""Audits of regions, of words and of prompts: rows equal what `explain` returns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import camlucida as cl
from camlucida.audits.run import audit
from camlucida.audits.targets.words import bind_words
from camlucida.data.datasets import Item, ListDataset, ObjectAnnotation, ToyboxDataset, annotated_objects
from camlucida.data.toybox import Toybox
from camlucida.errors import TargetError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.load import load

CLASSES = ToyboxDataset(Toybox(1)).classes


def scenes(n: int = 3) -> ToyboxDataset:
    return ToyboxDataset(Toybox(n, seed=3, objects=2))


def assert_maps_are_those_of_explain(model: cl.Model, data: Any, rows: Any, maps: np.ndarray, method: str) -> None:
    for i, row in enumerate(rows):
        result = cl.explain(model, data[row["index"]].image, target=row["target"], method=method)
        assert isinstance(result, cl.Explanation)
        scaled = result.raw / result.raw.abs().max()
        assert float((torch.from_numpy(maps[i]).float() - scaled).abs().max()) < 2e-3, row["target"]


def test_regions_of_a_segmentation(tmp_path: Path) -> None:
    model, data = load("toybox:segmenter"), scenes()
    result = audit(model, data, tmp_path, methods=["grad_cam"], target="all")
    assert {row["outcome"] for row in result.rows} == {"correct"}
    assert [row["target"] for row in result.rows[:2]] == [f"class:{row['label']}" for row in result.rows[:2]]
    assert_maps_are_those_of_explain(model, data, result.rows, result.maps(), "grad_cam")
    for row in result.rows:
        region = cl.explain(model, data[row["index"]].image, target=row["target"]).region  # type: ignore[union-attr]
        assert region is not None
        assert region.mask is not None
        objects = {CLASSES[each.label]: each for each in annotated_objects(data[row["index"]]) or ()}
        truth = objects[row["label"]].mask()  # type: ignore[misc]
        found = region.mask.numpy()
        assert row["iou"] == pytest.approx((found & truth).sum() / (found | truth).sum())
        assert row["box_area"] == pytest.approx(found.mean())


def test_a_region_that_was_missed_or_is_false(tmp_path: Path) -> None:
    model, item = load("toybox:segmenter"), scenes()[0]
    first, second = annotated_objects(item) or ()
    elsewhere = np.zeros((96, 96), dtype=bool)
    elsewhere[:10, 80:] = True
    objects = (
        replace(first, mask=lambda: elsewhere),
        replace(second, label=9),
    )
    rows = audit(
        model, ListDataset("wrong", [replace(item, objects=lambda: objects)], CLASSES), tmp_path, target="all"
    ).rows
    assert [row["outcome"] for row in rows] == ["false", "false", "missed", "missed"]
    moved = next(row for row in rows[2:] if row["label"] == CLASSES[first.label])
    assert (moved["true_left"], moved["true_bottom"]) == (80, 10)
    assert moved["target"].startswith(f"class:{CLASSES[first.label]} at ")
    assert rows[0]["iou"] is None


def test_words_of_a_caption(tmp_path: Path) -> None:
    model, data = load("toybox:captioner"), scenes()
    result = audit(model, data, tmp_path, methods=["layer_cam"], target="all")
    assert all(row["target"].startswith("word ") for row in result.rows)
    assert {row["predicted"] for row in result.rows} <= set(CLASSES)  # no articles, no "and"
    assert_maps_are_those_of_explain(model, data, result.rows, result.maps(), "layer_cam")
    for row in result.rows:
        item = data[row["index"]]
        masks = [
            each.mask() for each in annotated_objects(item) or () if each.mask and CLASSES[each.label] == row["label"]
        ]
        assert row["correct"] is True
        assert row["box_area"] == pytest.approx(masks[0].mean())


def test_words_are_compared_with_the_classes_of_the_image() -> None:
    def word(text: str, number: int) -> BoundTarget:
        return BoundTarget(SimpleNamespace(), number, f"{text} (word {number})", f"word {number}")  # type: ignore[arg-type]

    caption = [word(text, i) for i, text in enumerate(["a", "cat", "and", "two", "dogs", "near", "shiny", "boats"], 1)]
    box = np.array([0.0, 0, 4, 4])
    item = Item("x.png", "x", 1, objects=lambda: (ObjectAnnotation(1, box), ObjectAnnotation(7, box)))
    rows = bind_words(CLASSES, item, caption)
    assert [(row.outcome, row.label) for row in rows] == [
        ("false", None),
        ("correct", "dog"),
        (None, None),
        ("false", None),
        ("missed", "key"),
    ]
    assert rows[1].region is not None
    assert rows[1].region.box == tuple(box)
    assert rows[-1].bound is None
    unknown = bind_words(CLASSES, Item("x.png", "x"), caption)
    assert {row.outcome for row in unknown} == {None}


def test_a_captioner_without_a_target_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="audit its words with --target all"):
        audit("toybox:captioner", scenes(), tmp_path)
    assert not any(tmp_path.iterdir())


def test_prompts_are_ordinary_classes(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    from ...models.image_text import networks

    clip = networks.open_clip_vit()
    model = cl.wrap(clip, tokenizer=networks.open_clip_tokenizer(), size=32)
    model = model.with_prompts(["a cat", "a dog", "a boat"])
    names = ("a cat", "a dog", "a boat")
    items = [replace(scenes()[i], label=i, also_correct=(), objects=None) for i in range(3)]
    result = audit(model, ListDataset("prompts", items, names), tmp_path, methods=["grad_cam"])
    assert {row["predicted"] for row in result.rows} <= set(names)
    assert [row["label"] for row in result.rows] == list(names)
    for i, row in enumerate(result.rows):
        explanation = cl.explain(model, items[i].image, target=row["predicted"], method="grad_cam")
        scaled = explanation.raw / explanation.raw.abs().max()  # type: ignore[union-attr]
        assert float((torch.from_numpy(result.maps()[i]).float() - scaled).abs().max()) < 5e-3
    with pytest.raises(TargetError, match="no detector, segmentation network or captioner"):
        audit(model, ListDataset("prompts", items, names), tmp_path / "all", target="all")
