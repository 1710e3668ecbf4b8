"""Error analysis: rows against single predictions, resuming, broken images, the figure and the page of errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image
from torch import nn

import camlucida as cl
from camlucida.analysis import Mistakes, mistakes
from camlucida.cli import main
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset, folder
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError
from camlucida.metrics import find as find_metric
from camlucida.report.mistakes_page import mistakes_report

DATA = ToyboxDataset(Toybox(40, seed=3))
MODEL = cl.load("toybox:permuted")
"""Learnt labels drawn by lot: it errs nearly always."""


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Mistakes:
    return mistakes(MODEL, DATA, out=tmp_path_factory.mktemp("run") / "run")


def test_rows_match_single_predictions(analysis: Mistakes) -> None:
    assert len(analysis.rows) == 40
    for row in analysis.rows[::7]:
        item = DATA[row["index"]]
        inputs, _ = MODEL.preprocessing(item.image)
        with torch.no_grad():
            scores = MODEL.network(inputs[None])[0].double()
        assert row["label_index"] == item.label
        assert row["predicted_index"] == int(scores.argmax())
        assert row["confidence"] == pytest.approx(float(scores.softmax(0).max()), abs=1e-5)
        assert row["rank"] == scores.argsort(descending=True).tolist().index(item.label) + 1
        assert row["correct"] == (row["rank"] == 1)
        e = cl.explain(MODEL, item.image)
        assert item.mask is not None
        saliency = torch.from_numpy(e.landed)
        energy = find_metric("energy").metric(saliency, torch.from_numpy(item.mask()))["energy"].value
        assert row["energy"] == pytest.approx(energy, abs=1e-4)


def test_statistics_of_the_rows(analysis: Mistakes) -> None:
    right = sum(row["correct"] for row in analysis.rows)
    assert analysis.accuracy.value == right / 40
    assert analysis.confusion.n_correct == right
    assert analysis.confusion.total == 40
    wrong = analysis.errors()
    assert len(wrong) == 40 - right
    assert [row["confidence"] for row in wrong] == sorted((row["confidence"] for row in wrong), reverse=True)
    table = parquet.read_table(analysis.path / "predictions.parquet").to_pylist()
    scores = torch.tensor([row["logits"] for row in table]).double()
    loss = nn.functional.cross_entropy(scores, torch.tensor([row["label_index"] for row in table]))
    assert analysis.calibration.temperature_scaling is not None
    assert analysis.calibration.temperature_scaling.loss[0] == pytest.approx(float(loss), abs=1e-9)
    assert analysis.calibration.off, "sure, and wrong"


def test_maps_of_predicted_and_true_class(analysis: Mistakes) -> None:
    for entry in analysis.explain(2):
        item = DATA[entry.row["index"]]
        text = cl.explain(MODEL, item.image, target=entry.row["predicted_index"])
        true = cl.explain(MODEL, item.image, target=entry.row["label_index"])
        torch.testing.assert_close(entry.predicted_map.raw, text.raw)
        torch.testing.assert_close(entry.label_map.raw, true.raw)
        inputs, _ = MODEL.preprocessing(item.image)
        with torch.no_grad():
            probabilities = MODEL.network(inputs[None])[0].softmax(0)
        assert entry.probabilities == pytest.approx(
            (float(probabilities.max()), float(probabilities[item.label])), abs=1e-5
        )


def test_interrupted_run_resumes(analysis: Mistakes, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 40
        if done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mistakes(MODEL, DATA, out=tmp_path, progress=stop)
    part = tmp_path / "parts" / "part-00000.parquet"
    written = part.stat().st_mtime_ns
    again = mistakes(MODEL, DATA, out=tmp_path)
    assert part.stat().st_mtime_ns == written, "not asked again"
    assert [r["predicted"] for r in again.rows] == [r["predicted"] for r in analysis.rows]
    with pytest.raises(DataError, match="another run"):
        mistakes("toybox", DATA, out=tmp_path)


def test_unreadable_images_are_rows(tmp_path: Path) -> None:
    for name in ("boat", "no such class"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    image = DATA[0].image
    assert isinstance(image, Image.Image)
    image.save(tmp_path / "photos" / "boat" / "a.png")
    image.save(tmp_path / "photos" / "no such class" / "b.png")
    (tmp_path / "photos" / "boat" / "broken.png").write_bytes(b"\x89PNG\r\n")
    result = mistakes("toybox", folder(tmp_path / "photos"), out=tmp_path / "run")
    (failure,) = result.failures
    assert failure[0] == "boat/broken.png"
    assert failure[1]
    assert [row["image"] for row in result.unjudged] == ["no such class/b.png"]
    assert [row["image"] for row in result.judged] == ["boat/a.png"]


def test_failing_image_does_not_fail_its_batch(tmp_path: Path) -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if (x.flatten(1).std(1) == 0).any():
                raise RuntimeError("an image of one colour")
            return self.fc(self.conv(x).mean((2, 3)))

    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(3)]
    images.insert(1, Image.new("L", (8, 8), 128).convert("RGB"))
    data = ListDataset("few", [Item(image, str(i), i % 2) for i, image in enumerate(images)], ("a", "b"))
    model = cl.wrap(Picky(), size=8, mean=(0, 0, 0), std=(1, 1, 1), labels=["a", "b"])
    result = mistakes(model, data, out=tmp_path)
    assert [name for name, _ in result.failures] == ["1"]
    assert "one colour" in result.failures[0][1]
    assert [row["image"] for row in result.judged] == ["0", "2", "3"]


def test_also_correct_classes_are_no_mistakes() -> None:
    scenes = ToyboxDataset(Toybox(12, seed=5, objects=2))
    result = mistakes("toybox", scenes, maps=False)
    for row in result.judged:
        item = scenes[row["index"]]
        assert row["correct"] == (row["predicted_index"] in {item.label, *item.also_correct})
    assert result.confusion.n_correct == sum(row["correct"] for row in result.judged)
    assert not result.contrasts, "no maps were measured"


def test_images_and_page(analysis: Mistakes, tmp_path: Path) -> None:
    assert analysis.figure(2).width > 1000
    assert analysis.matrix().height > 500
    page = mistakes_report(analysis, tmp_path / "page.html", errors=3)
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 5_000_000
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    assert text.count("data:image/jpeg") == 9
    worst = analysis.errors(1)[0]
    assert f"<b>{worst['label']}</b>, predicted as <b>{worst['predicted']}</b>" in text
    assert f"{analysis.calibration.ece:.2%}" in text


def test_other_weights_are_not_explained(analysis: Mistakes) -> None:
    with pytest.raises(DataError, match="weights"):
        Mistakes(analysis.path, cl.load("toybox"), DATA).explain(1)
    with pytest.raises(DataError, match="the model and the data"):
        Mistakes(analysis.path).explain(1)
    assert Mistakes(analysis.path).accuracy == analysis.accuracy


def test_unlabelled_data_raises(tmp_path: Path) -> None:
    data = ListDataset("plain", [Item(DATA[0].image, "a")])
    result = mistakes("toybox", data, out=tmp_path / "run")
    with pytest.raises(DataError, match="Name the folders after"):
        _ = result.calibration
    assert "not evaluated" in mistakes_report(result, tmp_path / "p.html").read_text(encoding="utf-8")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["mistakes", "toybox", "--model", "toybox:permuted", "--limit", "20", "-n", "2", "-o", str(tmp_path)])
    assert done.value.code == 0
    for name in ("predictions.parquet", "confusion.png", "errors.png", "report.html", "run.json"):
        assert (tmp_path / name).exists(), name
    text = capsys.readouterr().out
    assert "predicted as" in text
    assert "calibration error" in text
