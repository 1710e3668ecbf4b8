"""Audits of targets are described in the words of their task: detections, regions, words; never as classification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy.stats import binomtest

from camlucida.audits.audit_result import Audit
from camlucida.audits.record.audit_record import find_record
from camlucida.audits.record.model_card import model_card
from camlucida.audits.targets.wording import IMAGES, OF_TARGETS, kind_of_rows, target_sentences, wording_of
from camlucida.report.audit_overview import overview
from camlucida.report.audit_page import audit_report

from ..synthetic import CLASSES, synthetic_audit

COUNTS = {("correct", 1): 18, ("missed", 1): 2, ("false", 1): 3, ("correct", 2): 11, ("missed", 2): 0, ("false", 2): 0}
SPECS = {"detection": "box {k}", "segmentation": "class:{name}", "caption": "word {k}"}


def audit_of(folder: Path, kind: str = "detection") -> Audit:
    """Return an audit with one row in each image, of which `COUNTS` are correct, missed and false by class."""
    rows: list[dict[str, Any]] = []
    for (outcome, index), n in COUNTS.items():
        for k in range(n):
            name = CLASSES[index]
            target = None if kind == "caption" and outcome == "missed" else SPECS[kind].format(k=k % 5 + 1, name=name)
            row = {
                "index": len(rows), "image": f"{len(rows)}.png", "outcome": outcome, "correct": outcome == "correct",
                "target": target, "target_name": f"{name} ({target})", "confidence": 0.8,
                "label": None if outcome == "false" else name, "label_index": None if outcome == "false" else index,
                "predicted": None if outcome == "missed" else name,
                "predicted_index": None if outcome == "missed" else index,
                "energy_in_box": 0.5, "box_area": 0.25, "prediction_entropy": 0.5,
                "iou": 0.75 if outcome == "correct" and kind != "caption" else None,
            }  # fmt: skip
            rows.append(row)
    plan = {"target": "all", "n_images": len(rows), "classes": [], "batch_size": 1, "chunk_images": 8, "versions": {}}
    return synthetic_audit(folder, rows, plan=plan)


@pytest.mark.parametrize("kind", sorted(OF_TARGETS))
def test_recall_and_precision_are_sentences_of_the_task(kind: str, tmp_path: Path) -> None:
    result = audit_of(tmp_path, kind)
    assert kind_of_rows(result) == kind
    words = wording_of(result)
    first, second, third = target_sentences(result)
    assert first == f"{words.found}: 29 of 31 (recall 93.5%), 2 missed"
    assert second == f"{words.right}: 29 of 32 (precision 90.6%), 3 false"
    assert third.startswith(words.criterion)
    assert ("0.75" in third) == (kind != "caption")
    if kind == "caption":
        assert "intersection" not in third
        assert "box" not in " ".join((first, second, third))


def test_an_audit_of_images_has_the_words_of_classification(tmp_path: Path) -> None:
    rows = [{"index": i, "image": f"{i}.png", "correct": True, "label": "cat", "label_index": 0} for i in range(3)]
    assert wording_of(synthetic_audit(tmp_path, rows)) is IMAGES


def test_nothing_is_known_where_the_data_name_no_objects(tmp_path: Path) -> None:
    rows = [{"index": 0, "image": "0.png", "target": "box 1", "outcome": None, "correct": None}]
    (sentence,) = target_sentences(synthetic_audit(tmp_path, rows, plan={"target": "all"}))
    assert sentence == "1 detections, none of which can be judged: the data name no objects"


@pytest.mark.parametrize("kind", sorted(OF_TARGETS))
def test_the_record_has_recall_and_precision_of_each_class(kind: str, tmp_path: Path) -> None:
    record = find_record(audit_of(tmp_path, kind), n_controls=0)
    overall = record.performance["overall"]
    assert (overall["n"], overall["n_objects"]) == (32, 31)
    expected = binomtest(29, 31).proportion_ci(method="wilson")
    assert overall["recall"]["value"] == pytest.approx(29 / 31)
    assert (overall["recall"]["low"], overall["recall"]["high"]) == pytest.approx(
        (expected.low, expected.high), abs=0.005
    )
    by_class = {entry["value"]: entry for entry in record.performance["subgroups"]}
    name = CLASSES[1]
    assert by_class[name]["accuracy"]["value"] == pytest.approx(18 / 21)
    assert by_class[name]["recall"]["value"] == pytest.approx(18 / 20)
    text, words = model_card(record), OF_TARGETS[kind]
    front = yaml.safe_load(text.split("---")[1])
    assert front["pipeline_tag"] == words.pipeline_tag
    metrics = {metric["type"]: metric["value"] for metric in front["model-index"][0]["results"][0]["metrics"]}
    assert set(metrics) == {"precision", "recall", "expected_calibration_error"}
    assert metrics["recall"] == pytest.approx(29 / 31)
    body = text.split("---")[2] + " ".join(record.sentences)
    assert "ccuracy" not in body
    assert "image-classification" not in text
    assert words.criterion in body
    if kind != "detection":
        assert "detection" not in body


@pytest.mark.parametrize("kind", sorted(OF_TARGETS))
def test_the_report_has_the_words_of_the_task(kind: str, tmp_path: Path) -> None:
    result = audit_of(tmp_path, kind)
    words = wording_of(result)
    tiles = {name: (value, note) for value, name, note in overview(result, [])["tiles"]}
    assert tiles[words.found] == ("93.5%", "recall: 29 of 31; 2 missed")
    assert tiles[words.right] == ("90.6%", "precision: 29 of 32; 3 false")
    assert ("intersection over union" in tiles) == (kind != "caption")
    text = audit_report(result, tmp_path / "audit.html").read_text().split("<script")[0]
    for part in (words.criterion, f"Upwards: {words.right}. Downwards: {words.wrong}."):
        assert part in text, part
    assert "wrong predictions" not in text
    assert "correct predictions" not in text
