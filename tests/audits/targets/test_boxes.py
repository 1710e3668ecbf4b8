"""Audits of boxes: rows equal what `explain` returns, and counts those of torchvision's box_iou."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

import camlucida as cl
from camlucida.attribution.bind_targets import mask_of
from camlucida.audits.audit_result import Audit
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset, ObjectAnnotation, ToyboxDataset, annotated_objects
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, TargetError
from camlucida.maps import to_image_grid
from camlucida.models.load import load
from camlucida.types import Region

N = 6


@pytest.fixture(scope="module")
def model() -> cl.Model:
    return load("toybox:detector")


def scenes() -> ToyboxDataset:
    return ToyboxDataset(Toybox(N, seed=3, objects=3))


@pytest.fixture(scope="module")
def finished(model: cl.Model, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return audit(model, scenes(), tmp_path_factory.mktemp("boxes"), methods=["hires_cam"], target="all", chunk_images=4)


def explained(model: cl.Model, image: Any) -> list[cl.Explanation]:
    result = cl.explain(model, image, method="hires_cam")
    return [result] if isinstance(result, cl.Explanation) else list(result)


def independent_outcomes(model: cl.Model, data: Any) -> Counter[tuple[int, str]]:
    """Count correct, false and missed boxes of each image with torchvision's box_iou."""
    counts: Counter[tuple[int, str]] = Counter()
    for i in range(len(data)):
        item = data[i]
        objects = annotated_objects(item) or ()
        try:
            found = explained(model, item.image)
        except TargetError:
            found = []
        used: set[int] = set()
        for each in found:
            box = torch.tensor([each.region.box], dtype=torch.float64)  # type: ignore[union-attr]
            truth = torch.tensor(np.array([target.box for target in objects])).reshape(-1, 4)
            overlaps = box_iou(box, truth)[0]
            free = [
                j
                for j, target in enumerate(objects)
                if data.classes[target.label] == each.target.split(" (")[0] and j not in used and overlaps[j] >= 0.5
            ]
            if free:
                used.add(max(free, key=lambda j: float(overlaps[j])))
            counts[i, "correct" if free else "false"] += 1
        counts[i, "missed"] = len(objects) - len(used)
    return +counts


def test_counts_equal_those_of_box_iou(model: cl.Model, finished: Audit) -> None:
    counts = Counter((row["index"], row["outcome"]) for row in finished.rows)
    assert counts == independent_outcomes(model, scenes())
    assert {outcome for _, outcome in counts} == {"correct", "false", "missed"}
    assert {row["n_boxes"] for row in finished.rows} == {3}
    summary = finished.summary
    assert summary["n_images"] == N
    assert summary["n_rows"] == len(finished.rows) == sum(counts.values())
    totals = Counter(row["outcome"] for row in finished.rows)
    assert summary["precision"] == totals["correct"] / (totals["correct"] + totals["false"])
    assert summary["recall"] == totals["correct"] / (totals["correct"] + totals["missed"])


def test_the_default_method_is_that_of_explain(model: cl.Model, tmp_path: Path) -> None:
    data = ToyboxDataset(Toybox(1, seed=3))
    assert audit(model, data, tmp_path, target="all").store.method_names == ("hires_cam",)
    assert cl.explain(model, data[0].image, target="box 1").method == "hires_cam"


def test_each_row_is_what_explain_returns_for_its_target(model: cl.Model, finished: Audit) -> None:
    maps = finished.maps()
    for i, row in enumerate(finished.rows):
        result = cl.explain(model, scenes()[row["index"]].image, target=row["target"], method="hires_cam")
        assert isinstance(result, cl.Explanation)
        assert result.target == row["target_name"]
        assert result.region is not None
        assert result.region.box == pytest.approx([row[side] for side in ("left", "top", "right", "bottom")], abs=1e-3)
        scaled = result.raw / result.raw.abs().max()
        assert float((torch.from_numpy(maps[i]).float() - scaled).abs().max()) < 2e-3
        assert row["confidence"] == pytest.approx(1 / (1 + np.exp(-result.score)), abs=1e-4)
        assert row["predicted"] == (None if row["outcome"] == "missed" else result.target.split(" (")[0])


def test_energy_is_that_in_the_own_box(model: cl.Model, finished: Audit) -> None:
    for row in finished.rows:
        result = cl.explain(model, scenes()[row["index"]].image, target=row["target"], method="hires_cam")
        assert isinstance(result, cl.Explanation)
        sides = ("true_left", "true_top", "true_right", "true_bottom") if row["outcome"] == "missed" else None
        box = tuple(row[side] for side in sides or ("left", "top", "right", "bottom"))
        inside = torch.from_numpy(mask_of(Region(box), 96, 96))  # type: ignore[arg-type]
        drawn = to_image_grid(result.raw, result.geometry).relu()
        expected = float(drawn[inside].sum() / drawn.sum())
        assert row["energy_in_box"] == pytest.approx(expected, abs=1e-4)
        assert row["energy_outside"] == pytest.approx(1 - expected, abs=1e-4)


