"""Values that reach the report: each image has the correct map, class, layer, box and score."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from camlucida.attribution.explain import explain
from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset
from camlucida.evaluation import Evaluation, evaluate
from camlucida.models.load import load
from camlucida.render.boxes import PREDICTED_COLOUR
from camlucida.report import thumbnails
from camlucida.report.charts import MeanCurve, svg_chart
from camlucida.report.evaluation_page import strongest_control
from camlucida.report.gallery import _extremes, _row, image_section
from camlucida.report.thumbnails import THUMBNAIL_PX, ThumbnailRenderer, sample_images

METHODS = ("grad_cam", "grad_cam @ layer2", "cam")
BOX = np.array([[10.0, 30.0, 50.0, 55.0]])


def oblong(number: int, kind: str) -> Image.Image:
    """Return an image of 160 × 80 with an object in its left half."""
    image = Image.new("RGB", (160, 80), "white")
    image.paste(toybox.scene(number, kinds=[kind], size=80).picture(), (0, 0))
    return image


@pytest.fixture(scope="module")
def data() -> ListDataset:
    """Return images whose labels are wrong, so that true and predicted class differ."""
    kinds = ("cat", "dog", "key")
    items = [Item(oblong(i, kinds[i % 3]), f"image {i}", (i + 1) % 3, boxes=BOX) for i in range(6)]
    return ListDataset("oblong", items, kinds)


@pytest.fixture(scope="module")
def run(data: ListDataset, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    out = tmp_path_factory.mktemp("run") / "run"
    return evaluate("toybox", data, methods=METHODS, metrics=["energy", "entropy"], target="true", out=out)


@pytest.fixture
def explain_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Record the target, method and layer of every call of `explain`."""
    calls: list[dict[str, Any]] = []
    explain = thumbnails.explain

    def recorded(model: Any, image: Any, **request: Any) -> Any:
        calls.append(request)
        return explain(model, image, **request)

    monkeypatch.setattr(thumbnails, "explain", recorded)
    return calls


def test_each_thumbnail_has_its_method_layer_and_score(
    run: Evaluation, data: ListDataset, explain_calls: list[dict[str, Any]]
) -> None:
    model = load("toybox")
    renderer = ThumbnailRenderer(run, model, data)
    row = _row(run, renderer, 0, METHODS, "energy")
    labels = [model.labels.index(kind) for kind in data.classes]
    assert [call["target"] for call in explain_calls] == [labels[1]] * 3
    assert [(call["method"], call["layer"]) for call in explain_calls] == [
        ("grad_cam", None),
        ("grad_cam", "layer2"),
        ("cam", None),
    ]
    shots = row["shots"]
    assert [shot.uri for shot in shots] == [renderer.plain(0), *(renderer.overlay(0, method) for method in METHODS)]
    assert renderer.overlay(0, METHODS[0]) != renderer.overlay(0, METHODS[1])
    for shot, method in zip(shots[1:], METHODS, strict=True):
        value = run.column("energy", method).values[0]
        assert method in shot.alt
        assert f"{value:.3g}" in shot.alt


def test_true_class_is_explained(run: Evaluation, data: ListDataset) -> None:
    row = _row(run, ThumbnailRenderer(run, load("toybox"), data), 0, METHODS[:1], None)
    assert row["explained"] == row["label"] == "dog"
    assert not row["predicted"].startswith("dog")
    assert row["correctness"] == "wrong"


