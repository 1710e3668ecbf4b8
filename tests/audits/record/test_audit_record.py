"""The record of an audit: its numbers equal independent ones, and what was not measured says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import binomtest, spearmanr

from camlucida.audits.audit_result import Audit
from camlucida.audits.record.audit_record import BLANK, AuditRecord, find_record
from camlucida.audits.record.model_card import model_card
from camlucida.audits.record.subgroups import _errors, _numbers, groups
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError

N = 40


def scenes() -> ListDataset:
    """Scenes with their boxes, of which every fourth has a wrong label, and a column `site`."""
    toybox = ToyboxDataset(Toybox(N))
    items = [
        replace(
            toybox[i],
            label=(toybox[i].label or 0) if i % 4 else ((toybox[i].label or 0) + 1) % 10,
            also_correct=(),
            metadata={"site": "north" if i < 25 else "south", "id": i},
        )
        for i in range(N)
    ]
    return ListDataset("scenes", items, toybox.classes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return audit("toybox", scenes(), tmp_path_factory.mktemp("audit"), methods=["grad_cam"])


@pytest.fixture(scope="module")
def written(finished: Audit) -> AuditRecord:
    return find_record(finished, n_controls=12, n_verdicts=1)


def test_accuracy_and_calibration_equal_independent_ones(finished: Audit, written: AuditRecord) -> None:
    by_name = {(entry["column"], entry["value"]): entry for entry in written.performance["subgroups"]}
    assert ("metadata.site", "north") in by_name
    assert not any(column == "metadata.id" for column, _ in by_name)
    for key, entry in [(("", ""), written.performance["overall"]), *by_name.items()]:
        members = [row for row in finished.rows if key[0] != "metadata.site" or f'"{key[1]}"' in row["metadata"]]
        members = [row for row in members if key[0] != "label" or row["label"] == key[1]]
        hits = sum(row["correct"] for row in members)
        expected = binomtest(hits, len(members)).proportion_ci(method="wilson")
        assert entry["n"] == len(members)
        assert entry["accuracy"]["value"] == pytest.approx(hits / len(members))
        assert entry["accuracy"]["low"] == pytest.approx(expected.low, abs=1e-9)
        assert entry["accuracy"]["high"] == pytest.approx(expected.high, abs=1e-9)
        error = 0.0
        for m in range(15):
            inside = [row for row in members if m / 15 < row["confidence"] <= (m + 1) / 15]
            error += abs(sum(row["correct"] - row["confidence"] for row in inside)) / len(members)
        assert entry["ece"]["value"] == pytest.approx(error)
        assert entry["ece"]["low"] <= entry["ece"]["high"]
    assert by_name["metadata.site", "north"]["n"] == 25


def test_resampled_calibration_errors_are_those_of_the_repeated_images() -> None:
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(30), rng.random(30) < 0.5
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=3).astype(float)
    for count, error in zip(counts, _errors(counts, correct, confidence), strict=True):
        repeated = np.repeat(np.arange(30), count.astype(int))
        bins = np.ceil(confidence[repeated] * 15)
        gaps = [abs((correct[repeated] - confidence[repeated])[bins == m].sum()) / 30 for m in range(1, 16)]
        assert error == pytest.approx(sum(gaps))


@pytest.mark.parametrize("n", [40, 400])
def test_calibration_intervals_contain_their_values(n: int) -> None:
    for seed in range(8):  # of a calibrated model, whose resamples have larger errors than the sample
        rng = np.random.default_rng(seed)
        confidence = 0.5 + rng.random(n) / 2
        ece = _numbers(rng.random(n) < confidence, confidence, 0)["ece"]
        assert ece["low"] < ece["value"] < ece["high"]


def test_every_row_is_in_one_subgroup_of_each_column(finished: Audit) -> None:
    for column in {name for name, _, _ in groups(finished)}:
        members = np.concatenate([rows for name, _, rows in groups(finished) if name == column])
        assert sorted(members) == list(range(N))


def test_the_method_is_compared_with_uninformative_maps(finished: Audit, written: AuditRecord) -> None:
    controls = written.controls
    assert controls["status"] == "measured"
    assert controls["qualified"]
    assert {entry["name"] for entry in controls["controls"]} == {"random_cam", "centre", "uniform"}
    uniform = next(entry for entry in controls["controls"] if entry["name"] == "uniform")
    chosen = sorted(np.random.default_rng(0).choice(N, 12, replace=False))
    boxes = [finished.rows[i]["box_area"] for i in chosen]
    energies = [finished.rows[i]["energy_in_box"] for i in chosen]
    assert uniform["energy"] == pytest.approx(np.mean(boxes), abs=1e-4)  # a constant map has the box's area
    assert controls["energy"]["value"] == pytest.approx(np.mean(energies), abs=1e-4)
    assert uniform["difference"]["value"] == pytest.approx(np.mean(energies) - np.mean(boxes), abs=1e-4)


def test_a_random_method_does_not_qualify(tmp_path: Path) -> None:
    result = audit("toybox", ToyboxDataset(Toybox(10)), tmp_path, methods=["random_cam"])
    controls = find_record(result).controls
    assert controls["status"] == "measured"
    assert not controls["qualified"]


def test_reproducibility_is_the_rank_correlation_of_maps(finished: Audit, tmp_path: Path) -> None:
    other = audit("toybox:vgg", scenes(), tmp_path / "vgg", methods=["grad_cam"])
    record = find_record(finished, n_controls=1, retrained=[other, finished])
    retrained, same = record.reproducibility["models"]
    pairs = zip(finished.maps(explained="true"), other.maps(explained="true"), strict=True)
    values = [spearmanr(first.ravel(), second.ravel()).statistic for first, second in pairs]
    assert retrained["rank_correlation"]["value"] == pytest.approx(np.nanmean(values), abs=1e-6)
    assert not retrained["same_weights"]
    assert same["rank_correlation"]["value"] == pytest.approx(1)
    assert same["same_weights"]
    elsewhere = audit("toybox", ToyboxDataset(Toybox(3)), tmp_path / "elsewhere")
    with pytest.raises(DataError, match="other images"):
        find_record(finished, n_controls=1, retrained=[elsewhere])


def test_the_record_survives_json(finished: Audit, written: AuditRecord) -> None:
    finished.write_finding("record", written.record())
    stored = finished.finding("record")
    assert stored == json.loads(json.dumps(written.record(), allow_nan=False))
    assert AuditRecord.from_record(stored or {}).record() == stored
    assert stored["schema_version"] == 1
    assert stored["manifest"]["weights"] == finished.plan["weights"]
    assert all(entry == {"status": BLANK, "text": None} for entry in stored["by_a_person"].values())


def test_without_labels_boxes_and_model_nothing_is_measured(tmp_path: Path) -> None:
    data = ListDataset("plain", [Item(ToyboxDataset(Toybox(2))[i].image, str(i)) for i in range(2)])
    audit("toybox", data, tmp_path)
    record = find_record(Audit(tmp_path))
    assert record.performance["status"] == record.controls["status"] == "not measured"
    assert record.reproducibility["status"] == record.abstentions["verdicts"]["status"] == "not measured"
    card = model_card(record)
    assert "*Not measured*: the images have no labels." in card
    assert "The method was not compared with uninformative maps" in card


def test_the_model_card_is_yaml_and_markdown(written: AuditRecord) -> None:
    card = model_card(written)
    _, front, body = card.split("---\n", 2)
    header = yaml.safe_load(front)
    metrics = {metric["type"]: metric["value"] for metric in header["model-index"][0]["results"][0]["metrics"]}
    assert metrics["accuracy"] == written.performance["overall"]["accuracy"]["value"]
    assert "license" not in header
    assert f"- **Purpose**: *{BLANK}*" in body
    assert "| metadata.site = north | 25 |" in body
    assert "complian" in body
    hostile = replace(written, manifest={**written.manifest, "data": 'x"\n---\n<script> | \u202e'})
    _, front, body = model_card(hostile).split("---\n", 2)
    assert yaml.safe_load(front)["model-index"][0]["results"][0]["dataset"]["name"] == 'x"\n---\n<script> | \u202e'
    assert "<script>" not in body
    assert "\u202e" not in body


def test_guesses_are_counted(finished: Audit, written: AuditRecord) -> None:
    guesses = [row["prediction_entropy"] / np.log(10) >= 0.5 for row in finished.rows]
    assert written.abstentions["guesses"]["count"] == sum(guesses)
    verdicts = written.abstentions["verdicts"]
    assert verdicts["n"] == sum(verdicts["counts"].values()) == 1
