"""Subsets: the same images in the confusion matrix, the errors and the embedding; slices of audits; thumbnails."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps
from starlette.testclient import TestClient

from camlucida.analysis import embed, mistakes
from camlucida.analysis.calibration import fit_temperature
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.thumbnail_store import clear_sheets, load_sheet, sheet_key, store_sheet, stored_sheets
from camlucida.app.thumbnails import TILE_PX, thumbnail_sheet
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset
from camlucida.data.open import open_dataset
from camlucida.models.load import load

SCENES = 24
MODEL = load("toybox:permuted")
SCENE_DATA = open_dataset("toybox:watermark", count=SCENES)
DATA = ListDataset(
    "scenes",
    [
        Item(item.image, item.name, item.label, split="val", metadata={"camera": "front" if i % 3 else "rear"})
        for i, item in enumerate(SCENE_DATA[i] for i in range(SCENES))
    ],
    SCENE_DATA.classes,
)
SLICES = {
    "slices": [
        {"name": "camera = rear", "n": 4, "accuracy": 0.0, "rest_accuracy": 0.5, "is_worse": True, "rows": [3, 0, 6, 9]}
    ]
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("runs")
    mistakes(MODEL, DATA, maps=False, out=folder / "mistakes")
    embed(MODEL, DATA, out=folder / "embedding")
    audited = audit(MODEL, DATA, folder / "audit").path
    (audited / "findings").mkdir(exist_ok=True)
    (audited / "findings" / "slices.json").write_text(json.dumps(SLICES))
    return Page([MODEL], DATA, (folder / "mistakes", folder / "embedding"), None, (audited, folder / "missing"))


@pytest.fixture(scope="module")
def client(page: Page) -> Iterator[TestClient]:
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client


def chosen(client: TestClient, run: str = "r0", **conditions: Any) -> Any:
    answer = client.post("/api/dataset/subset", json={"run": run, **conditions})
    assert answer.status_code == 200, answer.text
    return answer.json()


def asked(client: TestClient, path: str, **values: Any) -> Any:
    answer = client.get(f"/api/dataset/{path}", params=values)
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows(page: Page) -> list[dict[str, Any]]:
    return page.analysis_runs.find("r0").mistakes.rows


def test_search_by_metadata_filters_all_views(client: TestClient, page: Page) -> None:
    rear = list(range(0, SCENES, 3))
    for run in ("r0", "r1"):
        found = chosen(client, run, search="camera:rear")
        assert found["indices"] == rear
        assert (found["n"], found["n_images"]) == (len(rear), SCENES)
        assert "camera" in found["columns"]
    found = chosen(client, search="camera:rear")
    wrong = [row["index"] for row in rows(page) if row["index"] in rear and not row["correct"]]
    assert found["n_wrong"] == len(wrong)
    errors = asked(client, "errors", run="r0", subset=found["id"], n=50)
    assert sorted(int(one["image"][1:]) for one in errors["items"]) == wrong
    everything = asked(client, "errors", run="r0", subset=found["id"], n=50, correct=True)
    assert sorted(int(one["image"][1:]) for one in everything["items"]) == rear
    matrix = asked(client, "confusion", run="r0", subset=found["id"])
    assert sum(map(sum, matrix["counts"])) == sum(row["total"] for row in matrix["rows"]) == len(rear)


def test_conditions_are_combined(client: TestClient, page: Page) -> None:
    row = next(row for row in rows(page) if not row["correct"])
    cell = [row["label_index"], row["predicted_index"]]
    inside = [r["index"] for r in rows(page) if [r["label_index"], r["predicted_index"]] == cell and not r["correct"]]
    assert chosen(client, cell=cell)["indices"] == chosen(client, "r1", cell=cell)["indices"] == inside
    assert chosen(client, cell=cell, indices=[inside[0], 10_000])["indices"] == inside[:1]
    assert chosen(client, cell=cell, search="nowhere")["indices"] == []
    assert chosen(client, slice=[0, 0])["indices"] == [0, 3, 6, 9]
    assert chosen(client, slice=[0, 0], indices=[3, 4])["indices"] == [3]


def test_numbers_of_a_subset(client: TestClient, page: Page) -> None:
    """Accuracy and calibration are those of the selected images only, as an analysis of these images alone has them."""
    subset = chosen(client, search="camera:rear")
    selected = [row for row in rows(page) if row["index"] % 3 == 0]
    hits = [row["correct"] for row in selected]
    found = asked(client, "overall", run="r0", subset=subset["id"])
    assert (found["rows"], found["judged"], found["wrong"]) == (len(selected), len(hits), hits.count(False))
    assert found["accuracy"]["value"] == pytest.approx(sum(hits) / len(hits))
    assert sum(one["count"] for one in found["calibration"]["bins"]) == len(hits)
    stored = pq.read_table(page.runs[0] / "predictions.parquet").to_pylist()
    logits = np.array([row["logits"] for row in stored if row["index"] % 3 == 0])
    labels = [row["label_index"] for row in selected]
    expected = fit_temperature(lambda: [(logits, np.array(labels))])
    assert found["calibration"]["temperature"] == (None if expected.unbounded else pytest.approx(expected.temperature))
    everything = asked(client, "overall", run="r0")
    assert everything["rows"] == SCENES
    assert everything["accuracy"]["value"] == pytest.approx(np.mean([row["correct"] for row in rows(page)]))


def test_numbers_of_a_selection_without_images(client: TestClient) -> None:
    subset = chosen(client, search="nowhere")
    found = asked(client, "overall", run="r0", subset=subset["id"])
    assert (found["rows"], found["judged"], found["calibration"]) == (0, 0, None)
    assert found["accuracy"] == {"value": None, "low": None, "high": None}


def test_slices_of_an_audit_are_listed(client: TestClient) -> None:
    found = asked(client, "slices", audit=0)["slices"]
    assert [(one["name"], one["n"], one["n_listed"], one["is_worse"]) for one in found] == [
        ("camera = rear", 4, 4, True)
    ]
    assert asked(client, "slices", audit=1)["slices"] == []
    assert client.get("/api/dataset/slices", params={"audit": 7}).status_code == 404
    assert client.post("/api/dataset/subset", json={"run": "r0", "slice": [0, 5]}).status_code == 404


def test_unknown_subsets_and_columns_are_reported(client: TestClient) -> None:
    other = chosen(client, "r1")["id"]
    for id_ in ("0123456789abcdef", other):
        answer = client.get("/api/dataset/errors", params={"run": "r0", "subset": id_})
        assert answer.status_code == 404
        assert "Select them again" in answer.json()["detail"]
    answer = client.post("/api/dataset/subset", json={"run": "r0", "search": "kamera:rear"})
    assert answer.status_code == 422
    assert "no column 'kamera'" in answer.json()["detail"]


def test_thumbnails_are_the_images_in_order(client: TestClient, page: Page) -> None:
    answer = client.get("/api/dataset/thumbnails", params={"run": "r1"})
    assert answer.headers["content-type"] == "image/webp"
    sheet = Image.open(io.BytesIO(answer.content))
    assert sheet.size == (5 * TILE_PX, 5 * TILE_PX)  # 24 images
    for i, row in enumerate(page.analysis_runs.find("r1").scatter.rows):
        left, top = TILE_PX * (i % 5), TILE_PX * (i // 5)
        tile = np.asarray(sheet.crop((left, top, left + TILE_PX, top + TILE_PX)).convert("RGB"), float)
        small = np.asarray(DATA[row["index"]].image.convert("RGB").resize((TILE_PX, TILE_PX)), float)  # type: ignore[union-attr]
        assert np.abs(tile - small).mean() < 12
    assert client.get("/api/dataset/thumbnails", params={"run": "r0"}).status_code == 404


def test_thumbnails_are_kept_on_disk(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restarted app does not read the images again, unless they are others or the file is damaged."""
    monkeypatch.setenv("CAMLUCIDA_CACHE", str(tmp_path))
    drawn: list[int] = []

    def count(*args: Any) -> bytes:
        drawn.append(1)
        return thumbnail_sheet(*args)

    monkeypatch.setattr("camlucida.app.routes.dataset.scatter.thumbnail_sheet", count)

    def after_restart(data: ListDataset = DATA, run: Path = page.runs[1]) -> bytes:
        again = Page([MODEL], data, (run,))
        with TestClient(create_app(again), base_url="http://localhost") as client:
            answer = client.get("/api/dataset/thumbnails", params={"run": "r0"})
        assert answer.status_code == 200, answer.text
        return answer.content

    first = after_restart()
    assert after_restart() == first
    assert len(drawn) == 1
    (file,) = stored_sheets()
    file.write_bytes(first[:-1])
    assert after_restart() == first
    assert len(drawn) == 2
    items = [replace(DATA[i], image=ImageOps.mirror(DATA[i].image)) for i in range(4)]  # type: ignore[arg-type]
    mirrored = ListDataset("scenes", items, DATA.classes)
    embed(MODEL, mirrored, out=tmp_path / "mirrored")
    assert after_restart(mirrored, tmp_path / "mirrored") != first
    assert len(drawn) == 3
    assert clear_sheets() == 2


