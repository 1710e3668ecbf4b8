"""Exports of images and the sheet of a case: what other tools read equals the audit."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camlucida.audits.audit_result import Audit
from camlucida.audits.exports import export
from camlucida.audits.record.case_sheet import _stored_map, case_sheet, save_case_sheet
from camlucida.audits.run import audit
from camlucida.cli import main
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError

N = 5
CHOSEN = [3, 0, 4]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """An audit of four images in files and of one that is broken."""
    folder = tmp_path_factory.mktemp("photos")
    toybox, items = ToyboxDataset(Toybox(N)), []
    for i in range(N):
        item = toybox[i]
        item.image.save(folder / f"{i}.png")  # type: ignore[union-attr]
        label, boxes = None if i == 0 else item.label, np.array([[8.0, 16.0, 40.0, 80.0]])
        items.append(Item(folder / f"{i}.png", f"{i}.png", label, boxes, split="val"))
    (folder / "4.png").write_bytes(b"no image")
    data = ListDataset("photos", items, toybox.classes)
    source = {"data": str(folder), "count": N, "model": "toybox"}
    return audit("toybox", data, tmp_path_factory.mktemp("audit"), chunk_images=2, source=source)


def written(finished: Audit, tmp_path: Path, kind: str) -> Any:
    text = export(finished, tmp_path / kind, kind, CHOSEN).read_text()
    return list(csv.DictReader(io.StringIO(text))) if kind == "csv" else json.loads(text)


def test_csv_holds_the_rows(finished: Audit, tmp_path: Path) -> None:
    rows = written(finished, tmp_path, "csv")
    assert [int(row["row"]) for row in rows] == CHOSEN
    for row, index in zip(rows, CHOSEN, strict=True):
        expected = finished.rows[index]
        assert row["image"] == f"{index}.png"
        assert row["predicted"] == (expected["predicted"] or "")
        assert row["confidence"] == ("" if expected["confidence"] is None else repr(expected["confidence"]))
    assert rows[2]["error"]


def test_coco_annotations_are_boxes_of_known_classes(finished: Audit, tmp_path: Path) -> None:
    content = written(finished, tmp_path, "coco")
    assert [image["id"] - 1 for image in content["images"]] == CHOSEN
    assert all(Path(image["file_name"]).is_file() for image in content["images"])
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert len(content["annotations"]) == 2  # the image without a label has none
    for annotation in content["annotations"]:
        row = finished.rows[annotation["image_id"] - 1]
        assert names[annotation["category_id"]] == row["label"]
        assert annotation["bbox"] == [8, 16, 32, 64]
        assert annotation["area"] == 32 * 64
    assert len({annotation["id"] for annotation in content["annotations"]}) == len(content["annotations"])


def test_fiftyone_samples_have_relative_boxes(finished: Audit, tmp_path: Path) -> None:
    content = written(finished, tmp_path, "fiftyone")
    assert content["num_samples"] == len(content["samples"]) == 3
    assert all(set(content["sample_fields"]) == set(sample) for sample in content["samples"])
    sample, row = content["samples"][0], finished.rows[3]
    assert sample["ground_truth"]["label"] == row["label"]
    assert sample["predictions"] == {
        "_cls": "Classification",
        "label": row["predicted"],
        "confidence": row["confidence"],
        "logits": None,
    }
    assert sample["objects"]["detections"][0]["bounding_box"] == [8 / 96, 16 / 96, 32 / 96, 64 / 96]
    assert sample["audit_row"] == 3
    assert "val" in sample["tags"]
    broken = content["samples"][2]
    assert broken["predictions"] is None
    assert broken["error"]


def test_without_the_data_images_have_names(finished: Audit, tmp_path: Path) -> None:
    content = json.loads(export(Audit(finished.path), tmp_path / "x", "coco").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"{i}.png" for i in range(N)]
    assert content["annotations"] == []


def test_wrong_formats_and_rows(finished: Audit, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no format 'voc'"):
        export(finished, tmp_path / "x", "voc")
    with pytest.raises(DataError, match="none with the index 5"):
        export(finished, tmp_path / "x", "csv", [0, 5])
    with pytest.raises(DataError, match="none with the index 9"):
        case_sheet(finished, 9)
    with pytest.raises(DataError, match=r"4\.png has no case sheet"):
        case_sheet(finished, 4)
    with pytest.raises(DataError, match="needs the model and the data"):
        case_sheet(Audit(finished.path), 0)


def test_a_case_sheet_shows_the_stored_maps(finished: Audit, tmp_path: Path) -> None:
    for row in (0, 3):
        for explained in ("predicted", "competing"):
            stored = _stored_map(finished, row, explained)  # type: ignore[arg-type]
            assert np.array_equal(stored.numpy(), finished.maps(explained=explained)[row])  # type: ignore[arg-type]
    file = save_case_sheet(finished, 3, tmp_path / "case.png", with_verdict=False)
    with Image.open(file) as page:
        pixels = np.asarray(page.convert("RGB")).astype(int)
    assert page.size[0] > 1500
    height, middle = page.size[1], page.size[0] // 2
    maps = pixels[: height // 2, middle - 300 : middle + 300]
    assert (maps.max(2) - maps.min(2)).max() > 100  # colours of the map


@pytest.mark.parametrize("kind", ["csv", "coco", "fiftyone", "model-card"])
def test_the_command(finished: Audit, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.txt"
    words = ["export", str(finished.path), "--format", kind, "--output", str(out), "--no-images"]
    if kind != "model-card":
        words += ["--where", "confidence > 0", "--top", "2"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0, capsys.readouterr().err
    text = out.read_text()
    found = {"csv": len(text.splitlines()) - 1, "model-card": 2}.get(kind) or len(
        json.loads(text)["images" if kind == "coco" else "samples"]
    )
    assert found == 2
    if kind == "model-card":
        assert text.startswith("---\n")
        assert finished.finding("record") is not None