def test_competing_and_true_classes_of_the_same_candidate(model: cl.Model, finished: Audit) -> None:
    for explained_class, column in (("competing", "competing"), ("true", "label")):
        maps = finished.maps(explained=explained_class)  # type: ignore[arg-type]
        for i, row in enumerate(finished.rows[:6]):
            if row[column] is None:
                assert np.isnan(maps[i]).all()
                continue
            if row["outcome"] == "missed":
                continue
            result = cl.explain(
                model, scenes()[row["index"]].image, target=f"{row['target']}: {row[column]}", method="hires_cam"
            )
            assert isinstance(result, cl.Explanation)
            scaled = result.raw / result.raw.abs().max()
            assert float((torch.from_numpy(maps[i]).float() - scaled).abs().max()) < 2e-3
            if column == "competing":
                assert row["competing"] != row["predicted"]
                others = {p.name: p.probability or 0.0 for p in result.predictions if p.name != row["predicted"]}
                assert row["competing"] == max(others, key=lambda name: others[name])
                assert row["competing_confidence"] == pytest.approx(1 / (1 + np.exp(-result.score)), abs=1e-4)


def test_a_removed_object_is_missed_or_absent(model: cl.Model, tmp_path: Path) -> None:
    scenes = Toybox(1, seed=3, objects=2)
    sample, rest = scenes[0], scenes.scene(0)
    item = ToyboxDataset(scenes)[0]
    objects = annotated_objects(item) or ()
    without = replace(rest, objects=rest.objects[1:]).picture()
    still_listed = ListDataset("removed", [replace(item, image=without)], sample_classes())
    unlisted = ListDataset("absent", [replace(item, image=without, objects=lambda: objects[1:])], sample_classes())
    missed = audit(model, still_listed, tmp_path / "missed", target="all").rows
    absent = audit(model, unlisted, tmp_path / "absent", target="all").rows
    removed = objects[0]
    assert removed.box is not None
    (row,) = [row for row in missed if row["outcome"] == "missed"]
    assert row["label"] == sample_classes()[removed.label]
    assert (row["true_left"], row["true_bottom"]) == (removed.box[0], removed.box[3])
    assert row["confidence"] < 0.3
    assert [row["outcome"] for row in absent] == ["correct"]
    assert sample.labels[0] == removed.label


def sample_classes() -> tuple[str, ...]:
    return ToyboxDataset(Toybox(1)).classes


def test_ignored_and_unannotated_objects(model: cl.Model, tmp_path: Path) -> None:
    item = ToyboxDataset(Toybox(1, seed=3, objects=2))[0]
    first_object, other = annotated_objects(item) or ()
    crowd = replace(first_object, is_ignored=True)
    items = [
        replace(item, name="ignored", objects=lambda: (crowd, other)),
        replace(item, name="unknown", objects=None, label=other.label, boxes=np.array([other.box]), mask=None),
        replace(item, name="none", objects=None, boxes=None, mask=None),
    ]
    rows = audit(model, ListDataset("some", items, sample_classes()), tmp_path, target="all").rows
    outcomes = {
        name: {r["predicted"]: r["outcome"] for r in rows if r["image"] == name}
        for name in ("ignored", "unknown", "none")
    }
    first, second = (sample_classes()[each.label] for each in (crowd, other))
    assert outcomes["ignored"] == {first: "ignored", second: "correct"}
    assert outcomes["unknown"] == {first: None, second: "correct"}
    assert outcomes["none"] == {first: None, second: None}
    assert [row["correct"] for row in rows if row["image"] == "none"] == [None, None]