def test_oldest_thumbnails_are_deleted_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMLUCIDA_CACHE", str(tmp_path))
    monkeypatch.setattr("camlucida.app.thumbnail_store.MAX_BYTES", 50)
    sheet = b"RIFF" + (12).to_bytes(4, "little") + b"WEBPVP8 1234"
    keys = [sheet_key("hash", [i]) for i in range(3)]
    for age, key in enumerate(keys[:2]):
        store_sheet(key, sheet)
        os.utime(tmp_path / "thumbnails" / f"{key}.webp", (1000 + age, 1000 + age))
    assert load_sheet(keys[0]) == sheet  # used last
    store_sheet(keys[2], sheet)
    assert [load_sheet(key) for key in keys] == [sheet, None, sheet]
    monkeypatch.setenv("CAMLUCIDA_CACHE", str(tmp_path / "thumbnails" / f"{keys[0]}.webp"))  # a file
    store_sheet(keys[0], sheet)
    assert load_sheet(keys[0]) is None


def test_thumbnails_keep_proportions_and_skip_damaged_images(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    wide = Image.new("RGB", (100, 50), "red")
    data = ListDataset("d", [Item(tmp_path / "broken.png", "broken"), Item(wide, "wide")])
    sheet = np.asarray(Image.open(io.BytesIO(thumbnail_sheet(data, [0, 1]))).convert("RGBA"))
    assert sheet.shape == (TILE_PX, 2 * TILE_PX, 4)
    opaque = sheet[..., 3] > 0
    assert not opaque[:, :TILE_PX].any()
    assert opaque[:, TILE_PX:].sum() == TILE_PX * TILE_PX // 2
    assert opaque[TILE_PX // 2, TILE_PX:].all()
