"""What is derived from rows that share images: slices, differences, hypotheses, exports, panels, report, comparison."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import camlucida as cl
from camlucida.attribution.output_reader import predict
from camlucida.audits.audit_result import Audit
from camlucida.audits.comparison.compare import find_comparison
from camlucida.audits.comparison.matching import match_audits
from camlucida.audits.exports import export
from camlucida.audits.findings.differences import find_differences
from camlucida.audits.findings.duplicates import find_duplicates
from camlucida.audits.findings.registry import run_findings
from camlucida.audits.findings.slices import find_slices
from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.candidates import Candidate
from camlucida.audits.hypotheses.settings import Settings
from camlucida.audits.hypotheses.target_verification import TargetScorer, TargetVerifier
from camlucida.audits.overview import overview
from camlucida.audits.panel import draw_panel
from camlucida.audits.record import case_sheet as case_sheets
from camlucida.audits.record.case_sheet import case_sheet
from camlucida.audits.run import audit
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError
from camlucida.models.load import load
from camlucida.report.audit_page import audit_report
from camlucida.report.audit_targets import BACKGROUND, recalls, target_confusion

from ..synthetic import CLASSES, synthetic_audit

SIDES = ("left", "top", "right", "bottom")


def planted(folder: Path, *, n_images: int = 80, per_image: int = 4, dark: float = 0.0, shared: bool = False) -> Audit:
    """Return an audit of detections, of which those in dark images are wrong more often by `dark`.

    Args:
        folder: Its folder.
        n_images: Number of images.
        per_image: Detections per image.
        dark: Difference of the fraction of wrong detections between dark and bright images.
        shared: Whether the detections of an image are all correct or all wrong.
    """
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for image in range(n_images):
        is_dark = image % 2 == 0
        wrong = rng.random(1 if shared else per_image) < 0.3 + dark * is_dark
        for k in range(per_image):
            is_wrong = bool(wrong[0] if shared else wrong[k])
            box = dict(zip(SIDES, (0.0, 0.0, 4.0, 4.0), strict=True))
            rows.append(
                {
                    "index": image, "image": f"{image}.png", "brightness": 0.2 if is_dark else 0.8,
                    "outcome": "false" if is_wrong else "correct", "correct": not is_wrong, "target": f"box {k + 1}",
                    "target_name": f"dog (box {k + 1})", "label": None if is_wrong else CLASSES[1],
                    "label_index": None if is_wrong else 1, "predicted_index": 1, "energy_in_box": 0.5 + 0.01 * k,
                    "box_area": 0.25, "energy_at_border": float(rng.random()), "entropy": float(rng.random()),
                    "prediction_entropy": 0.5, "iou": None if is_wrong else 0.9, **box,
                }
            )  # fmt: skip
    return synthetic_audit(folder, rows, plan={"target": "all", "n_images": n_images})


def test_the_overview_counts_images_and_targets(tmp_path: Path) -> None:
    result = planted(tmp_path)
    numbers = overview(result)
    assert (numbers.n_images, numbers.n_rows, numbers.n_labelled) == (80, 320, 320)
    counts = Counter(row["outcome"] for row in result.rows)
    assert result.summary["n_images"] == 80
    assert result.summary["precision"] == counts["correct"] / 320


def test_intervals_are_those_of_images(tmp_path: Path) -> None:
    """Where all detections of an image are alike, four of them say no more than one."""
    alike = overview(planted(tmp_path / "alike", shared=True)).accuracy
    single = overview(planted(tmp_path / "single", per_image=1)).accuracy
    apart = overview(planted(tmp_path / "apart")).accuracy
    assert (alike.high - alike.low) == pytest.approx(single.high - single.low, rel=0.05)
    assert (apart.high - apart.low) < 0.65 * (single.high - single.low)


def test_a_planted_slice_is_found_and_chance_within_images_is_not(tmp_path: Path) -> None:
    found = find_slices(planted(tmp_path / "dark", dark=0.4))
    assert found.worse[0].name == "brightness = 0.2"
    assert found.settings["clustered_by"] == "image"
    assert "targets" in found.sentences()[0]
    by_chance = find_slices(planted(tmp_path / "chance", shared=True))
    assert not by_chance.worse


def test_slices_of_few_images_are_not_tested(tmp_path: Path) -> None:
    """Ten images with 40 detections each are too few, although 200 rows are in each slice."""
    assert not find_slices(planted(tmp_path, n_images=10, per_image=40)).slices


def test_false_detections_belong_to_the_class_they_are_predicted_as(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"index": i // 2, "image": f"{i // 2}.png", "outcome": "correct" if right else "false", "correct": right,
         "label": CLASSES[i % 2] if right else None, "label_index": i % 2 if right else None,
         "predicted_index": i % 2, "target": f"box {i % 2}"}
        for i, right in enumerate((rng.random(200) < 0.6).tolist())
    ]  # fmt: skip
    found = find_slices(synthetic_audit(tmp_path, rows, plan={"target": "all"}))
    sizes = {part.name: part.n for part in found.slices}
    assert {name: n for name, n in sizes.items() if name.startswith("class") and "and" not in name} == {
        "class = cat": 100,
        "class = dog": 100,
    }


def test_differences_leave_out_missed_objects(tmp_path: Path) -> None:
    base = planted(tmp_path / "base").rows
    missed = [row | {"outcome": "missed", "correct": False, "energy_at_border": 100.0} for row in base[:40]]
    rows = [{name: row[name] for name in row if row[name] is not None or name.startswith("label")} for row in base]
    result = synthetic_audit(tmp_path / "missed", [*rows, *missed], plan={"target": "all"})
    found = find_differences(result)
    assert found.n_correct + found.n_wrong == len(base)
    assert not any(each.overall.differs for each in found.differences if each.name == "energy_at_border")


def test_label_errors_are_left_out_with_a_reason(tmp_path: Path) -> None:
    run = run_findings(planted(tmp_path, n_images=30), ["slices", "label_errors"])
    assert list(run.records) == ["slices"]
    assert [name for name, _ in run.left_out] == ["label_errors"]
    assert not run.failures
    assert not (tmp_path / "findings" / "label_errors.json").exists()


def test_the_confusion_matrix_has_a_background(tmp_path: Path) -> None:
    base = {"index": 0, "image": "0.png", "target": "box 1"}
    rows = [
        base | {"outcome": "correct", "correct": True, "label_index": 1, "predicted_index": 1},
        base | {"outcome": "false", "correct": False, "label": None, "label_index": None, "predicted_index": 2},
        base | {"outcome": "missed", "correct": False, "label_index": 0, "predicted": None, "predicted_index": None},
        base | {"outcome": None, "correct": None, "label": None, "label_index": None, "predicted_index": 2},
    ]
    result = synthetic_audit(tmp_path, rows, plan={"target": "all"})
    confusion = target_confusion(result)
    assert confusion is not None
    assert confusion.names == ("cat", "dog", "boat", BACKGROUND)
    expected = np.zeros((4, 4), dtype=int)
    expected[1, 1] = expected[3, 2] = expected[0, 3] = 1
    assert np.array_equal(confusion.counts, expected)
    found, intervals = recalls(result)
    assert found is not None
    assert {name: interval.value for name, interval in intervals.items()} == {"cat": 0.0, "dog": 1.0}


@pytest.fixture(scope="module")
def model() -> cl.Model:
    return load("toybox:detector")


@pytest.fixture(scope="module")
def measured(model: cl.Model, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("measured")
    data = ToyboxDataset(Toybox(8, seed=3, objects=3))
    return audit(model, data, folder, methods=["hires_cam"], target="all", chunk_images=3)


def test_a_coco_file_has_one_annotation_for_each_target(measured: Audit, tmp_path: Path) -> None:
    document = json.loads(export(measured, tmp_path / "coco.json", "coco").read_text())
    assert len(document["images"]) == 8
    assert len(document["annotations"]) == len(measured.rows)
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    for row, entry in zip(measured.rows, document["annotations"], strict=True):
        prefix = "true_" if row["outcome"] == "missed" else ""
        left, top, right, bottom = (row[f"{prefix}{side}"] for side in SIDES)
        assert entry["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=1e-2)
        assert names[entry["category_id"]] == (row["label"] if row["outcome"] == "missed" else row["predicted"])
        assert entry["image_id"] == row["index"] + 1
        assert entry["outcome"] == row["outcome"]


def test_a_fiftyone_file_has_detections_and_ground_truth(measured: Audit, tmp_path: Path) -> None:
    document = json.loads(export(measured, tmp_path / "fiftyone.json", "fiftyone").read_text())
    samples = document["samples"]
    assert len(samples) == 8
    n = Counter(row["outcome"] for row in measured.rows)
    assert sum(len(s["predictions"]["detections"]) for s in samples) == n["correct"] + n["false"]
    assert sum(len(s["ground_truth"]["detections"]) for s in samples) == n["correct"] + n["missed"]


def test_a_panel_draws_one_tile_for_each_target(measured: Audit) -> None:
    rows = [0, 1, 2]
    assert len({measured.rows[i]["index"] for i in rows}) == 1
    one, three = (draw_panel(measured, chosen, title="boxes") for chosen in (rows[:1], rows))
    assert three.size[0] >= one.size[0]
    assert np.asarray(one).std() > 0


def test_the_report_of_targets(measured: Audit, tmp_path: Path) -> None:
    run_findings(measured, ["slices", "differences"])
    text = audit_report(measured, tmp_path / "audit.html").read_text()
    for part in ("precision", "recall", "Row background: false detections", "Missed objects", ">Targets</h2>"):
        assert part in text, part


def test_duplicates_compare_each_image_once(measured: Audit) -> None:
    found = find_duplicates(measured)
    assert found.n_read == 8
    assert not found.groups


def test_two_audits_are_compared_object_by_object(model: cl.Model, measured: Audit, tmp_path: Path) -> None:
    same = find_comparison(measured, measured)
    assert same.sentences()[0] == f"{len(measured.rows)} targets compared; the prediction differs on 0."
    assert not any(sentence.startswith("Accuracy") for sentence in same.sentences())
    assert (same.n_flips, same.n_regressions, same.n_fixes) == (0, 0, 0)
    assert same.matching["n"] == len(measured.rows)
    strict = load("toybox:detector")
    strict = cl.Model(**{**vars(strict), "image_targets": type(strict.image_targets)(threshold=0.8)})
    higher = audit(strict, measured.data, tmp_path, methods=["hires_cam"], target="all")  # type: ignore[arg-type]
    found = find_comparison(higher, measured)
    lost = sum(a["outcome"] == "correct" and a["confidence"] <= 0.8 for a in measured.rows)
    assert lost > 0
    assert found.n_regressions == lost
    assert found.n_fixes == 0
    assert found.accuracy[1] < found.accuracy[0]
    with pytest.raises(DataError, match="the rows of one of"):
        find_comparison(higher, audit("toybox", measured.data, tmp_path / "w", methods=["grad_cam"]))  # type: ignore[arg-type]


def test_false_detections_are_paired_by_position(tmp_path: Path) -> None:
    def rows(*boxes: tuple[float, ...]) -> list[dict[str, Any]]:
        shared = {"index": 0, "image": "0.png", "outcome": "false", "correct": False, "label": None, "brightness": 0.5}
        return [
            {**shared, "label_index": None, "predicted_index": 1, "target": f"box {k}", "energy_in_box": float(k)}
            | dict(zip(SIDES, box, strict=True))
            for k, box in enumerate(boxes, 1)
        ]

    first, second, far = (0.0, 0.0, 4.0, 4.0), (4.0, 4.0, 8.0, 8.0), (0.0, 5.0, 2.0, 8.0)
    old = synthetic_audit(tmp_path / "old", rows(first, second), plan={"target": "all"})
    moved = (4.0, 4.0, 8.0, 7.5)
    new = synthetic_audit(tmp_path / "new", rows(moved, far, first), plan={"target": "all"})
    matched = match_audits(old, new)
    pairs = dict(zip(matched.new_rows.tolist(), matched.old_rows.tolist(), strict=True))
    assert pairs == {0: 1, 2: 0}  # the numbers of the boxes say nothing
    assert len(matched.only_new) == 1


def candidate(members: list[int], others: list[int]) -> Candidate:
    return Candidate("fixed position", "predicted", None, np.array(members), np.array(others), members[0], 0.5, 0.5, 2)


def test_a_cue_is_covered_and_the_same_box_is_scored(model: cl.Model, measured: Audit) -> None:
    arrays = AuditArrays(measured)
    verifier = TargetVerifier(TargetScorer(model, measured.data, arrays=arrays), arrays, Settings())  # type: ignore[arg-type]
    n = len(measured.rows)
    result = verifier.verify(candidate(list(range(n // 2)), list(range(n // 2, n))))
    images = [measured.rows[row]["index"] for row in result.rows]
    assert len(set(images)) == len(images) >= 3  # one target of each image
    assert result.covered is not None
    for i, row in enumerate(result.rows[:2]):
        bound = verifier.scorer.bound(int(row))
        loaded = verifier.scorer.load(images[i])
        scores, _ = predict(bound.model, loaded.inputs[None])
        expected = float(torch.sigmoid(scores[0, bound.target]))  # type: ignore[index]
        assert expected == pytest.approx(measured.rows[int(row)]["confidence"], abs=1e-4)
    before = verifier.scorer.scores_of(result.rows.tolist())(verifier.scorer.inputs(images))
    assert before.shape == (len(images), 10)


def test_covering_the_box_itself_is_no_hypothesis(model: cl.Model, measured: Audit) -> None:
    arrays = AuditArrays(measured)
    verifier = TargetVerifier(TargetScorer(model, measured.data, arrays=arrays), arrays, Settings())  # type: ignore[arg-type]
    rows = [i for i, row in enumerate(measured.rows) if row["outcome"] == "correct"]
    chosen = list({measured.rows[i]["index"]: i for i in rows}.values())[:1]
    result = verifier.pilot(candidate(chosen, [i for i in rows if i not in chosen]))
    box = result.regions.boxes[0]
    own = [measured.rows[chosen[0]][side] for side in SIDES]
    assert own[0] <= (box[0] + box[2]) / 2 <= own[2]  # the evidence lies in the box
    assert not verifier.passes(result)


def test_the_case_sheet_of_a_target_has_its_box_and_tests_it(measured: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(case_sheets, "trust", lambda *args, **options: asked.update(options))
    row = next(i for i, row in enumerate(measured.rows) if row["outcome"] == "correct")
    values = measured.rows[row]
    case_sheets._tested(measured, measured.data[values["index"]], values, 0)  # type: ignore[index]
    assert asked["target"] == values["target"] == "box 1"
    assert asked["region"] is None  # that of the box
    title, subtitle = case_sheets._title(measured, values)
    assert title == f"{values['predicted']} ({values['confidence']:.1%}), correct"
    assert (
        subtitle
        == f"{values['image']} · label: {values['label']} · box 1 · intersection over union {values['iou']:.2f}"
    )
    pixels = np.asarray(case_sheet(measured, row, with_verdict=False, density=1.0)).astype(int)
    magenta = np.abs(pixels - np.array([255, 43, 214])).sum(2) < 40
    columns = np.flatnonzero(magenta.any(0))
    assert len(np.flatnonzero(np.diff(columns) > 200)) >= 1  # a box in several of the three images
    missed = values | {"outcome": "missed", "label_confidence": None, "target": "dog at 4,4"}
    assert case_sheets._title(measured, missed)[0] == f"{values['label']}, missed"