def test_images_without_anything_and_broken_images_are_one_row(model: cl.Model, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    blank = np.full((96, 96, 3), 128, dtype=np.uint8)
    data = ListDataset(
        "odd",
        [
            Item(blank, "blank", objects=lambda: ()),
            Item(str(tmp_path / "broken.png"), "broken", objects=lambda: ()),
            Item(blank, "missed", objects=lambda: (ObjectAnnotation(1, np.array([20.0, 20, 60, 60])),)),
        ],
        sample_classes(),
    )
    result = audit(model, data, tmp_path / "out", target="all")
    by_image = {row["image"]: row for row in result.rows}
    assert len(result.rows) == 3
    assert (by_image["blank"]["outcome"], by_image["blank"]["error"]) == ("nothing", None)
    assert by_image["broken"]["error"].startswith("cannot read")
    assert by_image["missed"]["outcome"] == "missed"
    assert by_image["missed"]["target"] == f"{sample_classes()[1]} at 40,40"
    assert np.isnan(result.maps()[0]).all()
    assert np.isfinite(result.maps()[2]).all()
    assert [result.map_of(i).shape for i in range(3)] == [(12, 12)] * 3


def test_rows_do_not_depend_on_chunks_or_shards(model: cl.Model, finished: Audit, tmp_path: Path) -> None:
    for shard in ("0/2", "1/2"):
        result = audit(model, scenes(), tmp_path, methods=["hires_cam"], target="all", chunk_images=2, shard=shard)
    assert result.rows == finished.rows
    assert np.array_equal(result.maps(), finished.maps(), equal_nan=True)
    for row in range(len(finished.rows)):
        assert np.array_equal(result.map_of(row), finished.maps()[row])
        assert np.array_equal(finished.map_of(row), finished.maps()[row])


def test_a_damaged_chunk_is_measured_again(model: cl.Model, finished: Audit, tmp_path: Path) -> None:
    result = audit(model, scenes(), tmp_path, methods=["hires_cam"], target="all", chunk_images=4)
    before = {file.name: file.read_bytes() for file in (tmp_path / "parts").iterdir()}
    result.store.part_file(1).unlink()
    result.store.array_file(0, "hires_cam").write_bytes(b"")
    audit(model, scenes(), tmp_path, methods=["hires_cam"], target="all", chunk_images=4)
    assert {file.name: file.read_bytes() for file in (tmp_path / "parts").iterdir()} == before


def test_all_methods_of_a_plan(model: cl.Model, tmp_path: Path) -> None:
    data = ToyboxDataset(Toybox(1, seed=3, objects=2))
    result = audit(model, data, tmp_path, methods=["hires_cam", "gradient", "eigen_cam"], target="all")
    for name in ("hires_cam", "gradient", "eigen_cam"):
        for i, row in enumerate(result.rows):
            expected = cl.explain(model, data[0].image, target=row["target"], method=name)
            assert isinstance(expected, cl.Explanation)
            scaled = expected.raw / expected.raw.abs().max()
            assert float((torch.from_numpy(result.maps(name)[i]).float() - scaled).abs().max()) < 2e-3


def test_queries_by_outcome(finished: Audit) -> None:
    rows = finished.rows
    for name in ("missed", "false"):
        assert [int(i) for i in finished.query(name)] == [i for i, row in enumerate(rows) if row["outcome"] == name]
    small = finished.query("correct and size < .1")
    assert [int(i) for i in small] == [i for i, row in enumerate(rows) if row["correct"] and row["box_area"] < 0.1]


def test_the_model_is_not_changed(model: cl.Model, tmp_path: Path) -> None:
    model.network.train()
    try:
        before = {name: value.clone() for name, value in model.network.state_dict().items()}
        audit(model, ToyboxDataset(Toybox(1, seed=3, objects=2)), tmp_path, target="all")
        assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
        assert all(module.training for module in model.network.modules())
        assert all(parameter.grad is None for parameter in model.network.parameters())
    finally:
        model.network.eval()


def test_two_forward_passes_per_image(model: cl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    network_type = type(model.network)
    forward = network_type.forward

    def count(self: Any, x: torch.Tensor) -> Any:
        counted.append(len(x))
        return forward(self, x)

    def forwards(n: int) -> int:
        counted.clear()
        audit(model, ToyboxDataset(Toybox(n, seed=3, objects=3)), tmp_path / str(n), target="all")
        return sum(counted)

    monkeypatch.setattr(network_type, "forward", count)
    assert forwards(5) - forwards(3) == 4


def test_other_targets_are_refused(model: cl.Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="target is one of all, or None"):
        audit(model, scenes(), tmp_path, target="box 3")  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="no detector, segmentation network or captioner"):
        audit("toybox", scenes(), tmp_path, target="all")
    assert not any(tmp_path.iterdir())


def test_a_detector_with_a_softmax_and_without_suppression(tmp_path: Path) -> None:
    """A DETR with random weights, whose queries are all detections."""
    hf = pytest.importorskip("transformers")
    from ...models.detection import small_detectors

    torch.manual_seed(0)
    model = cl.wrap(small_detectors.detr(hf).eval(), size=64)
    model = replace(model, image_targets=replace(model.image_targets, threshold=0.1))  # type: ignore[type-var]
    item = ToyboxDataset(Toybox(1, seed=3, objects=1))[0]
    item = replace(item, label=0, objects=lambda: (ObjectAnnotation(0, np.array([0.0, 0, 96, 96])),))
    result = audit(model, ListDataset("one", [item], ("cat",)), tmp_path, methods=["grad_cam"], target="all")
    assert len(result.rows) >= 2
    for i, row in enumerate(result.rows):
        expected = cl.explain(model, item.image, target=row["target"], method="grad_cam")
        assert isinstance(expected, cl.Explanation)
        scaled = expected.raw / expected.raw.abs().max()
        assert float((torch.from_numpy(result.maps()[i]).float() - scaled).abs().max()) < 2e-3
        assert row["confidence"] == pytest.approx(1 / (1 + np.exp(-expected.score)), abs=1e-4)


def test_objects_beyond_the_explained_detections_are_not_missed(model: cl.Model, tmp_path: Path) -> None:
    item = ToyboxDataset(Toybox(1, seed=3, objects=3))[0]
    targets = "camlucida.models.detection.targets.MAX_DETECTIONS"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, 1)
        rows = audit(model, ListDataset("one", [item], sample_classes()), tmp_path / "1", target="all").rows
    every = audit(model, ListDataset("one", [item], sample_classes()), tmp_path / "20", target="all").rows
    assert [row["outcome"] for row in rows if row["outcome"] != "missed"] == ["correct"]
    assert sum(row["outcome"] == "missed" for row in rows) == sum(row["outcome"] == "missed" for row in every)
