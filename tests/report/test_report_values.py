"""What a report hands on: the right map, class, layer, box and number at every place of the page."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset
from camlucida.evaluation import Evaluation, evaluate
from camlucida.models.load import load
from camlucida.report import thumbnails
from camlucida.report.charts import MeanCurve, svg_chart
from camlucida.report.evaluation_page import strongest_control
from camlucida.report.gallery import _extremes, _row, image_section
from camlucida.report.thumbnails import THUMBNAIL_PX, ThumbnailRenderer, sample_images

METHODS = ("grad_cam", "grad_cam @ layer2", "cam")
BOX = np.array([[10.0, 30.0, 50.0, 55.0]])


def oblong(number: int, kind: str) -> Image.Image:
    """An image of 160 × 80 with the thing in its left half."""
    page = Image.new("RGB", (160, 80), "white")
    page.paste(toybox.scene(number, kinds=[kind], size=80).picture(), (0, 0))
    return page


@pytest.fixture(scope="module")
def data() -> ListDataset:
    """Every label is another class than the one that is there, so that true and predicted class differ."""
    kinds = ("cat", "dog", "key")
    items = [Item(oblong(i, kinds[i % 3]), f"image {i}", (i + 1) % 3, boxes=BOX) for i in range(6)]
    return ListDataset("oblong", items, kinds)


@pytest.fixture(scope="module")
def run(data: ListDataset, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    out = tmp_path_factory.mktemp("run") / "run"
    return evaluate("toybox", data, methods=METHODS, metrics=["energy", "entropy"], target="label", out=out)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is explained again, with its target, method and layer."""
    calls: list[dict[str, Any]] = []
    real = thumbnails.explain

    def recorded(model: Any, image: Any, **how: Any) -> Any:
        calls.append(how)
        return real(model, image, **how)

    monkeypatch.setattr(thumbnails, "explain", recorded)
    return calls


def test_the_map_is_that_of_the_method_at_its_layer(
    run: Evaluation, data: ListDataset, asked: list[dict[str, Any]]
) -> None:
    model = load("toybox")
    studio = ThumbnailRenderer(run, model, data)
    row = _row(run, studio, 0, METHODS, "energy")
    labels = [model.labels.index(kind) for kind in data.classes]
    assert [call["target"] for call in asked] == [labels[1]] * 3
    assert [(call["method"], call["layer"]) for call in asked] == [
        ("grad_cam", None),
        ("grad_cam", "layer2"),
        ("cam", None),
    ]
    shots = row["shots"]
    assert [shot.uri for shot in shots] == [studio.plain(0), *(studio.overlay(0, method) for method in METHODS)]
    assert studio.overlay(0, METHODS[0]) != studio.overlay(0, METHODS[1])
    for shot, method in zip(shots[1:], METHODS, strict=True):
        value = run.column("energy", method).values[0]
        assert method in shot.alt
        assert f"{value:.3g}" in shot.alt


def test_what_is_explained_is_the_true_class(run: Evaluation, data: ListDataset) -> None:
    row = _row(run, ThumbnailRenderer(run, load("toybox"), data), 0, METHODS[:1], None)
    assert row["explained"] == row["label"] == "dog"
    assert not row["said"].startswith("dog")
    assert row["answer"] == "wrong"


def test_the_box_is_drawn_where_it_is(run: Evaluation, data: ListDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes: list[tuple[tuple[int, int], list[float]]] = []

    def recorded(image: Image.Image, drawn: Any) -> Image.Image:
        boxes.append((image.size, np.asarray(drawn)[0].tolist()))
        return image

    monkeypatch.setattr(thumbnails, "draw_boxes", recorded)
    ThumbnailRenderer(run, load("toybox"), data).plain(0)
    ((size, box),) = boxes
    assert size == (THUMBNAIL_PX, THUMBNAIL_PX // 2)
    assert box == pytest.approx((BOX[0] * THUMBNAIL_PX / 160).tolist())


def test_best_and_worst_are_what_they_say(run: Evaluation, data: ListDataset) -> None:
    made = _extremes(run, ThumbnailRenderer(run, load("toybox"), data), "energy", "grad_cam")
    assert made is not None
    values = run.column("energy", "grad_cam").values
    best, worst = (float(made[name][0].lines[0].split()[1]) for name in ("best", "worst"))
    assert best == pytest.approx(values.max(), rel=5e-3)
    assert worst == pytest.approx(values.min(), rel=5e-3)


def test_what_is_left_out_is_said(run: Evaluation, data: ListDataset) -> None:
    studio = ThumbnailRenderer(run, load("toybox"), data, max_bytes=1)
    assert image_section(run, studio, "energy", METHODS)["left_out"]["cam"] == "the page would become too large"


def test_images_are_drawn_by_the_seed_of_the_run() -> None:
    def drawn(seed: int) -> list[int]:
        images = {i: SimpleNamespace(index=i, correct=True) for i in range(40)}
        return sample_images(SimpleNamespace(images=images, plan={"seed": seed}), 5, True)  # type: ignore[arg-type]

    assert drawn(3) == drawn(3)
    assert len({tuple(drawn(seed)) for seed in range(4)}) == 4


@pytest.mark.parametrize(("better", "name"), [("high", "uniform"), ("low", "random")])
def test_the_strongest_control_is_the_best_one(better: str, name: str) -> None:
    numbers = {"random": 0.2, "uniform": 0.7, "centre": 0.5}
    table = {("m", control): SimpleNamespace(method=control, n=3, value=value) for control, value in numbers.items()}
    found = SimpleNamespace(uninformative=tuple(numbers), values={"m": SimpleNamespace(better=better)})
    assert strongest_control(found, table, "m") == name  # type: ignore[arg-type]


def test_the_fixture_differs_where_it_should(run: Evaluation, tmp_path: Path) -> None:
    assert all(p.target != p.predicted for p in run.images.values())


def test_a_band_runs_from_its_low_to_its_high_end() -> None:
    """The polygon of a band and the line in its middle, read back from the SVG: y grows downwards."""
    middle = np.linspace(0.2, 0.8, 9)
    drawn = svg_chart([MeanCurve("a", middle, middle - 0.1, middle + 0.2)], "removed", "score")
    band, mean = (
        np.array([pair.split(",") for pair in re.findall(rf'<{tag} [^>]*points="([^"]*)"', drawn)[0].split()], float)
        for tag in ("polygon", "polyline")
    )
    low, high = band[:9], band[9:][::-1]
    np.testing.assert_allclose(low[:, 0], mean[:, 0])
    np.testing.assert_allclose(high[:, 0], mean[:, 0])
    unit = (mean[0, 1] - mean[-1, 1]) / 0.6
    np.testing.assert_allclose(low[:, 1] - mean[:, 1], 0.1 * unit, atol=0.15)
    np.testing.assert_allclose(mean[:, 1] - high[:, 1], 0.2 * unit, atol=0.15)