def test_boxes_are_scaled_with_the_image(run: Evaluation, data: ListDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes: list[tuple[tuple[int, int], list[float]]] = []

    def recorded(image: Image.Image, true_boxes: Any, predicted_boxes: Any) -> Image.Image:
        boxes.append((image.size, np.asarray(true_boxes)[0].tolist()))
        return image

    monkeypatch.setattr(thumbnails, "draw_boxes", recorded)
    ThumbnailRenderer(run, load("toybox"), data).plain(0)
    ((size, box),) = boxes
    assert size == (THUMBNAIL_PX, THUMBNAIL_PX // 2)
    assert box == pytest.approx((BOX[0] * THUMBNAIL_PX / 160).tolist())


@pytest.mark.parametrize("metric", ["box_iou", "iou/cam2016", "loc/gradcam2017"])
def test_the_box_of_the_map_is_drawn(metric: str, data: ListDataset, tmp_path: Path, monkeypatch: Any) -> None:
    """Beside the annotated box, with the IoU that the run measured."""
    drawn: list[tuple[Any, Any]] = []
    draw = thumbnails.draw_boxes

    def recorded(image: Image.Image, true_boxes: Any, predicted_boxes: Any) -> Image.Image:
        drawn.append((true_boxes, predicted_boxes))
        return draw(image, true_boxes, predicted_boxes)

    monkeypatch.setattr(thumbnails, "draw_boxes", recorded)
    run = evaluate("toybox", data, methods=["grad_cam"], metrics=[metric], target="true", controls=(), out=tmp_path)
    renderer = ThumbnailRenderer(run, load("toybox"), data)
    section = image_section(run, renderer, None, ["grad_cam"])
    assert section["box_metric"] == metric
    drawn.clear()
    image = renderer._explain(0, "grad_cam")
    (((left, top, right, bottom),), ((x0, y0, x1, y1),)) = drawn[0]
    common = max(0, min(right, x1) - max(left, x0)) * max(0, min(bottom, y1) - max(top, y0))
    overlap = common / ((right - left) * (bottom - top) + (x1 - x0) * (y1 - y0) - common)
    measured = next(iter(run.values))
    if "iou" in metric:
        assert overlap == pytest.approx(run.column(measured, "grad_cam").values[0], abs=1e-9)
    else:
        assert run.column(measured, "grad_cam").values[0] == (overlap < 0.5)
    wanted = explain(load("toybox"), data[0].image, target=renderer._labels[1], method="grad_cam")
    saliency = np.nan_to_num(wanted.landed)
    regions, _ = scipy.ndimage.label(
        saliency >= (0.2 if "cam2016" in metric else 0.15) * saliency.max(), np.ones((3, 3))
    )
    y, x = np.nonzero(regions == 1 + np.bincount(regions.flat)[1:].argmax())
    scale = THUMBNAIL_PX / 160
    edges = [x.min() * scale, y.min() * scale, (x.max() + 1) * scale, (y.max() + 1) * scale]
    assert [x0, y0, x1, y1] == pytest.approx(edges, abs=1e-6)
    colour = np.array(list(bytes.fromhex(PREDICTED_COLOUR[1:])))
    assert (np.asarray(image) == colour).all(-1).sum() > 20


def test_no_box_of_the_map_without_a_box_metric(run: Evaluation, data: ListDataset) -> None:
    assert ThumbnailRenderer(run, load("toybox"), data).box_metric is None


def test_best_and_worst_scores_are_extremes(run: Evaluation, data: ListDataset) -> None:
    extremes = _extremes(run, ThumbnailRenderer(run, load("toybox"), data), "energy", "grad_cam")
    assert extremes is not None
    values = run.column("energy", "grad_cam").values
    best, worst = (float(extremes[name][0].lines[0].split()[1]) for name in ("best", "worst"))
    assert best == pytest.approx(values.max(), rel=5e-3)
    assert worst == pytest.approx(values.min(), rel=5e-3)


def test_omitted_images_are_reported(run: Evaluation, data: ListDataset) -> None:
    renderer = ThumbnailRenderer(run, load("toybox"), data, max_bytes=1)
    assert image_section(run, renderer, "energy", METHODS)["left_out"]["cam"] == "the report would be too large"


def test_images_are_sampled_by_the_seed_of_the_run() -> None:
    def sampled(seed: int) -> list[int]:
        images = {i: SimpleNamespace(index=i, correct=True) for i in range(40)}
        return sample_images(SimpleNamespace(images=images, plan={"seed": seed}), 5, True)  # type: ignore[arg-type]

    assert sampled(3) == sampled(3)
    assert len({tuple(sampled(seed)) for seed in range(4)}) == 4


@pytest.mark.parametrize(("better", "name"), [("high", "uniform"), ("low", "random")])
def test_the_strongest_control_is_the_best_one(better: str, name: str) -> None:
    numbers = {"random": 0.2, "uniform": 0.7, "centre": 0.5}
    table = {("m", control): SimpleNamespace(method=control, n=3, value=value) for control, value in numbers.items()}
    evaluation = SimpleNamespace(uninformative=tuple(numbers), values={"m": SimpleNamespace(better=better)})
    assert strongest_control(evaluation, table, "m") == name  # type: ignore[arg-type]


def test_targets_of_the_run_differ_from_predictions(run: Evaluation) -> None:
    assert all(p.target != p.predicted for p in run.images.values())


def test_band_contains_low_and_high_values() -> None:
    """The polygon of the band and the line of the mean are read from the SVG; y points down."""
    values = np.linspace(0.2, 0.8, 9)
    svg = svg_chart([MeanCurve("a", values, values - 0.1, values + 0.2)], "removed", "score")
    band, mean = (
        np.array([pair.split(",") for pair in re.findall(rf'<{tag} [^>]*points="([^"]*)"', svg)[0].split()], float)
        for tag in ("polygon", "polyline")
    )
    low, high = band[:9], band[9:][::-1]
    np.testing.assert_allclose(low[:, 0], mean[:, 0])
    np.testing.assert_allclose(high[:, 0], mean[:, 0])
    unit = (mean[0, 1] - mean[-1, 1]) / 0.6
    np.testing.assert_allclose(low[:, 1] - mean[:, 1], 0.1 * unit, atol=0.15)
    np.testing.assert_allclose(mean[:, 1] - high[:, 1], 0.2 * unit, atol=0.15)
