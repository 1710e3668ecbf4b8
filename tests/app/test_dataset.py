"""Routes of the tab Data set, compared with the library and with counts of rows."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from camlucida.analysis import embed, mistakes
from camlucida.analysis.projection import project
from camlucida.app import scatter
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.confusion_view import ConfusionView
from camlucida.app.failures import Cancelled
from camlucida.data.open import open_dataset
from camlucida.evaluation import baselines, evaluate
from camlucida.models.load import load

SCENES = 40
ERRS = load("toybox:permuted")
"""A network trained on permuted labels; nine of ten predictions are wrong."""
DATA = open_dataset("toybox:watermark", count=SCENES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def library(folder: Path) -> SimpleNamespace:
    """Return the results of the library, written to the folders that the app opens."""
    return SimpleNamespace(
        mistakes=mistakes(ERRS, DATA, out=folder / "mistakes"),
        embedding=embed(ERRS, DATA, out=folder / "embedding"),
        evaluation=evaluate(
            ERRS,
            DATA,
            methods=["grad_cam", "layer_cam", "gradient"],
            metrics=["energy", "pointing", "max_box_acc"],
            controls=[one for one in baselines.standard_controls() if one.name in ("random", "centre")],
            limit=10,
            out=folder / "evaluation",
        ),
    )


@pytest.fixture(scope="module")
def client(library: SimpleNamespace, folder: Path) -> Iterator[TestClient]:
    runs = (folder / "mistakes", folder / "embedding", folder / "evaluation")
    with TestClient(create_app(Page([ERRS, load("toybox")], DATA, runs)), base_url="http://localhost") as client:
        yield client


def asked(client: TestClient, path: str, **values: Any) -> Any:
    found = client.get(f"/api/dataset/{path}", params=values)
    assert found.status_code == 200, found.text
    return found.json()


def test_kinds_of_runs_are_detected(client: TestClient) -> None:
    found = [run for run in asked(client, "runs")["runs"] if not run["computed"]]
    assert [(run["id"], run["kinds"]) for run in found] == [
        ("r0", ["mistakes"]),
        ("r1", ["embedding"]),
        ("r2", ["evaluation"]),
    ]
    for run in found:
        assert run["served_model"] == ERRS.name
        assert run["has_images"]
        assert run["finished"]
        assert not run["notes"]


def test_overall_numbers_equal_library(client: TestClient, library: SimpleNamespace) -> None:
    found, known = asked(client, "overall", run="r0"), library.mistakes
    assert (found["judged"], found["wrong"]) == (SCENES, len(known.errors()))
    for name in ("accuracy", "top5"):
        interval = getattr(known, name)
        assert found[name] == {"value": interval.value, "low": interval.low, "high": interval.high}
    assert found["calibration"]["ece"] == known.calibration.ece
    assert [b["count"] for b in found["calibration"]["bins"]] == [b.count for b in known.calibration.bins]
    assert sum(b["count"] for b in found["calibration"]["bins"]) == SCENES
    for got, contrast in zip(found["differences"], known.contrasts, strict=True):
        assert got["name"] == contrast.name
        assert got["n"] == list(contrast.n)
        assert got["difference"]["value"] == contrast.difference.value


def by_hand(client: TestClient, run: str) -> Counter[tuple[int, int]]:
    """Return the number of images by true and predicted class, counted from the table of all rows."""
    rows = csv.DictReader(io.StringIO(client.get("/api/dataset/rows.csv", params={"run": run}).text))
    found: Counter[tuple[int, int]] = Counter()
    for row in rows:
        predicted = int(row["predicted_index"])
        found[predicted if row["correct"] == "True" else int(row["label_index"]), predicted] += 1
    return found


def test_confusion_cells_equal_counts_of_rows(client: TestClient) -> None:
    found, counted = asked(client, "confusion", run="r0"), by_hand(client, "r0")
    assert sum(counted.values()) == SCENES
    seen: Counter[tuple[int, int]] = Counter()
    for row, counts in zip(found["rows"], found["counts"], strict=True):
        for column, count in zip(found["columns"], counts, strict=True):
            if count:
                seen[row["output"], column["output"]] = count
        assert row["total"] == sum(n for (truth, _), n in counted.items() if truth == row["output"])
        assert row["others"] == 0
    assert seen == counted
    (truth, predicted), count = max(
        ((cell, n) for cell, n in counted.items() if cell[0] != cell[1]), key=lambda one: one[1]
    )
    cell = asked(client, "cell", run="r0", label_index=truth, predicted_index=predicted, n=50)
    assert cell["total"] == len(cell["items"]) == count
    assert {(one["label_index"], one["predicted_index"]) for one in cell["items"]} == {(truth, predicted)}
    sure = [one["confidence"] for one in cell["items"]]
    assert sure == sorted(sure, reverse=True)
    assert found["pairs"][0]["count"] == count


def test_classes_can_be_paged_and_searched(client: TestClient, library: SimpleNamespace) -> None:
    worst = [one.name for one in library.mistakes.confusion.classes()]
    found = asked(client, "confusion", run="r0", most=False, offset=3)
    assert [row["name"] for row in found["rows"]] == worst[3:]
    assert (found["matching"], found["offset"]) == (len(worst), 3)
    for row, counts in zip(found["rows"], found["counts"], strict=True):
        assert sum(counts) + row["others"] == row["total"]
    assert [row["name"] for row in asked(client, "confusion", run="r0", find="MUG")["rows"]] == ["mug"]
    assert asked(client, "confusion", run="r0", find="xyzzy")["rows"] == []


def test_classes_with_equal_names_stay_separate() -> None:
    def row(truth: int, predicted: int) -> dict[str, Any]:
        return {
            "label_index": truth,
            "predicted_index": predicted,
            "correct": truth == predicted,
            "confidence": 0.5,
            "index": 0,
        }

    rows = [row(0, 1), row(0, 1), row(1, 1), row(2, 0), row(0, 0)]
    found = ConfusionView(SimpleNamespace(judged=rows, plan={"labels": ["crane", "crane", "heron"]}))  # type: ignore[arg-type]
    part = found.block()
    assert list(part.rows) == [0, 1, 2]
    assert part.counts.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]
    assert found.pairs(1) == [(0, 1, 2, 3)]
    assert len(found.images(0, 1)) == 2
    assert not found.images(1, 0)
    assert sorted(found.page("crane", 0).rows) == [0, 1]


def test_remaining_columns_of_a_block_are_counted(client: TestClient, library: SimpleNamespace) -> None:
    part = ConfusionView(library.mistakes).block(4)
    counted = by_hand(client, "r0")
    assert len(part.rows) <= 4
    for i, truth in enumerate(part.rows):
        for j, predicted in enumerate(part.columns):
            assert part.counts[i, j] == counted[truth, predicted]
        assert part.totals[i] == sum(n for (row, _), n in counted.items() if row == truth)


def test_errors_are_sorted_by_confidence(client: TestClient, library: SimpleNamespace) -> None:
    known = library.mistakes.errors()
    found = asked(client, "errors", run="r0", n=50)
    assert found["total"] == len(known)
    assert [one["image"] for one in found["items"]] == [f"s{row['index']}" for row in known][:50]
    second = asked(client, "errors", run="r0", n=5, offset=5)
    assert second["items"] == found["items"][5:10]
    names = [one["name"] for one in asked(client, "errors", run="r0", sort="name", descending=False, n=50)["items"]]
    assert names == sorted(names, key=lambda name: int(name.split()[1]))
    label = known[0]["label"]
    some = asked(client, "errors", run="r0", find=label, n=50)["items"]
    assert len(some) == sum(label in f"{row['image']} {row['label']} {row['predicted']}" for row in known)


def test_all_rows_as_csv(client: TestClient, library: SimpleNamespace) -> None:
    answer = client.get("/api/dataset/rows.csv", params={"run": "r0"})
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["image"] for row in rows] == [row["image"] for row in library.mistakes.rows]
    assert float(rows[3]["confidence"]) == library.mistakes.rows[3]["confidence"]
    assert float(rows[3]["entropy"]) == library.mistakes.rows[3]["entropy"]


def test_points_equal_stored_embedding(client: TestClient, library: SimpleNamespace) -> None:
    found, known = asked(client, "points", run="r1"), library.embedding
    assert (found["projection"], found["description"], found["count"]) == ("tsne", known.projection.description, SCENES)
    positions = np.column_stack([found["x"], found["y"]])
    np.testing.assert_allclose(positions, known.projection.positions, rtol=1e-4)
    assert found["indices"] == [row["index"] for row in known.rows]
    assert [found["classes"][i] for i in found["label_index"]] == [row["label"] for row in known.rows]
    assert [found["classes"][i] for i in found["predicted_index"]] == [row["predicted"] for row in known.rows]
    assert found["correct"] == [int(row["correct"]) for row in known.rows]
    assert found["agreement"] == pytest.approx(known.agreement)
    assert sum(one["count"] for one in found["class_agreement"]) == SCENES
    assert sum(one["agreeing"] for one in found["class_agreement"]) == round(known.agreement * SCENES)


def test_other_projection_uses_the_same_features(client: TestClient, library: SimpleNamespace) -> None:
    found = asked(client, "points", run="r1", projection="pca")
    known = project(library.embedding.features, "pca", seed=0)
    np.testing.assert_allclose(np.column_stack([found["x"], found["y"]]), known.positions, rtol=1e-3, atol=1e-3)
    assert client.get("/api/dataset/points", params={"run": "r1", "projection": "umap"}).status_code == 422


def test_neighbours_equal_library(client: TestClient, library: SimpleNamespace) -> None:
    for point in (0, 7, SCENES - 1):
        found = asked(client, "neighbours", run="r1", point=point, n=4)["nearest"]
        known = library.embedding.nearest(point, 4)
        assert [library.embedding.rows[one["point"]]["index"] for one in found] == [row["index"] for row, _ in known]
        assert [one["cosine"] for one in found] == pytest.approx([cosine for _, cosine in known])


def test_large_embedding_is_subsampled(folder: Path, library: SimpleNamespace, monkeypatch: Any) -> None:
    monkeypatch.setattr(scatter, "MAX_POINTS", 12)
    found = scatter.Scatter(folder / "embedding", 0)
    assert (found.count, len(found.rows)) == (SCENES, 12)
    at = {row["index"]: i for i, row in enumerate(library.embedding.rows)}
    whole = library.embedding.projection.positions[[at[row["index"]] for row in found.rows]]
    np.testing.assert_allclose(found.projection("tsne").positions, whole, rtol=1e-6)
    unit = found.features / np.linalg.norm(found.features, axis=1, keepdims=True)
    alike = unit @ unit.T - 2 * np.eye(12)
    assert found.nearest(5, 1)[0][0] == int(alike[5].argmax())
    labels = np.array([row["label"] for row in found.rows])
    assert found.agreement == pytest.approx(float((labels[alike.argmax(1)] == labels).mean()))


def test_evaluation_equals_library(client: TestClient, library: SimpleNamespace) -> None:
    found, known = asked(client, "evaluation", run="r2"), library.evaluation
    assert [method["name"] for method in found["methods"]] == list(known.methods)
    assert {method["name"] for method in found["methods"] if method["control"]} == {"random", "centre"}
    for number in found["scores"]:
        summary = known.summary(number["metric"], number["method"])
        assert number["value"] == pytest.approx(summary.value, nan_ok=True)
        assert (number["low"], number["high"]) == pytest.approx((summary.low, summary.high), nan_ok=True)
        assert (number["n"], number["invalid"]) == (summary.n, summary.invalid)
    metrics = {metric["name"]: metric for metric in found["metrics"]}
    assert metrics["energy"]["better"] == "high"
    assert not metrics["energy"]["curves"]
    assert found["sentences"]
    curves = asked(client, "curves", run="r2", metric="max_box_acc")
    whole = known.curves("max_box_acc", "grad_cam").mean(0)
    line = next(one for one in curves["lines"] if one["method"] == "grad_cam")
    assert (line["mean"][0], line["mean"][-1]) == pytest.approx((whole[0], whole[-1]), rel=1e-3)
    assert client.get("/api/dataset/curves", params={"run": "r2", "metric": "energi"}).status_code == 422


def test_analysis_in_the_app_equals_library(client: TestClient, library: SimpleNamespace) -> None:
    """A run computed in the app contains errors and embedding, equal to those of the library."""
    with client.stream(
        "POST", "/api/dataset/analyse", json={"n_images": 100, "seed": 0}, headers={"accept": "text/event-stream"}
    ) as answer:
        heard = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    steps, run = heard[:-1], heard[-1]
    assert [step["total"] for step in steps] == [2 * SCENES] * len(steps)
    assert steps[-1]["done"] == 2 * SCENES
    assert [s["done"] for s in steps] == sorted(s["done"] for s in steps)
    assert run["kinds"] == ["mistakes", "embedding"]
    assert run["computed"]
    assert run["has_images"]
    assert by_hand(client, run["id"]) == by_hand(client, "r0")
    assert asked(client, "overall", run=run["id"])["accuracy"]["value"] == library.mistakes.accuracy.value
    points = asked(client, "points", run=run["id"])
    positions = np.column_stack([points["x"], points["y"]])
    np.testing.assert_allclose(positions, library.embedding.projection.positions, rtol=1e-4)
    assert run["id"] in [one["id"] for one in asked(client, "runs")["runs"]]


def test_stopped_analysis_resumes() -> None:
    page = Page([ERRS], DATA)

    def stop(done: int, total: int) -> None:
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        page.analysis_runs.analyse(page.model(None), 100, 0, False, stop)
    assert page.analysis_runs.all() == []
    (first,) = page.analysis_runs._temporary.rglob("part-*.parquet")
    written = first.stat().st_mtime_ns
    made = page.analysis_runs.analyse(page.model(None), 100, 0, False, lambda done, total: None)
    assert first.stat().st_mtime_ns == written
    assert len(made.mistakes.rows) == SCENES
    assert not made.mistakes.contrasts
    kept = {path.suffix for path in page.analysis_runs._temporary.rglob("*") if path.is_file()}
    assert kept <= {".json", ".parquet", ".npy"}  # numbers, no images


def test_unrelated_and_unreadable_runs_are_reported(folder: Path, library: SimpleNamespace, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "run.json").write_text('{"plan": {"analysis": "mistakes"}}')
    runs = (folder / "mistakes", tmp_path / "nothing", broken)
    other = Page([load("toybox")], open_dataset("toybox", count=SCENES), runs)
    with TestClient(create_app(other), base_url="http://localhost") as client:
        alike, missing, unread = asked(client, "runs")["runs"]
        assert alike["served_model"] is None
        assert not alike["has_images"]
        assert "No model of the app has" in alike["notes"][0]
        assert "of toybox have changed" in alike["notes"][1]
        assert asked(client, "overall", run="r0")["accuracy"]["value"] == library.mistakes.accuracy.value
        assert {one["image"] for one in asked(client, "errors", run="r0")["items"]} == {None}
        assert "contains no run" in missing["error"]
        assert "contains no readable run" in unread["error"]
        assert client.get("/api/dataset/overall", params={"run": "r1"}).status_code == 422
        wrong_kind = client.get("/api/dataset/points", params={"run": "r0"})
        assert wrong_kind.status_code == 404
        assert "contains no embedding" in wrong_kind.json()["detail"]


@pytest.mark.parametrize(
    ("path", "values", "status"),
    [
        ("overall", {"run": "../etc"}, 422),
        ("overall", {"run": "r9"}, 404),
        ("overall", {"run": "m-0-300-0-1"}, 404),
        ("cell", {"run": "r0", "label_index": -1, "predicted_index": 0}, 422),
        ("cell", {"run": "r0", "label_index": 0, "predicted_index": 10**9}, 422),
        ("errors", {"run": "r0", "n": 10**6}, 422),
        ("errors", {"run": "r0", "sort": "logits"}, 422),
        ("errors", {"run": "r0", "find": "x" * 101}, 422),
        ("neighbours", {"run": "r1", "point": SCENES}, 422),
        ("neighbours", {"run": "r1", "point": 10**6}, 422),
    ],
)
def test_invalid_requests_are_refused(client: TestClient, path: str, values: dict[str, Any], status: int) -> None:
    found = client.get(f"/api/dataset/{path}", params=values)
    assert found.status_code == status
    assert found.json()["detail"]


def test_invalid_analysis_requests_are_refused(client: TestClient) -> None:
    for wrong in ({"n_images": 7}, {"n_images": 10**6}, {"seed": -1}, {"model": "none"}):
        assert client.post("/api/dataset/analyse", json=wrong).status_code == 422


def test_growing_run_is_read_again(folder: Path, library: SimpleNamespace, tmp_path: Path) -> None:
    """A run that was interrupted resumes while the app is open."""
    page = Page([ERRS], DATA, (tmp_path / "growing",))

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mistakes(ERRS, DATA, maps=False, out=tmp_path / "growing", progress=stop)
    half = page.analysis_runs.find("r0")
    assert not half.finished
    assert len(half.mistakes.rows) == 16
    mistakes(ERRS, DATA, maps=False, out=tmp_path / "growing")
    assert page.analysis_runs.find("r0").finished
    assert len(page.analysis_runs.find("r0").mistakes.rows) == SCENES
